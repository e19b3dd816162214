"""A conversation with one probe: questions, answers, and what it means when none comes."""

from __future__ import annotations

import time
from typing import Final

from voiceflow.validation.sandbox import wire
from voiceflow.validation.sandbox.limits import JsonValue, Limits, SandboxFailure
from voiceflow.validation.sandbox.process import Gone, Process, TooLong, plain
from voiceflow.validation.sandbox.verdict import (
    failed_inside,
    of_end,
    reply_invalid,
    wall_clock,
)

_LEAVING_SECONDS: Final = 3.0
"""A process that has closed its socket may take so long to end (a large memory to give back)."""


class Probe:
    """Answers questions about one model; for one thread at a time.

    Args:
        process: Locked down, waiting for the first question.
        limits: What the conversation may use.
        cpu_seconds: What the process had used when it was locked down.
    """

    def __init__(self, process: Process, limits: Limits, cpu_seconds: float) -> None:
        self._process = process
        self._limits = limits
        self._cpu_seconds = cpu_seconds
        self._wall_seconds = limits.wall_seconds
        self._failure: SandboxFailure | None = None

    @property
    def pid(self) -> int:
        """Of the model's process, to measure it from outside."""
        return self._process.pid

    def ask(self, request: JsonValue = None) -> JsonValue:
        """Asks one question and waits for its answer.

        Raises:
            SandboxFailure: If none comes that can be read, within the limits. The process is gone
                then, and every further question fails in the same way.
        """
        if self._failure is not None:
            raise self._failure
        line = wire.to_line(request)
        began = time.monotonic()
        deadline = began + self._wall_seconds
        try:
            self._process.send(line, deadline)
            reply = self._process.receive(deadline, self._limits.reply_bytes)
        except Gone:
            end = self._process.end(patience_seconds=_LEAVING_SECONDS)
            self._failure = of_end(end, self._limits, self._cpu_seconds)
        except TimeoutError:
            self._failure = wall_clock(self._limits)
        except TooLong:
            seen = f"more than one line of {self._limits.reply_bytes} bytes"
            self._failure = reply_invalid(seen, f"one line of {self._limits.reply_bytes} bytes")
        else:
            self._wall_seconds -= time.monotonic() - began
            return self._answer(reply)
        return self._fail()

    def _answer(self, reply: bytes) -> JsonValue:
        try:
            match wire.from_line(reply):
                case {"answer": answer, **rest} if not rest:
                    return answer
                case {"failure": str(rule), "seen": str(seen), **rest} if not rest:
                    self._failure = failed_inside(rule, plain(seen), self._limits)
                case _:
                    self._failure = reply_invalid("JSON of another form", "an answer or a failure")
        except ValueError as error:
            self._failure = reply_invalid(plain(str(error)), "one JSON value")
        return self._fail()

    def _fail(self) -> JsonValue:
        self._process.end()
        if self._failure is None:
            raise AssertionError("unreachable: who fails says why")
        raise self._failure
