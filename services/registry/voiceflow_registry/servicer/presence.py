"""Streams that are under way: a server that stops lets no new ones in, and waits for these."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from voiceflow.errors import Overloaded, Unavailable

Said = TypeVar("Said")


class Presence:
    """Counts the streams of a server.

    Args:
        retry_after_seconds: What those are told who come too late.
    """

    def __init__(self, *, retry_after_seconds: float) -> None:
        self._retry_after_seconds = retry_after_seconds
        self._count = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._closed = False
        self._waiting: set[asyncio.Timeout] = set()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Counts a stream.

        Raises:
            Unavailable: SHUTTING_DOWN.
        """
        self._check_open()
        self._count += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._count -= 1
            if not self._count:
                self._empty.set()

    async def heard(self, read: Callable[[], Awaitable[Said]], limit_seconds: float) -> Said:
        """What a caller says next; one who says nothing does not hold up a server that stops.

        Args:
            read: Waits for it.
            limit_seconds: For at most so long.

        Raises:
            TimeoutError: The caller has said nothing.
            Unavailable: SHUTTING_DOWN.
        """
        self._check_open()
        patience = asyncio.timeout(limit_seconds)
        try:
            async with patience:
                self._waiting.add(patience)
                return await read()
        except TimeoutError:
            self._check_open()
            raise
        finally:
            self._waiting.discard(patience)

    async def close(self, limit_seconds: float) -> bool:
        """Lets no more in; whether all have left in time."""
        self._closed = True
        for patience in self._waiting:
            if not patience.expired():
                patience.reschedule(asyncio.get_running_loop().time())
        try:
            async with asyncio.timeout(limit_seconds):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable(
                "the registry is shutting down; try another replica",
                reason="SHUTTING_DOWN",
                retry_after_seconds=self._retry_after_seconds,
            )


class Places:
    """Bounds how many streams of one kind are open at once, for each holds memory.

    Args:
        places: So many.
        retry_after_seconds: What those are told who find none free.
    """

    def __init__(self, places: int, *, retry_after_seconds: float) -> None:
        self._places = places
        self._taken = 0
        self._retry_after_seconds = retry_after_seconds

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Takes a place.

        Raises:
            Overloaded: OVERLOADED.
        """
        if self._taken >= self._places:
            raise Overloaded(
                f"{self._taken} streams of this kind are open; allowed are {self._places}",
                reason="OVERLOADED",
                retry_after_seconds=self._retry_after_seconds,
            )
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
