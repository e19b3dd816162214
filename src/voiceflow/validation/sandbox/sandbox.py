"""Starts the processes in which models are looked at, and knows what holds them."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from voiceflow.catalog.gates import SandboxLayers
from voiceflow.errors import NotAllowedNow, Violation
from voiceflow.validation.sandbox import wire
from voiceflow.validation.sandbox.conversation import Probe
from voiceflow.validation.sandbox.limits import DEFAULT_FLOOR, JsonValue, Layer, Limits
from voiceflow.validation.sandbox.process import Gone, Process, TooLong, unavailable

_HELPER: Final = Path(__file__).with_name("helper.py")
_START_SECONDS: Final = 120.0
"""For imports and lockdown on a busy machine; no part of it depends on the model."""
_REPORT_BYTES: Final = 65_536
_TRIAL: Final = Limits(cpu_seconds=5, wall_seconds=5, address_space_bytes=2 * 1024**3)
_ENVIRONMENT: Final = {
    "ORT_DISABLE_TELEMETRY": "1",
    # One thread from the start: Landlock holds the thread that asks for it, and those it starts.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "LC_ALL": "C.UTF-8",
}
_INHERITED: Final = (
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    # Which GPU is used and how, where one is: a look at a model is to be at the one that serves.
    "CUDA_DEVICE_ORDER",
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_TF32_OVERRIDE",
)


@dataclasses.dataclass(frozen=True, slots=True)
class _Held:
    """What a process reported when it was locked down."""

    active: tuple[Layer, ...]
    missing: dict[Layer, str]
    cpu_seconds: float


class Sandbox:
    """Processes for untrusted models. Used from many threads; a context manager.

    Construct it before gRPC starts its threads: it starts the helper that starts everything else.

    Args:
        floor: Layers without which nothing is run.
        wanted: Layers put on where the machine has them.
        probes: Module that holds `PROBES`; each process imports it, and its probe, before the
            lockdown.

    Raises:
        ValueError: If the floor demands a layer that is not wanted.
    """

    def __init__(
        self,
        *,
        floor: frozenset[Layer] = DEFAULT_FLOOR,
        wanted: frozenset[Layer] = frozenset(Layer),
        probes: str = "voiceflow.validation.probes",
    ) -> None:
        if not floor <= wanted:
            raise ValueError(f"the floor {sorted(floor)} demands more than {sorted(wanted)}")
        self._floor = floor
        self._wanted = wanted
        self._probes = probes
        self._lock = threading.Lock()
        self._layers: SandboxLayers | None = None
        self._closed = False
        self._control, self._helper = self._start_helper()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends every process; conversations that are open fail."""
        with self._lock:
            self._closed = True
            _end_helper(self._control, self._helper)

    @property
    def helper_pid(self) -> int:
        """Of the process that starts the others."""
        return self._helper.pid

    def layers(self) -> SandboxLayers:
        """What holds a model on this machine, as a trial process found it.

        Raises:
            NotAllowedNow: SANDBOX_TOO_WEAK, if that is less than the floor.
        """
        if self._layers is None:
            process = self._start()
            try:
                held = self._hand_over(process, "", {}, {}, _TRIAL)
            finally:
                process.end()
            self._layers = SandboxLayers(active=held.active, missing=tuple(held.missing))
        return self._layers

    @contextlib.contextmanager
    def open(
        self,
        probe: str,
        *,
        files: Mapping[str, Path],
        arguments: Mapping[str, JsonValue],
        limits: Limits,
    ) -> Iterator[Probe]:
        """Starts a process for one model; it is gone when the context ends.

        Args:
            probe: Name in `PROBES`.
            files: What the probe may read, by the name that it knows them by.
            arguments: For the probe; JSON.
            limits: What the whole conversation may use.

        Raises:
            NotAllowedNow: SANDBOX_TOO_WEAK, if fewer layers hold it than the floor demands. Nothing
                of the model has been read then.
            Unavailable: SANDBOX_UNAVAILABLE, if no process starts.
            OSError: If a file cannot be opened.
        """
        process = self._start()
        try:
            held = self._hand_over(process, probe, files, arguments, limits)
            yield Probe(process, limits, held.cpu_seconds)
        finally:
            process.end()

    def _hand_over(
        self,
        process: Process,
        probe: str,
        files: Mapping[str, Path],
        arguments: Mapping[str, JsonValue],
        limits: Limits,
    ) -> _Held:
        order: JsonValue = {
            "probe": probe,
            "files": list(files),
            "arguments": dict(arguments),
            "limits": dataclasses.asdict(limits),
            "wanted": [layer.value for layer in sorted(self._wanted)],
        }
        deadline = time.monotonic() + _START_SECONDS
        with ExitStack() as stack:
            # The first descriptor only makes sure that there is one.
            nothing = stack.enter_context(Path(os.devnull).open("rb"))
            opened = [stack.enter_context(path.open("rb")) for path in files.values()]
            try:
                descriptors = [file.fileno() for file in (nothing, *opened)]
                process.send(wire.to_line(order), deadline, descriptors)
                report = wire.from_line(process.receive(deadline, _REPORT_BYTES))
            except (Gone, TimeoutError, TooLong, ValueError) as error:
                end = process.end(patience_seconds=1.0)
                raise unavailable(
                    "its process did not come as far as the lockdown"
                    f" (status {end.status}): {end.errors}"
                ) from error
        held = _held(report)
        self._check(held)
        return held

    def _check(self, held: _Held) -> None:
        lacking = sorted(self._floor - set(held.active))
        if lacking:
            raise NotAllowedNow(
                f"the sandbox has {', '.join(held.active) or 'no layers'} here and lacks"
                f" {', '.join(lacking)}, without which nothing is run",
                reason="SANDBOX_TOO_WEAK",
                violations=[
                    Violation("SANDBOX_LAYER_MISSING", layer, held.missing.get(layer, "not active"))
                    for layer in lacking
                ],
            )

    def _start(self) -> Process:
        with self._lock:
            if self._closed:
                raise unavailable("it is closed")
            if self._helper.poll() is not None:
                _end_helper(self._control, self._helper)
                self._control, self._helper = self._start_helper()
            return Process(self._control)

    def _start_helper(self) -> tuple[socket.socket, subprocess.Popen[bytes]]:
        control, theirs = socket.socketpair()
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        # The same code as here, wherever it was found; nothing else of this environment.
        path = os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path)
        child = [sys.executable, "-P", "-m", "voiceflow.validation.sandbox.child", self._probes]
        with theirs:
            helper = subprocess.Popen(  # noqa: S603 - the interpreter that runs this
                [sys.executable, "-I", "-S", str(_HELPER), *child],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env=_ENVIRONMENT | inherited | {"PYTHONPATH": path},
                cwd="/",
                start_new_session=True,
            )
        return control, helper


def _end_helper(control: socket.socket, helper: subprocess.Popen[bytes]) -> None:
    control.close()
    try:
        helper.wait(_START_SECONDS)
    except subprocess.TimeoutExpired:
        helper.kill()
        helper.wait()


def _held(report: JsonValue) -> _Held:
    match report:
        case {"active": [*active], "missing": dict(missing), "cpu_seconds": float(seconds)}:
            return _Held(
                tuple(Layer(str(word)) for word in active),
                {Layer(word): str(why) for word, why in missing.items()},
                seconds,
            )
    raise unavailable("its process reported something else than its layers")
