"""What can wait runs in threads that have stepped back, and says how it ended."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from typing import Any

import pytest

from voiceflow_inference.priority import run_apart, run_behind


def own_nice() -> int:
    """Of the calling thread."""
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="needs priorities of threads")
async def test_a_thread_steps_back_alone() -> None:
    """The thread that asks, and those that are started later, stay where they are."""
    before = own_nice()
    assert await run_behind(own_nice) > before
    assert own_nice() == before
    assert await run_apart(own_nice) == before


async def test_what_the_work_raises_is_raised() -> None:
    """Nothing is lost in the other thread."""
    with pytest.raises(ZeroDivisionError):
        await run_behind(lambda: 1 // 0)


async def test_who_is_cancelled_does_not_wait() -> None:
    """The thread ends in its time, and nobody minds what it gives."""
    wrong: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: wrong.append(what))
    began, let_go = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def work() -> None:
        threads.append(threading.current_thread())
        began.set()
        let_go.wait()

    task = asyncio.create_task(run_behind(work))
    await asyncio.to_thread(began.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    let_go.set()
    await asyncio.to_thread(threads[0].join)
    await asyncio.sleep(0)
    assert wrong == []
