"""The process of one model: imports its probe, locks itself down, then lets it at the model.

Standard input is a socket to the registry and the only way in or out. Nothing of the model is read
before the lockdown is reported and the first question has come. What is imported later than the
lockdown cannot be found, so the probes' module must bring all that it needs.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import resource
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, NoReturn, cast

from voiceflow.validation.sandbox import lockdown, wire
from voiceflow.validation.sandbox.limits import JsonValue, Layer, Limits
from voiceflow.validation.sandbox.verdict import CRASH, MEMORY_LIMIT, MEMORY_WORDS

_Answer = Callable[[JsonValue], JsonValue]
_Factory = Callable[[Mapping[str, BinaryIO], Mapping[str, JsonValue]], _Answer]

_TALK = 0
_MAXIMUM_FILES = 64
_OUT_OF_MEMORY = wire.to_line({"failure": MEMORY_LIMIT, "seen": "MemoryError"})


def main(probes: str) -> NoReturn:
    """Serves one conversation; `probes` names the module that holds `PROBES`."""
    lockdown.die_with_parent()
    _be_first_to_go()
    known = cast("Mapping[str, _Factory]", importlib.import_module(probes).PROBES)
    talk = socket.socket(fileno=_TALK)
    _, descriptors, _, _ = socket.recv_fds(talk, 1, _MAXIMUM_FILES)
    talk.detach()  # from here on it is read and written like a file: fewer system calls
    with os.fdopen(_TALK, "rb", closefd=False) as questions:
        order = cast("dict[str, JsonValue]", wire.from_line(questions.readline()))
        name = cast("str", order["probe"])
        # With its imports; a trial of the layers has no probe.
        factory = known[name] if name else _nothing
        files = {
            name: os.fdopen(descriptor, "rb")
            for name, descriptor in zip(
                cast("list[str]", order["files"]), descriptors[1:], strict=True
            )
        }
        limits = Limits(**cast("dict[str, int]", order["limits"]))
        report = lockdown.lock_down(limits, {Layer(word) for word in _strings(order["wanted"])})
        usage = resource.getrusage(resource.RUSAGE_SELF)
        _send(
            wire.to_line(
                {
                    "active": [layer.value for layer in report.active],
                    "missing": {layer.value: why for layer, why in report.missing.items()},
                    "cpu_seconds": usage.ru_utime + usage.ru_stime,
                }
            )
        )
        arguments = cast("dict[str, JsonValue]", order["arguments"])
        _serve(questions, lambda: factory(files, arguments))


def _serve(questions: BinaryIO, make: Callable[[], _Answer]) -> NoReturn:
    answer: _Answer | None = None
    for line in iter(questions.readline, b""):
        try:
            if answer is None:
                answer = make()
            reply = wire.to_line({"answer": answer(wire.from_line(line))})
        except MemoryError:
            reply = _OUT_OF_MEMORY
        except BaseException as error:  # noqa: BLE001 - whatever it is, the registry is to know
            reply = _failure(error)
        _send(reply)
    os._exit(0)


def _failure(error: BaseException) -> bytes:
    seen = f"{type(error).__name__}: {error}"[:2000]
    memory = any(word in seen for word in MEMORY_WORDS)
    return wire.to_line({"failure": MEMORY_LIMIT if memory else CRASH, "seen": seen})


def _send(line: bytes) -> None:
    remaining = memoryview(line)
    while remaining:
        remaining = remaining[os.write(_TALK, remaining) :]


def _be_first_to_go() -> None:
    """Where memory runs out, the kernel ends this process before any other."""
    with contextlib.suppress(OSError):  # not Linux
        Path("/proc/self/oom_score_adj").write_text("1000", "ascii")


def _nothing(files: Mapping[str, BinaryIO], arguments: Mapping[str, JsonValue]) -> _Answer:
    del files, arguments
    return lambda _: None


def _strings(value: JsonValue) -> list[str]:
    return cast("list[str]", value)


if __name__ == "__main__":
    main(sys.argv[1])
