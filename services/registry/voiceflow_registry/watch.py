"""Tells watchers of every promotion of some channels, in order, each exactly once.

One feed looks at each watched channel about once a second, however many watch it. A watcher keeps
of each channel the sequence that it was sent last, and takes the next one whenever the feed's head
is beyond it: from what the feed has kept, or from the store. So nothing is queued for a watcher,
and whoever joins, lags or leaves, the next one to be sent is always the one after the last.

A store that does not answer ends no watcher and skips nothing: promotions come later, and meanwhile
heartbeats stop.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import datetime
from itertools import islice
from typing import Final, Protocol, TypeVar

from voiceflow.catalog.channels import (
    ChannelCursor,
    ChannelPolicy,
    Heartbeat,
    Promotion,
    WatchEvent,
)
from voiceflow.catalog.names import ChannelName
from voiceflow.errors import ContentCorrupt, InvalidInput, NotAllowedNow, TooLarge, Unavailable
from voiceflow_registry.storage.object_store import StoreError

MAXIMUM_CHANNELS: Final = 100
"""That one watcher may watch."""

_KEPT_PROMOTIONS: Final = 256
_READ_AT_ONCE: Final = 64
_STEADY: Final = 0.8
"""A look follows the last one after this part of the interval at least, at random: replicas that
were started together do not look together."""

_RESTART_SECONDS: Final = 1.0
"""When watchers of a replica that stops are told to come back."""

Answer = TypeVar("Answer")

_log = logging.getLogger(__name__)


class WatchedChannels(Protocol):
    """What watching needs to know of channels; all of it blocks."""

    def newest(self, name: ChannelName) -> Promotion | None:
        """The promotion in force."""

    def promotions_after(self, name: ChannelName, sequence: int) -> Iterator[Promotion]:
        """Those that follow, in order, up to the newest."""

    def policy(self, name: ChannelName) -> ChannelPolicy:
        """The policy in force."""

    def policy_after(self, name: ChannelName, sequence: int) -> ChannelPolicy | None:
        """The policy in force, if it is newer."""


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
        self._feeds: dict[ChannelName, _Feed] = {}
        self._closed = False

    @asynccontextmanager
    async def subscribe(
        self, cursors: Sequence[ChannelCursor]
    ) -> AsyncIterator[AsyncIterator[WatchEvent]]:
        """Watches some channels for as long as the context lasts.

        The events are first the policy of each channel, then promotions, and a heartbeat when all
        that there were are sent. The same promotion is the same object for all watchers. Iterating
        raises TooLarge, WATCHER_TOO_SLOW, if more than the limit wait, and Unavailable,
        SHUTTING_DOWN, when the hub closes.

        Args:
            cursors: 1 to 100 channels, each once, and how far each is known.

        Raises:
            InvalidInput: NAME_INVALID, FIELD_REQUIRED, FIELD_INVALID.
            NotAllowedNow: SEQUENCE_AHEAD, if a cursor is beyond what the registry holds.
            StoreUnavailable: The store does not answer.
        """
        names = _names(cursors)
        self._check_open()
        watcher = _Watcher()
        feeds = [self._join(name, watcher) for name in names]
        try:
            await asyncio.gather(*(feed.look_anew() for feed in feeds))
            for cursor, feed in zip(cursors, feeds, strict=True):
                if cursor.after_sequence is None:
                    watcher.sent[feed] = max(0, feed.head - 1)
                else:
                    watcher.sent[feed] = cursor.after_sequence
                watcher.excused[feed] = feed.head
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

    def _join(self, name: ChannelName, watcher: _Watcher) -> _Feed:
        feed = self._feeds.get(name)
        if feed is None:
            feed = _Feed(name, self._channels, self._poll_seconds, self._executor)
            self._feeds[name] = feed
        feed.watchers.add(watcher)
        return feed

    def _leave(self, feed: _Feed, watcher: _Watcher) -> bool:
        """Whether nobody is left who watches."""
        feed.watchers.discard(watcher)
        if feed.watchers or self._feeds.get(feed.name) is not feed:
            return False
        del self._feeds[feed.name]
        return True

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable(
                "the registry is shutting down; watch another replica, from the last sequence seen",
                reason="SHUTTING_DOWN",
                retry_after_seconds=_RESTART_SECONDS,
            )

    async def _events(self, watcher: _Watcher) -> AsyncGenerator[WatchEvent, None]:
        clock = asyncio.get_running_loop().time
        told: dict[_Feed, int] = {}
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
                    yield promotion
                    quiet_since = quiet_since and clock()
            told_all = all(told[feed] == feed.policy.sequence for feed in watcher.sent)
            if told_all and self._is_due(watcher, quiet_since, clock()):
                yield self._heartbeat(watcher)
                quiet_since = clock()
            await self._wait(watcher, quiet_since, clock())
            for feed in watcher.sent:  # what one look brings, or a fault kept back
                watcher.excused[feed] = feed.head

    async def _following(self, feed: _Feed, watcher: _Watcher) -> Promotion | None:
        """The promotion to be sent next; None if there is none, or the store does not answer.

        Raises:
            TooLarge: WATCHER_TOO_SLOW.
        """
        sent = watcher.sent[feed]
        if sent >= feed.head:
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
            read = await feed.read(
                lambda: list(
                    islice(self._channels.promotions_after(feed.name, sent), _READ_AT_ONCE)
                )
            )
        except (StoreError, ContentCorrupt) as error:
            _log.warning("cannot read what follows %s of %s: %s", sent, feed.name, error)
            return None
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
    """One caller: of each channel, what was sent to it last."""

    def __init__(self) -> None:
        self.wake = asyncio.Event()
        self.sent: dict[_Feed, int] = {}
        self.excused: dict[_Feed, int] = {}
        self.ahead: dict[tuple[_Feed, int], Promotion] = {}

    def waiting(self) -> int:
        """Promotions that came while it took others, and were not sent."""
        return sum(
            max(0, feed.head - max(sent, self.excused[feed])) for feed, sent in self.sent.items()
        )


class _Feed:
    """Looks at one channel for all its watchers."""

    def __init__(
        self,
        name: ChannelName,
        channels: WatchedChannels,
        poll_seconds: float,
        executor: Executor | None,
    ) -> None:
        self.name = name
        self.head = 0
        self.kept: dict[int, Promotion] = {}
        self.looked_at = 0.0
        self.watchers: set[_Watcher] = set()
        self._policy: ChannelPolicy | None = None
        self._channels = channels
        self._poll_seconds = poll_seconds
        self._executor = executor
        self._nudged = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        self._asked: list[asyncio.Future[None]] = []
        self._failing = False
        self._task = asyncio.create_task(self._run(), name=f"feed of {name}")
        self._task.add_done_callback(self._ended)

    @property
    def policy(self) -> ChannelPolicy:
        """As last looked at; there is one once `look_anew` has returned."""
        if self._policy is None:
            raise RuntimeError(f"{self.name} was not looked at yet")
        return self._policy

    def nudge(self) -> None:
        """Looks at once, or once more after the look that is under way."""
        self._nudged.set()

    async def look_anew(self) -> None:
        """Returns after a look that was begun after this call.

        Raises:
            StoreUnavailable: The look failed.
            Unavailable: SHUTTING_DOWN.
        """
        self.check()
        looked = asyncio.get_running_loop().create_future()
        self._waiting.append(looked)
        self.nudge()
        await looked

    async def read(self, act: Callable[[], Answer]) -> Answer:
        """Does what blocks in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, act)

    def check(self) -> None:
        """Raises what has ended this feed against all expectation."""
        if self._task.done() and not self._task.cancelled():
            self._task.result()

    def wake_watchers(self) -> None:
        """There is something new."""
        for watcher in self.watchers:
            watcher.wake.set()

    async def stop(self) -> None:
        """Looks no more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._nudged.clear()
            self._asked, self._waiting = self._waiting, []
            began = loop.time()
            fault: Exception | None = None
            try:
                await self._look()
                self.looked_at = began
            except (StoreError, ContentCorrupt) as error:
                fault = error
            self._note(fault)
            self._tell(self._asked, fault)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_seconds * random.uniform(_STEADY, 1.0)):  # noqa: S311 - spreads load
                    await self._nudged.wait()

    async def _look(self) -> None:
        known = self._policy
        if known is None:
            newest, policy = await self.read(
                lambda: (self._channels.newest(self.name), self._channels.policy(self.name))
            )
            found = [newest] if newest else []
        else:
            found, changed = await self.read(
                lambda: (
                    list(self._channels.promotions_after(self.name, self.head)),
                    self._channels.policy_after(self.name, known.sequence),
                )
            )
            policy = changed or known
        for promotion in found:
            self.kept[promotion.sequence] = promotion
            self.head = promotion.sequence
        while len(self.kept) > _KEPT_PROMOTIONS:
            del self.kept[next(iter(self.kept))]
        if found or policy is not known:
            self._policy = policy
            self.wake_watchers()

    def _note(self, fault: Exception | None) -> None:
        """Logs when looking begins to fail, and when it works again."""
        if fault is not None and not self._failing:
            _log.warning("cannot look at %s, its watchers wait: %s", self.name, fault)
        elif fault is None and self._failing:
            _log.info("can look at %s again", self.name)
        self._failing = fault is not None

    def _ended(self, task: asyncio.Task[None]) -> None:
        """The hub closes, or something failed against all expectation: nobody is left waiting."""
        fault = _shutting_down() if task.cancelled() else task.exception()
        self._tell([*self._asked, *self._waiting], fault)
        self.wake_watchers()

    def _tell(self, asked: Sequence[asyncio.Future[None]], fault: BaseException | None) -> None:
        for looked in asked:
            if looked.done():  # told already, or its watcher has left
                continue
            if fault is None:
                looked.set_result(None)
            else:
                looked.set_exception(fault)


def _shutting_down() -> Unavailable:
    return Unavailable("the registry is shutting down", reason="SHUTTING_DOWN")


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
