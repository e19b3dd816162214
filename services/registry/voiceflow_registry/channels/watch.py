"""Tells watchers of every promotion of some channels, in order, each exactly once.

One feed looks at each watched channel about once a second, however many watch it. A watcher keeps
of each channel the sequence that it was sent last, and takes the next one whenever the feed's head
is beyond it: from what the feed has kept, or from the store. So nothing is queued for a watcher,
and whoever joins, lags or leaves, the next one to be sent is always the one after the last.

A store that does not answer ends no watcher and skips nothing: promotions come later, and meanwhile
heartbeats stop. What is not as it was stored ends those that have come so far: it does not pass.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import datetime
from itertools import islice
from typing import Final

from voiceflow.catalog.channels import (
    ChannelCursor,
    Heartbeat,
    Promotion,
    WatchEvent,
)
from voiceflow.catalog.names import ChannelName
from voiceflow.errors import InvalidInput, NotAllowedNow, TooLarge
from voiceflow_registry.channels.feed import Feed, WatchedChannels, readable, shutting_down
from voiceflow_registry.channels.traces import delivering
from voiceflow_registry.storage.object_store import StoreError

MAXIMUM_CHANNELS: Final = 100
"""That one watcher may watch."""

_READ_AT_ONCE: Final = 64
_log = logging.getLogger(__name__)


class WatchHub:
    """All watchers of one replica. Everything happens on one event loop, reading in threads.

    Args:
        channels: What is watched.
        clock: Tells when heartbeats were sent, for people.
        poll_seconds: A channel is looked at this often, or a little oftener.
        heartbeat_seconds: One comes when so long nothing else did.
        waiting_limit: Promotions that may come while a watcher still takes others, besides those
            that it asked for when it came.
        executor: Where reading blocks; None: the loop's own.
    """

    def __init__(
        self,
        channels: WatchedChannels,
        *,
        clock: Callable[[], datetime],
        poll_seconds: float = 1.0,
        heartbeat_seconds: float = 8.0,
        waiting_limit: int = 1000,
        executor: Executor | None = None,
    ) -> None:
        self._channels = channels
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._waiting_limit = waiting_limit
        self._executor = executor
        self._feeds: dict[ChannelName, Feed] = {}
        self._watching = 0
        self._closed = False

    @property
    def watching(self) -> int:
        """Calls that watch."""
        return self._watching

    @asynccontextmanager
    async def subscribe(
        self, cursors: Sequence[ChannelCursor]
    ) -> AsyncIterator[AsyncIterator[WatchEvent]]:
        """Watches some channels for as long as the context lasts.

        The events are first the policy of each channel, then promotions, and a heartbeat when all
        that there were are sent. The same promotion is the same object for all watchers. Iterating
        raises TooLarge, WATCHER_TOO_SLOW, if more than the limit wait, ContentCorrupt where the
        next promotion is not as it was stored, and Unavailable, SHUTTING_DOWN, when the hub closes.

        Args:
            cursors: 1 to 100 channels, each once, and how far each is known.

        Raises:
            InvalidInput: NAME_INVALID, FIELD_REQUIRED, FIELD_INVALID.
            NotAllowedNow: SEQUENCE_AHEAD, if a cursor is beyond what the registry holds.
            StoreUnavailable: The store does not answer.
            ContentCorrupt: The newest promotion or the policy is not as it was stored.
        """
        names = _names(cursors)
        self._check_open()
        watcher = _Watcher()
        feeds = [self._join(name, watcher) for name in names]
        self._watching += 1
        try:
            await asyncio.gather(*(feed.look_anew() for feed in feeds))
            for cursor, feed in zip(cursors, feeds, strict=True):
                if cursor.after_sequence is None:
                    watcher.sent[feed] = max(0, feed.head - 1)
                else:
                    watcher.sent[feed] = cursor.after_sequence
                watcher.excused[feed] = watcher.found[feed] = feed.head
                if watcher.sent[feed] > feed.head:
                    raise NotAllowedNow(
                        f"{feed.name} is at sequence {feed.head}, and the watcher has seen "
                        f"{cursor.after_sequence}: this registry was set back to an older copy, or "
                        "is another one",
                        reason="SEQUENCE_AHEAD",
                        field="channels",
                    )
            async with aclosing(self._events(watcher)) as events:
                yield events
        finally:
            self._watching -= 1
            ended = [feed for feed in feeds if self._leave(feed, watcher)]
            await asyncio.gather(*(feed.stop() for feed in ended))

    def nudge(self, channel: ChannelName) -> None:
        """Looks at a channel at once, because it was promoted to; on the event loop."""
        if channel in self._feeds:
            self._feeds[channel].nudge()

    async def close(self) -> None:
        """Ends every watcher with SHUTTING_DOWN."""
        self._closed = True
        for feed in list(self._feeds.values()):
            feed.wake_watchers()
            await feed.stop()

    def _join(self, name: ChannelName, watcher: _Watcher) -> Feed:
        feed = self._feeds.get(name)
        if feed is None:
            feed = Feed(name, self._channels, self._poll_seconds, self._executor)
            self._feeds[name] = feed
        feed.wakes.add(watcher.wake)
        return feed

    def _leave(self, feed: Feed, watcher: _Watcher) -> bool:
        """Whether nobody is left who watches."""
        feed.wakes.discard(watcher.wake)
        if feed.wakes or self._feeds.get(feed.name) is not feed:
            return False
        del self._feeds[feed.name]
        return True

    def _check_open(self) -> None:
        if self._closed:
            raise shutting_down()

    async def _events(self, watcher: _Watcher) -> AsyncGenerator[WatchEvent, None]:
        clock = asyncio.get_running_loop().time
        told: dict[Feed, int] = {}
        quiet_since: float | None = None  # no heartbeat was sent yet
        while True:
            watcher.wake.clear()
            self._check_open()
            for feed in watcher.sent:
                feed.check()
                if told.get(feed) != feed.policy.sequence:
                    told[feed] = feed.policy.sequence
                    yield feed.policy
                    quiet_since = quiet_since and clock()
            for feed in watcher.sent:
                while (promotion := await self._following(feed, watcher)) is not None:
                    watcher.sent[feed] = promotion.sequence
                    if promotion.sequence <= watcher.found[feed]:
                        yield promotion
                    else:
                        with delivering(promotion, self._clock):
                            yield promotion
                    quiet_since = quiet_since and clock()
            told_all = all(told[feed] == feed.policy.sequence for feed in watcher.sent)
            if told_all and self._is_due(watcher, quiet_since, clock()):
                yield self._heartbeat(watcher)
                quiet_since = clock()
            await self._wait(watcher, quiet_since, clock())
            for feed in watcher.sent:  # what one look brings, or a fault kept back
                watcher.excused[feed] = feed.head

    async def _following(self, feed: Feed, watcher: _Watcher) -> Promotion | None:
        """The promotion to be sent next; None if there is none, or the store does not answer.

        Raises:
            TooLarge: WATCHER_TOO_SLOW.
            ContentCorrupt: CONTENT_CORRUPT.
        """
        sent = watcher.sent[feed]
        if sent >= feed.head:
            if feed.corrupt is not None:
                raise feed.corrupt
            return None
        waiting = watcher.waiting()
        if waiting > self._waiting_limit:
            raise TooLarge(
                f"{waiting} promotions wait for this watcher; allowed are {self._waiting_limit}; "
                "watch again from the last sequence seen",
                reason="WATCHER_TOO_SLOW",
            )
        kept = feed.kept.get(sent + 1) or watcher.ahead.get((feed, sent + 1))
        if kept is not None:
            return kept
        try:
            read, corrupt = await feed.read(
                lambda: readable(
                    islice(self._channels.promotions_after(feed.name, sent), _READ_AT_ONCE)
                )
            )
        except StoreError as error:
            _log.warning("cannot read what follows %s of %s: %s", sent, feed.name, error)
            return None
        if corrupt is not None and not read:
            raise corrupt
        watcher.ahead = {(feed, promotion.sequence): promotion for promotion in read}
        return watcher.ahead.get((feed, sent + 1))

    def _is_due(self, watcher: _Watcher, quiet_since: float | None, now: float) -> bool:
        if quiet_since is not None and now < quiet_since + self._heartbeat_seconds:
            return False
        return all(
            sent == feed.head and now - feed.looked_at <= self._heartbeat_seconds
            for feed, sent in watcher.sent.items()
        )

    def _heartbeat(self, watcher: _Watcher) -> Heartbeat:
        channels = tuple(
            ChannelCursor(channel=str(feed.name), after_sequence=sent)
            for feed, sent in watcher.sent.items()
        )
        return Heartbeat(channels=channels, send_time=self._clock())

    async def _wait(self, watcher: _Watcher, quiet_since: float | None, now: float) -> None:
        """Until a feed has something new, a heartbeat is due or a fault may have passed."""
        caught_up = all(sent == feed.head for feed, sent in watcher.sent.items())
        due = (quiet_since or now) + self._heartbeat_seconds
        pause = due - now if caught_up and quiet_since and due > now else self._poll_seconds
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await watcher.wake.wait()


class _Watcher:
    """One caller: of each channel, what it found when it came, and what was sent to it last."""

    def __init__(self) -> None:
        self.wake = asyncio.Event()
        self.found: dict[Feed, int] = {}
        self.sent: dict[Feed, int] = {}
        self.excused: dict[Feed, int] = {}
        self.ahead: dict[tuple[Feed, int], Promotion] = {}

    def waiting(self) -> int:
        """Promotions that came while it took others, and were not sent."""
        return sum(
            max(0, feed.head - max(sent, self.excused[feed])) for feed, sent in self.sent.items()
        )


def _names(cursors: Sequence[ChannelCursor]) -> list[ChannelName]:
    if not cursors:
        raise InvalidInput(
            "channels: none; a watcher names 1 to 100", reason="FIELD_REQUIRED", field="channels"
        )
    if len(cursors) > MAXIMUM_CHANNELS:
        raise InvalidInput(
            f"channels: {len(cursors)} of them; allowed are {MAXIMUM_CHANNELS}",
            reason="FIELD_INVALID",
            field="channels",
        )
    names: list[ChannelName] = []
    for index, cursor in enumerate(cursors):
        name = ChannelName.parse(cursor.channel, field=f"channels[{index}].channel")
        if name in names:
            raise InvalidInput(
                f"channels[{index}].channel: {name} for the second time; each may come once",
                reason="FIELD_INVALID",
                field=f"channels[{index}].channel",
            )
        names.append(name)
    return names
