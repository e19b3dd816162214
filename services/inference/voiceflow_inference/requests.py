"""What clients send, one request at a time: how long it may take, and what may not be in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import monotonic_ns
from typing import Generic, TypeVar

from voiceflow.errors import InvalidInput, LimitExceeded
from voiceflow_inference.stages import Arrival

Request = TypeVar("Request")


class RequestReader(Generic[Request]):
    """Reads requests, none of which may be long in coming.

    Args:
        requests: From the transport; ends when the client half-closes.
        idle_seconds: How long it may take until the next one.

    Attributes:
        arrival: Of the request that was read last, or of there being no more.
        interrupted: Whether the reading was ended.
    """

    def __init__(self, requests: AsyncIterator[Request], idle_seconds: float) -> None:
        self._requests = requests
        self._idle_seconds = idle_seconds
        self._loop = asyncio.get_running_loop()
        self._scope: asyncio.Timeout | None = None
        self._waiting_since = 0.0
        self._watchdog: asyncio.TimerHandle | None = None
        self.arrival = Arrival(monotonic_ns(), -1)
        self.interrupted = False

    async def next(self) -> Request | None:
        """The next request; None when there will be no more.

        Raises:
            LimitExceeded: It did not come in time.
        """
        request = None if self.interrupted else await self._read()
        number = self.arrival.request + (request is not None)
        self.arrival = Arrival(monotonic_ns(), number)
        return request

    def interrupt(self) -> None:
        """Ends the reading, now, as if the client had half-closed."""
        self.interrupted = True
        self._end_wait()

    def close(self) -> None:
        """Stops watching; nothing is read any more."""
        if self._watchdog is not None:
            self._watchdog.cancel()

    async def _read(self) -> Request | None:
        self._waiting_since = self._loop.time()
        if self._watchdog is None:
            self._watch(self._waiting_since + self._idle_seconds)
        try:
            async with asyncio.timeout(None) as self._scope:
                return await anext(self._requests, None)
        except TimeoutError:
            self._check_interrupted()
            return None
        finally:
            self._scope = None

    def _watch(self, at_seconds: float) -> None:
        """Looks when the next request is due: one timer a stream, not one a request."""
        self._watchdog = self._loop.call_at(at_seconds, self._look)

    def _look(self) -> None:
        due = self._waiting_since + self._idle_seconds
        if self._scope is None:  # busy with a request, not idle
            self._watch(self._loop.time() + self._idle_seconds)
        elif self._loop.time() < due:
            self._watch(due)
        else:
            self._end_wait()

    def _end_wait(self) -> None:
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(self._loop.time())

    def _check_interrupted(self) -> None:
        if not self.interrupted:
            raise LimitExceeded(
                f"no request came for {self._idle_seconds:g} s", reason="STREAM_IDLE"
            )


def check_audio_bytes(audio: bytes, limit: int) -> None:
    """Refuses a message with too much audio.

    Raises:
        InvalidInput: It has more than ``limit`` bytes.
    """
    if len(audio) > limit:
        raise InvalidInput(
            f"{len(audio)} bytes of audio in one message; allowed are {limit}",
            reason="AUDIO_MESSAGE_TOO_LARGE",
            field="audio",
        )


def empty_request() -> InvalidInput:
    """The error for a request that says nothing."""
    return InvalidInput("a request without content", reason="REQUEST_EMPTY", field="request")


def config_repeated() -> InvalidInput:
    """The error for a second config."""
    return InvalidInput(
        "a second config; a stream has one, as its first request",
        reason="CONFIG_REPEATED",
        field="config",
    )
