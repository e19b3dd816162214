"""A channel whose credentials may change while it is open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import grpc


class RenewingChannel(grpc.aio.Channel):
    """Opens a new connection for the next call where the credentials have changed.

    gRPC gives a channel its credentials once and for all. So each call looks whether they are still
    those of the channel; calls that run go on over the old one, which is closed after the last.

    Args:
        opened: Opens a channel with the newest credentials.
        renewed: Looks at the credentials; whether they are others than at the last look. A few
            small files are read for that, on the event loop: what a call costs is far more.
    """

    def __init__(self, opened: Callable[[], grpc.aio.Channel], renewed: Callable[[], bool]) -> None:
        self._open = opened
        self._renewed = renewed
        self._channel = opened()
        self._left: dict[grpc.aio.Channel, asyncio.Task[None]] = {}

    def current(self) -> grpc.aio.Channel:
        """The channel for the next call."""
        if self._renewed():
            old, self._channel = self._channel, self._open()
            closing = asyncio.get_running_loop().create_task(old.close(grace=_AS_LONG_AS_NEEDED))
            self._left[old] = closing
            closing.add_done_callback(lambda _: self._left.pop(old, None))
        return self._channel

    async def close(self, grace: float | None = None) -> None:
        """Ends all calls, also those over connections that were left."""
        left, self._left = self._left, {}
        for channel, closing in left.items():
            closing.cancel()
            with suppress(asyncio.CancelledError):
                await closing
            await channel.close(grace)
        await self._channel.close(grace)

    async def __aenter__(self) -> RenewingChannel:  # noqa: PYI034 - as the base class has it
        """Is open already."""
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Closes it."""
        await self.close()

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """Of the present connection."""
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Of the present connection."""
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Waits for the present connection."""
        await self._channel.channel_ready()

    def unary_unary(self, *method: Any, **more: Any) -> Any:
        """A method; see `grpc.aio.Channel`."""
        return _Method(self, "unary_unary", method, more)

    def unary_stream(self, *method: Any, **more: Any) -> Any:
        """A method; see `grpc.aio.Channel`."""
        return _Method(self, "unary_stream", method, more)

    def stream_unary(self, *method: Any, **more: Any) -> Any:
        """A method; see `grpc.aio.Channel`."""
        return _Method(self, "stream_unary", method, more)

    def stream_stream(self, *method: Any, **more: Any) -> Any:
        """A method; see `grpc.aio.Channel`."""
        return _Method(self, "stream_stream", method, more)


_AS_LONG_AS_NEEDED: Final = 1e9
"""Seconds; calls end by themselves, or with the client."""


class _Method:
    """A method that is called over whatever channel is the present one."""

    def __init__(
        self, channel: RenewingChannel, kind: str, method: tuple[Any, ...], more: dict[str, Any]
    ) -> None:
        self._channel = channel
        self._kind = kind
        self._method = method
        self._more = more
        self._bound: tuple[grpc.aio.Channel, Any] | None = None

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        channel = self._channel.current()
        if self._bound is None or self._bound[0] is not channel:
            self._bound = channel, getattr(channel, self._kind)(*self._method, **self._more)
        return self._bound[1](*arguments, **options)
