"""Replies on their way to one client, bounded in bytes and in age.

Computing a stream and sending its replies go on side by side. While half of the room is taken the
stream is not read further, so a client that sends faster than it reads is slowed down, not cut;
one that does not read is cut when its oldest reply is too old.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from voiceflow.errors import LimitExceeded


class _Sized(Protocol):
    def ByteSize(self) -> int:  # noqa: N802 a protocol buffer message
        ...


Message = TypeVar("Message", bound=_Sized)


class Outbox(Generic[Message]):
    """A queue with one writer, ``run``.

    Args:
        write: Sends one message; returns when the transport has taken it.
        maximum_bytes: More unsent bytes than this end the stream.
        maximum_seconds: So does an unsent message older than this.
    """

    def __init__(
        self,
        write: Callable[[Message], Awaitable[None]],
        *,
        maximum_bytes: int,
        maximum_seconds: float,
    ) -> None:
        self._write = write
        self._maximum_bytes = maximum_bytes
        self._maximum_seconds = maximum_seconds
        self._waiting: deque[tuple[Message, int, float]] = deque()
        self._unsent_bytes = 0
        self._closed = False
        self._changed = asyncio.Event()
        self._roomy = asyncio.Event()
        self._roomy.set()

    def put(self, message: Message) -> None:
        """Queues a message without waiting.

        Raises:
            LimitExceeded: More bytes than allowed are unsent.
        """
        size = message.ByteSize()
        if self._unsent_bytes + size > self._maximum_bytes:
            raise _slow_reader(
                f"{self._unsent_bytes + size} bytes of replies are unsent; allowed are"
                f" {self._maximum_bytes}"
            )
        self._unsent_bytes += size
        if self._unsent_bytes > self._maximum_bytes // 2:
            self._roomy.clear()
        self._waiting.append((message, size, asyncio.get_running_loop().time()))
        self._changed.set()

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
        while True:
            while self._waiting:
                message, size, put_at = self._waiting.popleft()
                try:
                    async with asyncio.timeout_at(put_at + self._maximum_seconds):
                        await self._write(message)
                except TimeoutError:
                    raise _slow_reader(
                        f"a reply has been unsent for {self._maximum_seconds:g} s"
                    ) from None
                self._unsent_bytes -= size
                if self._unsent_bytes <= self._maximum_bytes // 2:
                    self._roomy.set()
            if self._closed:
                return
            self._changed.clear()
            await self._changed.wait()


def _slow_reader(message: str) -> LimitExceeded:
    return LimitExceeded(f"replies are read too slowly: {message}", reason="SLOW_READER")
