"""What runs inside the sandbox: each probe looks at one side of an untrusted model.

A factory gets the files (open for reading, by name) and the arguments, after the lockdown, when the
first question comes; what it returns answers each question. A broken rule is part of an answer, not
an exception. Nothing can be imported after the lockdown: probes import all they use at the top.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import BinaryIO, Final, TypeAlias, cast

from voiceflow.validation.sandbox.limits import JsonValue

Answer: TypeAlias = Callable[[JsonValue], JsonValue]
ProbeFactory: TypeAlias = Callable[[Mapping[str, BinaryIO], Mapping[str, JsonValue]], Answer]

_NAMES: Final = ("graph", "tensors", "stretches", "behaviour", "cost", "accuracy")
"""Modules of this package; the `probe` of each is its factory."""


class _Probes(Mapping[str, ProbeFactory]):
    """Imports a probe when it is asked for: a process needs one, and importing all is slow."""

    def __getitem__(self, name: str) -> ProbeFactory:
        if name not in _NAMES:
            raise KeyError(name)
        return cast("ProbeFactory", import_module(f"{__name__}.{name}").probe)

    def __iter__(self) -> Iterator[str]:
        return iter(_NAMES)

    def __len__(self) -> int:
        return len(_NAMES)


PROBES: Mapping[str, ProbeFactory] = _Probes()
