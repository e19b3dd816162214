"""Replies on their way to one client, bounded in bytes and in age.

Computing a stream and sending its replies go on side by side. While half of the room is taken the
stream is not read further, so a client that sends faster than it reads is slowed down, not cut;
one that does not read is cut when its oldest reply is too old.

What waits here is bytes already: a reply is serialised once, before its size counts.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from voiceflow.errors import LimitExceeded

Late: TypeAlias = Callable[[], bytes | None]
"""Makes a message when it is its turn; or None, and only hears that it is."""


class Outbox:
    """A queue with one writer, ``run``.

    Args:
        write: Sends one message; returns when the transport has taken it.
        maximum_bytes: More unsent bytes than this end the stream.
        maximum_seconds: So does an unsent message older than this.
    """

    def __init__(
        self,
        write: Callable[[bytes], Awaitable[None]],
        *,
        maximum_bytes: int,
        maximum_seconds: float,
    ) -> None:
        self._write = write
        self._maximum_bytes = maximum_bytes
        self._maximum_seconds = maximum_seconds
        self._waiting: deque[tuple[bytes | Late, float]] = deque()
        self._unsent_bytes = 0
        self._closed = False
        self._sending_since: float | None = None
        self._scope = asyncio.timeout(None)
        self._watchdog: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()
        self._roomy = asyncio.Event()
        self._roomy.set()

    def put(self, message: bytes) -> None:
        """Queues a message without waiting.

        Raises:
            LimitExceeded: More bytes than allowed are unsent.
        """
        unsent_bytes = self._unsent_bytes + len(message)
        if unsent_bytes > self._maximum_bytes:
            raise _slow_reader(
                f"{unsent_bytes} bytes of replies are unsent; allowed are {self._maximum_bytes}"
            )
        self._unsent_bytes = unsent_bytes
        if unsent_bytes > self._maximum_bytes // 2:
            self._roomy.clear()
        self._queue(message)

    def put_late(self, make: Late) -> None:
        """Queues what is made when the transport has taken all that was put before it."""
        self._queue(make)

    async def room(self) -> None:
        """Waits while more than half of the bytes allowed are unsent."""
        await self._roomy.wait()

    def has_room(self, size_bytes: int) -> bool:
        """Whether so much more can wait without slowing the stream down."""
        return self._unsent_bytes + size_bytes <= self._maximum_bytes // 2

    def close(self) -> None:
        """Lets ``run`` return when everything is sent."""
        self._closed = True
        self._changed.set()

    async def run(self) -> None:
        """Sends what is put, until ``close``.

        Raises:
            LimitExceeded: A message could not be sent in time.
        """
        try:
            async with self._scope:
                self._look()
                await self._send_all()
        except TimeoutError:
            raise _slow_reader(f"a reply has been unsent for {self._maximum_seconds:g} s") from None
        finally:
            if self._watchdog is not None:
                self._watchdog.cancel()

    async def _send_all(self) -> None:
        while True:
            while self._waiting:
                item, put_at = self._waiting.popleft()
                message = item if isinstance(item, bytes) else item()
                if message is not None:
                    await self._send(message, put_at)
                if isinstance(item, bytes):
                    self._unsent_bytes -= len(item)
                if self._unsent_bytes <= self._maximum_bytes // 2:
                    self._roomy.set()
            if self._closed:
                return
            self._changed.clear()
            await self._changed.wait()

    async def _send(self, message: bytes, put_at: float) -> None:
        self._sending_since = put_at
        await self._write(message)
        self._sending_since = None

    def _look(self) -> None:
        """Looks when a message is due: one timer a stream, not one a message."""
        now = asyncio.get_running_loop().time()
        since = now if self._sending_since is None else self._sending_since
        due = since + self._maximum_seconds
        if due <= now:
            self._scope.reschedule(now)
        else:
            self._watchdog = asyncio.get_running_loop().call_at(due, self._look)

    def _queue(self, item: bytes | Late) -> None:
        self._waiting.append((item, asyncio.get_running_loop().time()))
        self._changed.set()


def _slow_reader(message: str) -> LimitExceeded:
    return LimitExceeded(f"replies are read too slowly: {message}", reason="SLOW_READER")
