"""Follows channels, and goes on by itself after a cut: nothing is missed, nothing comes twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final

import grpc

from voiceflow.catalog.channels import (
    ChannelCursor,
    ChannelPolicy,
    Heartbeat,
    Promotion,
    WatchEvent,
)
from voiceflow.client.failures import ON_THE_WAY
from voiceflow.client.registry.connection import Connection
from voiceflow.client.retry import RetryPolicy
from voiceflow.errors import TooLarge, Unavailable, VoiceFlowError
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.rpc.registry import cursor_to_wire, watch_event_from_wire

FOREVER: Final = RetryPolicy(attempts=2**31, first_pause_seconds=0.2, longest_pause_seconds=10.0)
"""A watch that stood once outlasts any outage."""

SILENCE_SECONDS: Final = 30.0
"""Heartbeats come every 10 s; after this time without anything the stream is given up."""


class Watching:
    """One watch over any number of streams.

    Args:
        connection: To the registry.
        cursors: From where each channel is watched.
        silence_seconds: A stream that tells nothing for so long is taken up anew.
        patience: With which it is taken up, once it stood.
    """

    def __init__(
        self,
        connection: Connection,
        cursors: Sequence[ChannelCursor],
        silence_seconds: float = SILENCE_SECONDS,
        patience: RetryPolicy = FOREVER,
    ) -> None:
        self._connection = connection
        self._after: dict[str, int | None] = {one.channel: one.after_sequence for one in cursors}
        self._policies: dict[str, tuple[int, str]] = {}
        self._silence_seconds = silence_seconds
        self._patience = patience
        self._stood = False

    async def events(self) -> AsyncGenerator[WatchEvent, None]:
        """Promotions in order, each once; policies when they change; heartbeats.

        Raises:
            VoiceFlowError: The registry refuses, or the first connection did not come about.
        """
        failures = 0
        while True:
            try:
                async with aclosing(self._stream()) as events:
                    async for event in events:
                        failures, self._stood = 0, True
                        yield event
                raise Unavailable("the registry ended the watch", reason="UNAVAILABLE")
            except TooLarge as error:  # too slow: what waited there is sent again
                lost: VoiceFlowError = Unavailable(error.message, reason=error.reason)
            except VoiceFlowError as error:
                lost = error
            if self._stood and lost.reason in ON_THE_WAY:  # an outage until somebody sees to it
                lost = Unavailable(lost.message, reason=lost.reason)
            failures += 1
            await self._connection.pause(lost, failures, self._patience if self._stood else None)

    async def _stream(self) -> AsyncGenerator[WatchEvent, None]:
        """One stream, from where the last one ended."""
        cursors = [
            cursor_to_wire(ChannelCursor(channel=channel, after_sequence=after))
            for channel, after in self._after.items()
        ]
        call = self._connection.stub.WatchChannels(pb.WatchChannelsRequest(channels=cursors))
        try:
            while True:
                # Not `wait_for`: before Python 3.12 it may lose a cancellation.
                async with asyncio.timeout(self._silence_seconds):
                    message = await call.read()
                if not isinstance(message, pb.WatchChannelsResponse):
                    return
                event = watch_event_from_wire(message)
                if self._take(event):
                    yield event
        except grpc.aio.AioRpcError as error:
            raise self._connection.error_of(error) from None
        except TimeoutError:
            raise Unavailable(
                f"the registry at {self._connection.target} told nothing for"
                f" {self._silence_seconds:g} s",
                reason="WATCH_SILENT",
            ) from None
        finally:
            call.cancel()

    def _take(self, event: WatchEvent) -> bool:
        """Moves the cursor; False for what was told before.

        Raises:
            Unavailable: WATCH_GAP: something was left out; it is asked for again.
        """
        match event:
            case Promotion():
                channel = event.name.rpartition("/promotions/")[0]
                return self._reach(channel, event.sequence)
            case ChannelPolicy():
                seen = (event.sequence, event.etag)
                news = self._policies.get(event.name) != seen
                self._policies[event.name] = seen
                return news
            case Heartbeat():
                for cursor in event.channels:
                    self._heartbeat(cursor)
                return True

    def _reach(self, channel: str, sequence: int) -> bool:
        after = self._after.get(channel)
        if after is not None and sequence <= after:
            return False
        if after is not None and sequence > after + 1:
            raise _gap(channel, after, sequence)
        self._after[channel] = sequence
        return True

    def _heartbeat(self, cursor: ChannelCursor) -> None:
        """The registry says how far it has told; what begins with the newest begins there."""
        after = self._after.get(cursor.channel)
        if after is None:
            self._after[cursor.channel] = cursor.after_sequence
        elif (cursor.after_sequence or 0) > after:
            raise _gap(cursor.channel, after, cursor.after_sequence or 0)


def _gap(channel: str, after: int, sequence: int) -> Unavailable:
    return Unavailable(
        f"{channel}: {sequence} came after {after}; what is between is asked for again",
        reason="WATCH_GAP",
    )
