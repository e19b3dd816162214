"""What blocks runs in threads: a bounded number, to its end; what is left behind is closed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from voiceflow.errors import ContentCorrupt, Overloaded, Unavailable
from voiceflow_registry.servicer import Presence, Threads
from voiceflow_registry.storage.object_store import ObjectCorrupt, ObjectMissing, StoreUnavailable


@pytest_asyncio.fixture
async def threads() -> AsyncIterator[Threads]:
    """One thread, and one place to wait."""
    threads = Threads(threads=1, waiting=1, retry_after_seconds=2.0)
    yield threads
    await threads.close()


class Gate:
    """Something that blocks until it is opened."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def __call__(self) -> str:
        """Blocks."""
        self.entered.set()
        assert self.opened.wait(30.0)
        return "done"

    async def waits(self) -> None:
        """Returns when somebody is in it."""
        assert await asyncio.to_thread(self.entered.wait, 30.0)


async def test_more_calls_than_may_wait_are_refused(threads: Threads) -> None:
    """OVERLOADED with a time to come back; those that wait are served."""
    gate = Gate()
    first = asyncio.ensure_future(threads.call(gate))
    await gate.waits()
    second = asyncio.ensure_future(threads.call(lambda: "second"))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as caught:
        await threads.call(lambda: "third")
    assert caught.value.reason == "OVERLOADED"
    gate.opened.set()
    assert (await first, await second) == ("done", "second")
    assert await threads.call(lambda: "fourth") == "fourth"


@pytest.mark.parametrize(
    ("raised", "told", "reason"),
    [
        (StoreUnavailable("secret"), Unavailable, "STORAGE_UNAVAILABLE"),
        (ObjectCorrupt("secret"), ContentCorrupt, "CONTENT_CORRUPT"),
        (ObjectMissing("secret"), ContentCorrupt, "CONTENT_CORRUPT"),
    ],
)
async def test_failures_of_the_store_are_told(
    threads: Threads, raised: Exception, told: type[Unavailable | ContentCorrupt], reason: str
) -> None:
    """As the error of the tree, without the store's own text."""

    def act() -> None:
        raise raised

    with pytest.raises(told) as caught:
        await threads.call(act)
    assert caught.value.reason == reason
    assert "secret" not in caught.value.message
    if isinstance(caught.value, Unavailable):
        assert caught.value.retry_after_seconds == 2.0


async def test_acts_of_a_stream_follow_one_another_though_their_caller_leaves(
    threads: Threads,
) -> None:
    """What was begun ends before the last act of the stream begins."""
    done: list[str] = []
    gate = Gate()
    turn = threads.turn()

    def first() -> None:
        gate()
        done.append("first")

    leaving = asyncio.ensure_future(turn.call_long(first))
    await gate.waits()
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    last = asyncio.ensure_future(turn.go_on(lambda: done.append("last")))
    await asyncio.sleep(0)
    gate.opened.set()
    await last
    assert done == ["first", "last"]


async def test_what_is_opened_for_nobody_is_closed(threads: Threads) -> None:
    """A caller that leaves while something is opened for it."""
    gate, closed = Gate(), asyncio.Event()
    loop = asyncio.get_running_loop()
    opening = asyncio.ensure_future(
        threads.opened(gate, lambda _: loop.call_soon_threadsafe(closed.set))
    )
    await gate.waits()
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    gate.opened.set()
    async with asyncio.timeout(30.0):
        await closed.wait()


class Source:
    """A generator that tells when it is closed."""

    def __init__(self, gate: Gate) -> None:
        self.closed = threading.Event()
        self.made: list[int] = []
        self._gate = gate

    def items(self) -> Iterator[int]:
        """Blocks before the second item."""
        try:
            for number in range(3):
                if number == 1:
                    self._gate()
                self.made.append(number)
                yield number
        finally:
            self.closed.set()


async def test_an_iterator_is_read_to_its_end(threads: Threads) -> None:
    """All items, then it is closed."""
    gate = Gate()
    gate.opened.set()
    source = Source(gate)
    async with threads.iterating(source.items()) as items:
        assert [item async for item in items] == [0, 1, 2]
    assert source.closed.is_set()


async def test_an_iterator_that_is_left_is_closed(threads: Threads) -> None:
    """Between two items at once, within one when that is made."""
    gate = Gate()
    source = Source(gate)
    async with threads.iterating(source.items()) as items:
        assert await anext(items) == 0
    assert source.closed.is_set()
    assert source.made == [0]

    gate = Gate()
    source = Source(gate)

    async def read() -> None:
        async with threads.iterating(source.items(), long=True) as items:
            async for _ in items:
                pass

    reading = asyncio.ensure_future(read())
    await gate.waits()
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    assert not source.closed.is_set()
    gate.opened.set()
    assert await asyncio.to_thread(source.closed.wait, 30.0)
    assert source.made == [0, 1]


async def test_a_server_that_stops_waits_for_those_who_are_in() -> None:
    """For a while; nobody comes in any more, and late ones are told when to come back."""
    presence = Presence(retry_after_seconds=1.0)
    with presence.entered():
        assert not await presence.close(0.01)
        with pytest.raises(Unavailable) as caught, presence.entered():
            pass
        assert (caught.value.reason, caught.value.retry_after_seconds) == ("SHUTTING_DOWN", 1.0)
        closing = asyncio.ensure_future(presence.close(30.0))
        await asyncio.sleep(0)
    assert await closing
