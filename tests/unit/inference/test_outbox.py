"""Unsent replies are bounded in bytes and in age, and all that is put is sent in order."""

from __future__ import annotations

import asyncio

import pytest

from voiceflow.errors import LimitExceeded
from voiceflow_inference.outbox import Outbox


async def test_everything_is_sent_in_order_before_run_returns() -> None:
    """Closing lets the writer finish what is there."""
    sent: list[int] = []

    async def write(reply: bytes) -> None:
        await asyncio.sleep(0)
        sent.append(len(reply))

    outbox = Outbox(write, maximum_bytes=10_000, maximum_seconds=60)
    for size in range(5):
        outbox.put(bytes(size))
    outbox.close()
    await outbox.run()
    assert sent == [0, 1, 2, 3, 4]


async def test_what_is_made_late_hears_that_the_rest_was_taken() -> None:
    """It follows what was put before it, and comes before what is put after it, or is nothing."""
    sent: list[bytes] = []

    async def write(reply: bytes) -> None:
        await asyncio.sleep(0)
        sent.append(reply)

    outbox = Outbox(write, maximum_bytes=10, maximum_seconds=60)
    outbox.put(b"first")
    outbox.put_late(lambda: b"late, and larger than the room" + sent[-1])
    outbox.put_late(lambda: None)
    outbox.put(b"last")
    outbox.close()
    await outbox.run()
    assert sent == [b"first", b"late, and larger than the roomfirst", b"last"]


async def never(_reply: bytes) -> None:
    """A transport that takes nothing."""
    await asyncio.get_running_loop().create_future()


async def test_too_many_unsent_bytes_end_the_stream() -> None:
    """The limit holds for all messages together."""
    outbox = Outbox(never, maximum_bytes=100, maximum_seconds=60)
    outbox.put(bytes(90))
    with pytest.raises(LimitExceeded) as caught:
        outbox.put(bytes(11))
    assert caught.value.reason == "SLOW_READER"


async def test_an_old_unsent_message_ends_the_stream() -> None:
    """The writer gives up by itself."""
    outbox = Outbox(never, maximum_bytes=100, maximum_seconds=0.01)
    outbox.put(bytes(1))
    with pytest.raises(LimitExceeded) as caught:
        await outbox.run()
    assert caught.value.reason == "SLOW_READER"


async def test_room_waits_until_half_is_sent() -> None:
    """Whoever fills the outbox is held back, not cut."""
    gate = asyncio.Semaphore(0)

    async def write(_reply: bytes) -> None:
        await gate.acquire()

    outbox = Outbox(write, maximum_bytes=100, maximum_seconds=60)
    running = asyncio.create_task(outbox.run())
    outbox.put(bytes(30))
    await outbox.room()
    outbox.put(bytes(40))
    waiting = asyncio.create_task(outbox.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    gate.release()
    await waiting
    gate.release()
    outbox.close()
    await running
