"""One process of the sandbox, as the registry sees it: a socket to talk, a life line to end it."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from voiceflow.errors import Unavailable
from voiceflow.validation.sandbox import wire

_END_SECONDS: Final = 30.0
"""How long the helper may take to report an end; only a machine in trouble comes near."""
_STDERR_BYTES: Final = 65_536
_SHOWN: Final = 300


class Gone(Exception):
    """The process has closed its side."""


class TooLong(Exception):
    """A line is longer than allowed."""


@dataclass(frozen=True, slots=True)
class End:
    """How a process ended.

    Attributes:
        status: Exit code, or minus the signal that ended it.
        cpu_seconds: Of its whole life.
        errors: The last that it wrote to standard error; nothing in it can be believed.
    """

    status: int
    cpu_seconds: float
    errors: str


class Process:
    """Talks to one process; must be ended with `end`, however it fares.

    Args:
        control: The helper's socket.
    """

    def __init__(self, control: socket.socket) -> None:
        self._talk, talk = socket.socketpair()
        self._life, life = socket.socketpair()
        self._errors, errors = os.pipe()
        # Nobody reads it before the end: what does not fit is lost, and blocks nobody.
        os.set_blocking(errors, False)
        os.set_blocking(self._errors, False)
        self._reports = b""
        self._end: End | None = None
        self._closed = False
        try:
            socket.send_fds(control, [b"+"], [talk.fileno(), errors, life.fileno()])
        except OSError as error:
            self._close()
            raise unavailable("the process that starts others has ended") from error
        finally:
            talk.close()
            life.close()
            os.close(errors)
        word, value = self._started()
        if word != "started":
            self._close()
            raise unavailable(f"a process could not be started: {value}")
        self.pid = int(value)

    def send(self, line: bytes, deadline: float, descriptors: Sequence[int] = ()) -> None:
        """Sends one line, after descriptors if there are any.

        Args:
            line: With its end.
            deadline: Of `time.monotonic`.
            descriptors: Given to the process, in this order.

        Raises:
            Gone: If the process has ended.
            TimeoutError: If it does not read in time.
        """
        try:
            self._talk.settimeout(_remaining(deadline))
            if descriptors:
                socket.send_fds(self._talk, [b"+"], descriptors)
            self._talk.sendall(line)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Gone from error

    def receive(self, deadline: float, limit_bytes: int) -> bytes:
        """Waits for one line.

        Args:
            deadline: Of `time.monotonic`.
            limit_bytes: Longest line, without its end.

        Raises:
            Gone: If the process has ended, or closed its side.
            TooLong: If the line is longer, or more than one line came.
            TimeoutError: If none comes in time.
        """
        pieces = [b""]
        size = 0
        while wire.END not in pieces[-1]:
            if size > limit_bytes:
                raise TooLong
            self._talk.settimeout(_remaining(deadline))
            try:
                piece = self._talk.recv(65_536)
            except ConnectionResetError as error:
                raise Gone from error
            if not piece:
                raise Gone
            pieces.append(piece)
            size += len(piece)
        line, _, rest = b"".join(pieces).partition(wire.END)
        if rest or len(line) > limit_bytes:
            raise TooLong
        return line

    def end(self, *, patience_seconds: float = 0.0) -> End:
        """Ends the process and its group, and waits until they are gone.

        Args:
            patience_seconds: How long it may take to end by itself.

        Raises:
            Unavailable: If the helper does not report the end.
        """
        if self._end is None:
            if self._closed:
                raise unavailable("how a process ended was not reported")
            try:
                status, cpu_seconds = self._wait(patience_seconds)
                self._end = End(status, cpu_seconds, self._read_errors())
            finally:
                self._close()
        return self._end

    def _started(self) -> tuple[str, str]:
        try:
            word, _, value = self._report().partition(" ")
        except TimeoutError as error:
            self._close()
            raise unavailable("a process was not started in time") from error
        except Unavailable:
            self._close()
            raise
        return word, value

    def _wait(self, patience_seconds: float) -> tuple[int, float]:
        report = ""
        if patience_seconds:
            with contextlib.suppress(TimeoutError):
                report = self._report(patience_seconds)
        if not report:
            with contextlib.suppress(OSError):
                self._life.sendall(b"-")
            try:
                report = self._report()
            except TimeoutError as error:
                raise unavailable("a process does not end") from error
        _, status, cpu_seconds = report.split(" ")
        return int(status), float(cpu_seconds)

    def _report(self, timeout_seconds: float = _END_SECONDS) -> str:
        deadline = time.monotonic() + timeout_seconds
        while b"\n" not in self._reports:
            self._life.settimeout(_remaining(deadline))
            try:
                piece = self._life.recv(4096)
            except ConnectionResetError:
                piece = b""
            if not piece:
                raise unavailable("the process that starts others has ended")
            self._reports += piece
        line, _, self._reports = self._reports.partition(b"\n")
        return line.decode("ascii")

    def _read_errors(self) -> str:
        try:
            seen = os.read(self._errors, _STDERR_BYTES)
        except BlockingIOError:
            return ""
        return plain(seen.decode("utf-8", "replace")[-_SHOWN:])

    def _close(self) -> None:
        self._closed = True
        self._talk.close()
        self._life.close()
        with contextlib.suppress(OSError):
            os.close(self._errors)


def plain(text: str, limit: int = _SHOWN) -> str:
    """Text from a process that is not trusted, fit to be shown: printable, on one line, short."""
    shown = "".join(c if c.isprintable() else " " for c in text[: 4 * limit])
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def _remaining(deadline: float) -> float:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError
    return remaining


def unavailable(what: str) -> Unavailable:
    """What the sandbox cannot do for now, through no fault of the model."""
    return Unavailable(
        f"the sandbox is not working: {what}",
        reason="SANDBOX_UNAVAILABLE",
        retry_after_seconds=_RETRY_SECONDS,
    )


_RETRY_SECONDS: Final = 5.0
