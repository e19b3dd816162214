"""The entry of the `voiceflow` command: Ctrl-C ends it quietly, from its first moment on."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_INTERRUPTED: Final = 130
_MESSAGE: Final = "voiceflow: interrupted\n"


def main() -> None:
    """Runs a command, and exits with its code."""
    # What gRPC tells of a handshake that failed, the error says in a line.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        with _leaving_at_once():
            from voiceflow.cli.commands import run  # noqa: PLC0415 - takes a second
        code = run()
    except KeyboardInterrupt:
        sys.stderr.write(_MESSAGE)
        code = _INTERRUPTED
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # what was asked for is done, or told
    sys.exit(code)


@contextmanager
def _leaving_at_once() -> Iterator[None]:
    """Ctrl-C ends the process on the spot: nothing has begun that would have to be put in order.

    KeyboardInterrupt would be raised inside the modules that are being imported, and not every
    extension among them outlasts that.
    """
    handles = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not under nohup
    if handles:
        signal.signal(signal.SIGINT, _leave)
    try:
        yield
    finally:
        if handles:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(number: int, frame: FrameType | None) -> None:
    del number, frame
    os.write(sys.stderr.fileno(), _MESSAGE.encode())
    os._exit(_INTERRUPTED)
