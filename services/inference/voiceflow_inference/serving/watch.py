"""A registry as the source of versions: what it promotes is followed for as long as the pod lives.

The watch is only a bell. What it tells is looked up in the channel's history, which is believed as
far as `belief` goes: a start, a promotion, a day without the registry and an attack take one way.
Any end of the watch is an outage until it stands again; meanwhile the pod serves what it has.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from typing import Final, Never

from voiceflow.catalog.channels import (
    ChannelCursor,
    ChannelPolicy,
    Heartbeat,
    Promotion,
    RevertRules,
    Role,
    VersionPin,
    WatchEvent,
)
from voiceflow.client.registry import RegistryClient
from voiceflow.client.retry import NO_RETRY
from voiceflow.errors import Unavailable, VoiceFlowError
from voiceflow_inference.serving.belief import STATE, Belief
from voiceflow_inference.serving.cache import Cache
from voiceflow_inference.serving.download import (
    ANSWER_SECONDS,
    Found,
    Registry,
    fetch_version,
    newest_steps,
)
from voiceflow_inference.serving.since import Since, promoted
from voiceflow_inference.serving.state import Wanted
from voiceflow_inference.serving.tracing import step, under

_LOG = logging.getLogger(__name__)

REGISTRY: Final = "registry"
"""Subject of the alarm about a registry that says what cannot be trusted."""

DOWNLOAD: Final = "download"
"""Subject of the alarm about a version that is promoted and does not arrive."""

WARM_WAIT_SECONDS: Final = 10.0
"""Longer a pod that holds a package does not wait for a registry that may know of a newer one."""

WARM_FETCH_SECONDS: Final = 120.0
"""Longer it does not fetch a newer one in one go; the next goes on from what has come."""

SILENCE_SECONDS: Final = 30.0
"""Heartbeats come every 10 s; a watch that tells nothing for so long is opened anew."""

FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 5.0
"""Between two tries to reach the registry; doubles from the one to the other."""

EVENT_PAUSE_SECONDS: Final = 0.05
"""No registry keeps a pod busier than that with what it tells."""

MAXIMUM_TOLD: Final = 32
"""Promotions that are known, so that a pod which goes back to one can remember it."""

LEAST_HANG_SECONDS: Final = 1.0
"""A policy is not signed: with a shorter limit a registry could drive pods from a good model."""


class RegistrySource:
    """What one channel of a registry promotes; a `Source`.

    Args:
        registry: Is asked.
        belief: What is believed of the channel.
        cache: Where versions go.
        rules: When versions are left, where the channel's policy says nothing of that.

    Attributes:
        cache: Where versions go.
        watch_lost_time: Since when the watch does not stand; None: it does.
    """

    def __init__(
        self, registry: Registry, belief: Belief, cache: Cache, rules: RevertRules
    ) -> None:
        self.watch_lost_time: datetime | None = None
        self._registry = registry
        self._belief = belief
        self.cache = cache
        self._default_rules = self._rules = rules
        self._wanted: Wanted | None = None
        self._told: dict[int, Promotion] = {}
        self._since: dict[int, Mapping[Role, Since]] = {}
        self._settled = False
        self._news = asyncio.Event()
        self._tasks: set[asyncio.Future[None]] = set()

    async def wanted(self) -> AsyncGenerator[Wanted, None]:
        """See `Source`.

        The first is the newest promotion, whose primary is here by then. Where the registry is
        away, or says what cannot be believed, it is what was served last, if that can be served
        again: an alarm says why, where somebody has to look at it. However slowly the registry
        talks, that is decided within stated times.
        """
        self._want(await self._first())
        self._news.clear()
        yield self._newest()
        following = asyncio.create_task(self._follow())
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                yield self._newest()
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following

    async def fetch(self, pin: VersionPin) -> Found:
        """See `Source`; an alarm stands while it does not come."""
        try:
            async with self._registry.client(WARM_WAIT_SECONDS) as client:
                found = await fetch_version(
                    client, self._belief, self.cache, pin, WARM_FETCH_SECONDS
                )
        except VoiceFlowError as error:
            self._belief.alarms.sound(DOWNLOAD, error.reason, error.message)
            raise
        self._belief.alarms.clear(DOWNLOAD)
        return found

    def instead(self, wanted: Wanted) -> Wanted | None:
        """See `Source`: what was served last, if it is older and may still be served."""
        try:
            held = self._belief.check_held()
        except VoiceFlowError as error:
            _LOG.warning("what was served last is not gone back to: %s", error.message)
            return None
        if held is None or held.sequence >= wanted.sequence:
            return None
        self._told.setdefault(held.sequence, held)
        return self._as_wanted(held)

    def holds(self, wanted: Wanted) -> None:
        """See `Source`."""
        promotion = self._told.get(wanted.sequence)
        if promotion is None or promotion.rollout != wanted.rollout:
            _LOG.warning("promotion %d is served, and not known any more", wanted.sequence)
            return
        try:
            self._belief.hold(promotion)
        except VoiceFlowError as error:  # serving goes on; a restart knows what was held before
            self._belief.alarms.sound(STATE, error.reason, error.message)
        else:
            self._belief.alarms.clear(STATE)

    def keep(self, pins: Collection[VersionPin]) -> None:
        """See `Source`; what was served last stays, too."""
        held = self._belief.held
        self._belief.serve(pins)
        keeping = {*pins, *(held.rollout.pins().values() if held is not None else ())}
        loop = asyncio.get_running_loop()
        task = loop.run_in_executor(None, self.cache.keep, keeping)
        self._tasks.add(task)
        task.add_done_callback(self._kept)

    def _kept(self, task: asyncio.Future[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.error("old versions stay on the disk", exc_info=error)

    # The start

    async def _first(self) -> Promotion:
        """The newest promotion, whose primary is here; or the one that was served last."""
        belief = self._belief
        wait_seconds, answer_seconds = self._registry.wait_seconds, ANSWER_SECONDS
        fetch_seconds = math.inf
        if belief.held is not None:
            wait_seconds = answer_seconds = min(wait_seconds, WARM_WAIT_SECONDS)
            fetch_seconds = WARM_FETCH_SECONDS
        try:
            async with self._registry.client(wait_seconds, answer_seconds) as client:
                seconds = wait_seconds + answer_seconds
                steps = await newest_steps(client, belief, seconds)
                newest = belief.take(steps.promotions)
                self._since[newest.sequence] = steps.since
                pin = newest.rollout.primary
                with under(newest.trace_parent), step("download", pin.version):
                    await fetch_version(client, belief, self.cache, pin, fetch_seconds)
        except VoiceFlowError as error:
            self._lost()
            held = belief.check_held()
            if held is None:
                raise
            self._tell(held, error)
            belief.look()
            return held
        self._settled = True
        belief.alarms.clear(REGISTRY)
        _LOG.info("%s serves %s", belief.channel, newest.rollout.in_short)
        return newest

    def _tell(self, held: Promotion, error: VoiceFlowError) -> None:
        """Says why the pod goes on with what it has.

        That the registry is away is no alarm, unless a newer promotion is known and does not
        arrive.
        """
        away = isinstance(error, Unavailable) or error.reason == "DEADLINE_EXCEEDED"
        if away and self._belief.sequence in {0, held.sequence}:
            _LOG.warning("goes on with promotion %d: %s", held.sequence, error.message)
        else:
            self._belief.alarms.sound(REGISTRY, error.reason, error.message)

    # Following

    async def _follow(self) -> Never:
        """Watches for ever: whatever ends a watch, it is opened again after a pause."""
        pauses = _Pauses()
        while True:
            try:
                async with (
                    self._registry.client(0.0) as client,
                    aclosing(self._watched(client)) as events,
                ):
                    async for event in events:
                        self._reached()
                        if await self._heed(client, event):
                            pauses = _Pauses()
                        else:
                            await pauses.wait()
                        await asyncio.sleep(EVENT_PAUSE_SECONDS)
            except VoiceFlowError as error:
                self._lost()
                _LOG.warning("%s is not watched: %s", self._belief.channel, error.message)
            except Exception:  # noqa: BLE001 - whatever a registry makes go wrong, it is asked again
                self._lost()
                _LOG.exception("%s is not watched", self._belief.channel)
            await pauses.wait()

    def _watched(self, client: RegistryClient) -> AsyncGenerator[WatchEvent, None]:
        # From the newest on, whatever that is: how it follows from the last one the history says.
        cursor = ChannelCursor(channel=str(self._belief.channel))
        return client.watch([cursor], silence_seconds=SILENCE_SECONDS, patience=NO_RETRY)

    async def _heed(self, client: RegistryClient, event: WatchEvent) -> bool:
        """Does what an event calls for; False: that failed, and is to be tried again."""
        channel, known = self._belief.channel, self._belief.sequence
        match event:
            case ChannelPolicy(name=channel.policy):
                self._follow_rules(event.revert_rules)
            case Promotion(sequence=sequence):
                known = sequence
            case Heartbeat(channels=cursors):
                for cursor in cursors:
                    if cursor.channel == str(channel) and cursor.after_sequence is not None:
                        known = cursor.after_sequence
        if self._settled and known == self._belief.sequence:
            return True
        try:
            steps = await newest_steps(client, self._belief, ANSWER_SECONDS)
            newest = self._belief.take(steps.promotions)
        except VoiceFlowError as error:
            self._settled = False
            self._tell(self._told[self._newest().sequence], error)
            return False
        self._settled = True
        self._belief.alarms.clear(REGISTRY)
        self._since[newest.sequence] = steps.since
        self._want(newest)
        return True

    def _follow_rules(self, rules: RevertRules) -> None:
        if rules == RevertRules():  # nobody has set any
            rules = self._default_rules
        hang = rules.hang_after_seconds
        if hang is not None and hang < LEAST_HANG_SECONDS:
            rules = rules.model_copy(update={"hang_after_seconds": LEAST_HANG_SECONDS})
        self._rules = rules
        self._want(self._told[self._newest().sequence])

    def _want(self, promotion: Promotion) -> None:
        """Makes a promotion what is wanted, and tells of it if that is news."""
        self._told.pop(promotion.sequence, None)
        self._told[promotion.sequence] = promotion
        for old in list(self._told)[:-MAXIMUM_TOLD]:
            del self._told[old]
            self._since.pop(old, None)
        wanted = self._as_wanted(promotion)
        if wanted == self._wanted:
            return
        if self._wanted is None or wanted.rollout != self._wanted.rollout:
            _LOG.info("promotion %d: %s", promotion.sequence, promotion.rollout.in_short)
            self._belief.alarms.clear(DOWNLOAD)
        self._wanted = wanted
        self._news.set()

    def _as_wanted(self, promotion: Promotion) -> Wanted:
        return Wanted(
            promotion.sequence,
            promotion.rollout,
            self._rules,
            trace_parent=promotion.trace_parent,
            promoted=promoted(promotion, self._since.get(promotion.sequence)),
        )

    def _newest(self) -> Wanted:
        assert self._wanted is not None  # noqa: S101 - since the start
        return self._wanted

    def _lost(self) -> None:
        self.watch_lost_time = self.watch_lost_time or datetime.now(UTC)

    def _reached(self) -> None:
        self.watch_lost_time = None


class _Pauses:
    """Between tries that fail, each up to twice as long as the one before it."""

    def __init__(self) -> None:
        self._bound_seconds = FIRST_PAUSE_SECONDS

    async def wait(self) -> None:
        """Waits; by chance, so that pods that lost one registry do not come back as one."""
        chance = random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, keeps no secret
        await asyncio.sleep(chance * self._bound_seconds)
        self._bound_seconds = min(2 * self._bound_seconds, LONGEST_PAUSE_SECONDS)
