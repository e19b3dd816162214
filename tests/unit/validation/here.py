"""A sandbox that holds nothing: probes run in this process.

For what a gate measures and judges. What holds a model is the sandbox's own tests' business, and
`test_validator.py` runs every gate in the real one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from voiceflow.catalog.gates import SandboxLayers
from voiceflow.validation.probes import PROBES
from voiceflow.validation.sandbox import JsonValue, Limits, Probe, Sandbox, wire


class Here(Sandbox):
    """Opens probes in this process; counts them by name."""

    def __init__(self) -> None:
        self.opened: list[str] = []

    def layers(self) -> SandboxLayers:
        """None."""
        return SandboxLayers()

    @contextlib.contextmanager
    def open(
        self,
        probe: str,
        *,
        files: Mapping[str, Path],
        arguments: Mapping[str, JsonValue],
        limits: Limits,  # noqa: ARG002 - nothing is limited
    ) -> Iterator[Probe]:
        """See `Sandbox.open`."""
        self.opened.append(probe)
        with ExitStack() as stack:
            opened = {name: stack.enter_context(path.open("rb")) for name, path in files.items()}
            yield _Answering(PROBES[probe](opened, arguments))


class _Answering(Probe):
    def __init__(self, answer: Callable[[JsonValue], JsonValue]) -> None:
        self._here = answer

    @property
    def pid(self) -> int:
        return os.getpid()

    def ask(self, request: JsonValue = None) -> JsonValue:
        """Both ways through JSON, as it goes over the socket."""
        asked = wire.from_line(wire.to_line(request))
        return wire.from_line(wire.to_line(self._here(asked)))
