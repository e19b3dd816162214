"""Threads that step back: what loads, warms or only looks on must not slow live streams down."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

Result = TypeVar("Result")


def step_back() -> None:
    """Lowers the calling thread's priority, for good, where the system has one for each thread.

    Nobody but root may raise it again, and threads that this one starts begin with it.
    """
    if sys.platform == "linux":
        with suppress(OSError):  # refused; then it runs like the others
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


async def run_behind(work: Callable[[], Result]) -> Result:
    """Runs something long in a thread of its own that has stepped back; see `run_apart`."""

    def behind() -> Result:
        step_back()
        return work()

    return await run_apart(behind)


async def run_apart(work: Callable[[], Result]) -> Result:
    """Runs something long in a thread of its own.

    Cancelled, it returns at once; the thread goes on until the work ends, and holds nothing up: not
    even the end of the process.

    Raises:
        Exception: What the work raises.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()

    def settle(result: Result | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as raised:  # noqa: BLE001 - told to whoever waits
            error = raised
        with suppress(RuntimeError):  # the loop is closed, nobody waits any more
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="apart", daemon=True).start()
    return await done


# A tenth of the CPU where others want all of it, so that a load ends on a busy machine, too.
_NICE: Final = 10
