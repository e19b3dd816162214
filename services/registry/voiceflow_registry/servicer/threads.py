"""Runs what blocks in threads, a bounded number at once, and tells failures of the store.

A caller may leave at any time. An act that has begun then goes on to its end, one that still waits
for a thread is dropped, and what was to be closed is closed.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterator,
)
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from contextvars import copy_context
from typing import Any, Final, Generic, TypeVar

from voiceflow.errors import ContentCorrupt, Overloaded, Unavailable, VoiceFlowError
from voiceflow_registry.storage.object_store import (
    ObjectCorrupt,
    ObjectMissing,
    StoreUnavailable,
)

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_LOG = logging.getLogger(__name__)
_OVERLOADED_RETRY_SECONDS: Final = 1.0


class Threads:
    """Two pools: one for acts, which are short, and one for those that run models.

    Args:
        threads: Acts at once.
        waiting: Calls that may wait for a thread; more are refused.
        retry_after_seconds: What callers are told where the store does not answer.
    """

    def __init__(self, *, threads: int, waiting: int, retry_after_seconds: float) -> None:
        self._short = ThreadPoolExecutor(threads, thread_name_prefix="act")
        self._long = ThreadPoolExecutor(threads, thread_name_prefix="run")
        self._room = threads + waiting
        self._busy = 0
        self._kept: set[asyncio.Task[Any]] = set()
        self._retry_after_seconds = retry_after_seconds

    @property
    def executor(self) -> Executor:
        """For reading that was let in before."""
        return self._short

    async def close(self) -> None:
        """Waits for what has begun, and takes no more."""
        await asyncio.gather(*self._kept, return_exceptions=True)
        for pool in (self._short, self._long):
            await asyncio.to_thread(pool.shutdown)

    async def call(self, act: Callable[[], Answer]) -> Answer:
        """Runs a short act.

        Raises:
            Overloaded: OVERLOADED, if too many wait already.
            Unavailable: STORAGE_UNAVAILABLE.
            ContentCorrupt: CONTENT_CORRUPT.
        """
        if self._busy >= self._room:
            raise Overloaded(
                f"{self._busy} calls are running or waiting; allowed are {self._room}",
                reason="OVERLOADED",
                retry_after_seconds=_OVERLOADED_RETRY_SECONDS,
            )
        return await self._run(self._short, act)

    async def go_on(self, act: Callable[[], Answer]) -> Answer:
        """Runs a short act of a stream that was let in before; raises as `call` but OVERLOADED."""
        return await self._run(self._short, act)

    async def opened(self, act: Callable[[], Answer], close: Callable[[Answer], object]) -> Answer:
        """As `call`, for what has to be closed: done here, if the caller has left by then."""
        opening = asyncio.create_task(self.call(act))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            self._start(self._closed(opening, close))
            raise

    def turn(self) -> Turn:
        """For the acts of one stream, which follow one another."""
        return Turn(self)

    async def keep(self, running: Coroutine[Any, Any, Answer]) -> Answer:
        """Awaits what goes on to its end even if the caller leaves."""
        return await asyncio.shield(self._start(running))

    async def call_long(self, act: Callable[[], Answer]) -> Answer:
        """Runs an act that may take minutes; raises as `go_on`."""
        return await self._run(self._long, act)

    @asynccontextmanager
    async def iterating(
        self, iterator: Iterator[Item], *, long: bool = False
    ) -> AsyncIterator[AsyncIterator[Item]]:
        """An iterator that blocks, one item at a time; closed at the end.

        Args:
            iterator: A generator, if it holds anything.
            long: Its items may take minutes.
        """
        steps = _Steps(iterator)
        pool = self._long if long else self._short

        async def items() -> AsyncGenerator[Item, None]:
            while (item := await self._run(pool, steps.next)) is not _END:
                yield item

        try:
            async with aclosing(items()) as reading:
                yield reading
        finally:
            # The step under way may go on for long: it closes, when it is done, what was left.
            if steps.leave():
                await self._run(pool, steps.close)

    @contextmanager
    def told(self) -> Iterator[None]:
        """Turns failures of the store into errors for callers; the log has the rest."""
        try:
            yield
        except StoreUnavailable as error:
            _LOG.warning("the store does not answer: %s", error)
            raise Unavailable(
                "the registry's store does not answer; whether a change took place is not known",
                reason="STORAGE_UNAVAILABLE",
                retry_after_seconds=self._retry_after_seconds,
            ) from error
        except (ObjectCorrupt, ObjectMissing) as error:
            _LOG.error("the store does not hold what it should: %r", error)
            raise ContentCorrupt(
                "what is stored is incomplete or not as it was stored", reason="CONTENT_CORRUPT"
            ) from error
        except OSError as error:  # files on their way in or out are written here first
            _LOG.exception("the registry's own disk does not take or give what it should")
            raise Unavailable(
                "the registry's disk cannot be used; whether a change took place is not known",
                reason="STORAGE_UNAVAILABLE",
                retry_after_seconds=self._retry_after_seconds,
            ) from error

    def _start(self, running: Coroutine[Any, Any, Answer]) -> asyncio.Task[Answer]:
        task = asyncio.create_task(running)
        self._kept.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._kept.discard(task)
        if not task.cancelled():
            task.exception()  # where the caller has left, nobody else looks at it

    async def _closed(
        self, opening: asyncio.Task[Answer], close: Callable[[Answer], object]
    ) -> None:
        with suppress(VoiceFlowError):
            held = await opening
            await self.go_on(lambda: close(held))

    async def _run(self, pool: ThreadPoolExecutor, act: Callable[[], Answer]) -> Answer:
        def told() -> Answer:
            with self.told():
                return act()

        self._busy += 1
        # With the caller's context: what is traced of the act belongs to the call.
        running = asyncio.get_running_loop().run_in_executor(pool, copy_context().run, told)
        running.add_done_callback(self._done)
        return await running

    def _done(self, running: asyncio.Future[Any]) -> None:
        self._busy -= 1
        if not running.cancelled() and (error := running.exception()) is not None:
            # Where the caller has left, nobody else looks at it.
            _LOG.debug("an act ended with %r", error)


class Turn:
    """Acts one after another, also where the caller of one that runs has left.

    Args:
        threads: Where they run.
    """

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._lock = asyncio.Lock()

    async def go_on(self, act: Callable[[], Answer]) -> Answer:
        """As `Threads.go_on`."""
        return await self._threads.keep(self._next(self._threads.go_on, act))

    async def call_long(self, act: Callable[[], Answer]) -> Answer:
        """As `Threads.call_long`."""
        return await self._threads.keep(self._next(self._threads.call_long, act))

    async def _next(
        self, run: Callable[[Callable[[], Answer]], Awaitable[Answer]], act: Callable[[], Answer]
    ) -> Answer:
        async with self._lock:
            return await run(act)


class _End:
    """Comes after the last item."""


_END: Final[Any] = _End()


class _Steps(Generic[Item]):
    """An iterator that is read in threads and may be left while an item is being made."""

    def __init__(self, iterator: Iterator[Item]) -> None:
        self._iterator = iterator
        self._lock = threading.Lock()
        self._running = False
        self._left = False

    def next(self) -> Item:
        """The next item, or the end."""
        if not self._started():
            return _END  # type: ignore[no-any-return]
        try:
            return next(self._iterator, _END)
        finally:
            if self._ended():
                self.close()

    def leave(self) -> bool:
        """Makes no more items; whether the caller has to close."""
        with self._lock:
            self._left = True
            return not self._running

    def close(self) -> None:
        """Closes the iterator, if it can be."""
        close = getattr(self._iterator, "close", None)
        if close is not None:
            close()

    def _started(self) -> bool:
        """Whether an item may be made."""
        with self._lock:
            self._running = not self._left
            return self._running

    def _ended(self) -> bool:
        """Whether the caller has left while the item was made."""
        with self._lock:
            self._running = False
            return self._left
