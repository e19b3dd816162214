"""How a call has really ended.

A write that fails because the server has just ended the call makes `grpc.aio` set a status of its
own, INTERNAL: also over the one that the server sent, whose reason is lost (grpc/grpc#36066). But
whoever waits for the end of the call is told at the first status, before it can be replaced.

And a task that is cancelled in the moment in which its call ends is told how the call has ended,
not that it was cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import grpc

_Value = TypeVar("_Value")


class Fate:
    """Keeps the status of a call as the server sent it.

    Args:
        call: A call that has just been made.
    """

    def __init__(self, call: grpc.aio.Call) -> None:
        self._call = call
        self._sent: grpc.aio.AioRpcError | None = None
        call.add_done_callback(self._keep)

    def told(self, error: grpc.aio.AioRpcError) -> grpc.aio.AioRpcError:
        """What the server said, where the call has raised an error."""
        return self._sent or error

    def _keep(self, _call: object) -> None:
        code, details = _at_once(self._call.code()), _at_once(self._call.details())
        if self._sent or code in {None, grpc.StatusCode.OK} or details == OF_THE_LIBRARY:
            return
        self._sent = grpc.aio.AioRpcError(
            code,
            _at_once(self._call.initial_metadata()) or grpc.aio.Metadata(),
            _at_once(self._call.trailing_metadata()) or grpc.aio.Metadata(),
            details,
        )


def heed_cancellation() -> None:
    """Before a failed call is made again: ends the current task if it was cancelled meanwhile.

    Raises:
        asyncio.CancelledError: Its cancellation, which the call has lost.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


OF_THE_LIBRARY: Final = "Internal error from Core"
"""What gRPC says of a call whose end it has made up."""


def _at_once(coroutine: Coroutine[Any, Any, _Value]) -> _Value | None:
    """The result of a coroutine that does not have to wait; None where it would."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        value: _Value = done.value
        return value
    coroutine.close()
    return None
