"""Streams that are under way: a server that stops lets no new ones in, and waits for these."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from voiceflow.errors import Unavailable


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

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Counts a stream.

        Raises:
            Unavailable: SHUTTING_DOWN.
        """
        if self._closed:
            raise Unavailable(
                "the registry is shutting down; try another replica",
                reason="SHUTTING_DOWN",
                retry_after_seconds=self._retry_after_seconds,
            )
        self._count += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._count -= 1
            if not self._count:
                self._empty.set()

    async def close(self, limit_seconds: float) -> bool:
        """Lets no more in; whether all have left in time."""
        self._closed = True
        try:
            async with asyncio.timeout(limit_seconds):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True
