"""Watching: every promotion exactly once and in order, whoever joins, leaves or fails meanwhile."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from opentelemetry import trace

from tests.fakes.channels import (
    BOB,
    OPEN_POLICY,
    STABLE,
    Clock,
    publish,
    replica,
    rollout,
)
from tests.fakes.memory_store import MemoryStore
from tests.fakes.metrics import histogram_count
from tests.fakes.spans import recorded
from tests.fakes.storage import Fault, FaultyStore, Operation
from voiceflow.catalog.channels import (
    ChannelCursor,
    ChannelPolicy,
    Heartbeat,
    Promotion,
    WatchEvent,
)
from voiceflow.catalog.names import ChannelName
from voiceflow.errors import ContentCorrupt, InvalidInput, NotAllowedNow, TooLarge, Unavailable
from voiceflow_registry.channels.channels import Channels
from voiceflow_registry.channels.watch import WatchHub
from voiceflow_registry.records import PromotionRecord, Request, encode, history_key
from voiceflow_registry.storage.object_store import (
    ABSENT,
    ObjectInfo,
    ObjectStore,
    StoreUnavailable,
)

EDGE = ChannelName("diarizer", "edge")
POLL_SECONDS = 0.01


@pytest.fixture
def store() -> MemoryStore:
    """A store with two versions."""
    store = MemoryStore()
    publish(store, "1.0.0")
    publish(store, "1.1.0")
    return store


@asynccontextmanager
async def hub_of(
    store: ObjectStore,
    *,
    poll_seconds: float = POLL_SECONDS,
    heartbeat_seconds: float = 0.05,
    waiting_limit: int = 1000,
) -> AsyncIterator[WatchHub]:
    """A hub that is closed in the end, and leaves no task."""
    hub = WatchHub(
        replica(store),
        clock=Clock(),
        poll_seconds=poll_seconds,
        heartbeat_seconds=heartbeat_seconds,
        waiting_limit=waiting_limit,
    )
    try:
        yield hub
    finally:
        await hub.close()


def promote(channels: Channels, name: ChannelName = STABLE) -> Promotion:
    """One more promotion, unlike the one before."""
    newest = channels.newest(name)
    sequence = newest.sequence + 1 if newest else 1
    _, promotion = channels.promote(
        BOB,
        name,
        rollout=rollout("1.0.0", canary="1.1.0", percentage=1.0 + sequence % 99),
        etag=newest.etag if newest else "",
    )
    return promotion


def cursor(name: ChannelName = STABLE, after: int | None = None) -> ChannelCursor:
    """From where to watch."""
    return ChannelCursor(channel=str(name), after_sequence=after)


async def take(events: AsyncIterator[WatchEvent], until: type[object]) -> list[WatchEvent]:
    """Events up to and with the next of a kind."""
    taken = []
    async with asyncio.timeout(10):
        async for event in events:
            taken.append(event)
            if isinstance(event, until):
                break
    return taken


async def promotions(events: AsyncIterator[WatchEvent], count: int) -> list[Promotion]:
    """The next promotions."""
    taken: list[Promotion] = []
    while len(taken) < count:
        found = (await take(events, Promotion))[-1]
        assert isinstance(found, Promotion)
        taken.append(found)
    return taken


async def test_a_watcher_gets_policy_then_history_then_a_heartbeat(store: MemoryStore) -> None:
    """The first heartbeat says that all there was has been sent, and how far each channel is."""
    channels = replica(store)
    made = [promote(channels) for _ in range(3)]
    async with hub_of(store) as hub, hub.subscribe([cursor(after=1), cursor(EDGE)]) as events:
        taken = await take(events, Heartbeat)
    policies, rest = taken[:2], taken[2:]
    assert [policy.name for policy in policies if isinstance(policy, ChannelPolicy)] == [
        STABLE.policy,
        EDGE.policy,
    ]
    assert rest[:-1] == made[1:]
    beat = rest[-1]
    assert isinstance(beat, Heartbeat)
    assert beat.channels == (cursor(after=3), cursor(EDGE, after=0))


async def test_without_a_sequence_a_watcher_begins_with_the_newest(store: MemoryStore) -> None:
    """Unset is the newest promotion; 0 is all of them; a channel may not exist yet."""
    channels = replica(store)
    made = [promote(channels) for _ in range(3)]
    async with hub_of(store) as hub:
        async with hub.subscribe([cursor()]) as events:
            assert (await take(events, Heartbeat))[1:-1] == made[-1:]
        async with hub.subscribe([cursor(after=0)]) as events:
            assert (await take(events, Heartbeat))[1:-1] == made
        async with hub.subscribe([cursor(EDGE)]) as events:
            await take(events, Heartbeat)
            first = promote(channels, EDGE)
            assert await promotions(events, 1) == [first]


async def test_promotions_of_other_replicas_come_with_the_next_look(store: MemoryStore) -> None:
    """No replica tells another: each looks for itself."""
    elsewhere = replica(store)
    async with hub_of(store) as hub, hub.subscribe([cursor(after=0)]) as events:
        await take(events, Heartbeat)
        for _ in range(5):
            made = promote(elsewhere)
            assert await promotions(events, 1) == [made]


async def test_a_nudge_looks_at_once(store: MemoryStore) -> None:
    """A promotion made by this replica does not wait for the next look."""
    channels = replica(store)
    async with (
        hub_of(store, poll_seconds=3600.0) as hub,
        hub.subscribe([cursor(after=0)]) as events,
    ):
        await take(events, Heartbeat)
        made = promote(channels)
        hub.nudge(STABLE)
        hub.nudge(EDGE)  # that nobody watches
        assert await promotions(events, 1) == [made]


async def test_a_policy_comes_again_when_it_changes(store: MemoryStore) -> None:
    """The default at first, then the one that was set."""
    channels = replica(store)
    async with hub_of(store) as hub, hub.subscribe([cursor()]) as events:
        assert isinstance((await take(events, ChannelPolicy))[0], ChannelPolicy)
        await take(events, Heartbeat)
        wanted = OPEN_POLICY.model_copy(update={"name": STABLE.policy, "allow_downgrades": True})
        made = channels.update_policy(
            BOB, wanted, update_mask=None, etag=channels.policy(STABLE).etag
        )
        assert (await take(events, ChannelPolicy))[-1] == made


async def test_heartbeats_come_while_nothing_else_does(store: MemoryStore) -> None:
    """One after another, as long as the channel can be looked at."""
    async with hub_of(store) as hub, hub.subscribe([cursor()]) as events:
        await take(events, Heartbeat)
        for _ in range(3):
            assert len(await take(events, Heartbeat)) == 1


async def test_a_watcher_that_has_seen_more_is_refused(store: MemoryStore) -> None:
    """A registry that was set back must not be taken for one where nothing happens."""
    promote(replica(store))
    async with hub_of(store) as hub:
        for ahead in (2, 2**63 - 1):
            with pytest.raises(NotAllowedNow) as caught:
                async with hub.subscribe([cursor(after=ahead)]):
                    pass
            assert caught.value.reason == "SEQUENCE_AHEAD"


async def test_what_another_replica_has_told_is_never_ahead(store: MemoryStore) -> None:
    """A watcher that comes with a promotion newer than the last look is looked for again."""
    elsewhere = replica(store)
    async with (
        hub_of(store, poll_seconds=3600.0) as hub,
        hub.subscribe([cursor()]) as first,
    ):
        await take(first, Heartbeat)
        made = promote(elsewhere)
        async with hub.subscribe([cursor(after=1)]) as second:
            await take(second, Heartbeat)
        async with hub.subscribe([cursor()]) as third:
            assert await promotions(third, 1) == [made]


@pytest.mark.parametrize(
    ("cursors", "reason", "field"),
    [
        ([], "FIELD_REQUIRED", "channels"),
        (
            [cursor(ChannelName("diarizer", f"c{n}")) for n in range(101)],
            "FIELD_INVALID",
            "channels",
        ),
        ([cursor(), cursor(EDGE), cursor()], "FIELD_INVALID", "channels[2].channel"),
        ([ChannelCursor(channel="channels/x")], "NAME_INVALID", "channels[0].channel"),
    ],
)
async def test_a_watcher_names_1_to_100_channels_each_once(
    store: MemoryStore, cursors: list[ChannelCursor], reason: str, field: str
) -> None:
    """Anything else names the field at fault."""
    async with hub_of(store) as hub:
        with pytest.raises(InvalidInput) as caught:
            async with hub.subscribe(cursors):
                pass
    assert (caught.value.reason, caught.value.field) == (reason, field)


async def test_a_watcher_that_lags_beyond_the_limit_is_told(store: MemoryStore) -> None:
    """What it asked for when it came does not count; what came since does."""
    channels = replica(store)
    for _ in range(8):
        promote(channels)
    async with (
        hub_of(store, waiting_limit=3) as hub,
        hub.subscribe([cursor(after=0)]) as lagging,
        hub.subscribe([cursor(after=8)]) as prompt,
    ):
        assert len(await promotions(lagging, 2)) == 2
        made = [promote(channels) for _ in range(4)]
        assert await promotions(prompt, 4) == made
        with pytest.raises(TooLarge) as caught:
            await promotions(lagging, 1)
    assert caught.value.reason == "WATCHER_TOO_SLOW"


async def test_a_closing_hub_tells_its_watchers(store: MemoryStore) -> None:
    """They are not left waiting, and nobody new comes in."""
    async with hub_of(store) as hub, hub.subscribe([cursor()]) as events:
        await take(events, Heartbeat)
        waiting = asyncio.create_task(promotions(events, 1))
        await asyncio.sleep(0)
        await hub.close()
        for act in (waiting, _subscribe(hub)):
            with pytest.raises(Unavailable) as caught:
                await act
            assert caught.value.reason == "SHUTTING_DOWN"


async def _subscribe(hub: WatchHub) -> None:
    async with hub.subscribe([cursor()]):
        pass


async def test_a_closing_hub_leaves_nobody_waiting_for_the_first_look() -> None:
    """Nor does a fault that nobody expected."""
    loop, looking, stuck = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    class Stuck(MemoryStore):
        def info(self, key: str) -> ObjectInfo | None:
            loop.call_soon_threadsafe(looking.set)
            stuck.wait(10)
            return super().info(key)

    class Broken(MemoryStore):
        def info(self, key: str) -> ObjectInfo | None:
            raise ZeroDivisionError(key)

    async with asyncio.timeout(10):
        async with hub_of(Stuck()) as hub:
            joining = asyncio.create_task(_subscribe(hub))
            await looking.wait()
            await hub.close()
            with pytest.raises(Unavailable):
                await joining
            stuck.set()
        async with hub_of(Broken()) as hub:
            for _ in range(2):
                with pytest.raises(ZeroDivisionError):
                    await _subscribe(hub)


async def test_no_heartbeat_comes_before_a_watcher_has_caught_up(store: MemoryStore) -> None:
    """Though the newest is known: what comes before it cannot be read yet."""
    failing = True
    channels = replica(store)
    made = [promote(channels) for _ in range(3)]

    def fault(operation: Operation) -> Fault | None:
        earlier = operation.key in {history_key(STABLE, 1), history_key(STABLE, 2)}
        return Fault.REFUSE if failing and operation.method == "get" and earlier else None

    async with (
        hub_of(FaultyStore(store, when=fault)) as hub,
        hub.subscribe([cursor(after=0)]) as events,
    ):
        pending = asyncio.create_task(take(events, Heartbeat))
        await asyncio.wait([pending], timeout=0.3)
        assert not pending.done()
        failing = False
        assert (await pending)[1:-1] == made


class Switch:
    """Lets a store fail, and work again."""

    def __init__(self) -> None:
        self.failing = False

    def __call__(self, _: Operation) -> Fault | None:
        """The fault of an operation."""
        return Fault.REFUSE if self.failing else None


async def test_a_store_that_fails_ends_no_watcher_and_skips_nothing(store: MemoryStore) -> None:
    """Promotions come when it answers again; until then there is no heartbeat to be misled by."""
    switch = Switch()
    elsewhere = replica(store)
    async with (
        hub_of(FaultyStore(store, when=switch)) as hub,
        hub.subscribe([cursor(after=0)]) as events,
    ):
        await take(events, Heartbeat)
        switch.failing = True
        made = [promote(elsewhere) for _ in range(3)]
        with pytest.raises(StoreUnavailable):
            async with hub.subscribe([cursor()]):
                pass
        pending = asyncio.create_task(take(events, Promotion))
        # Ten heartbeats' time: at most what was due before the fault was seen comes.
        await asyncio.wait([pending], timeout=0.5)
        assert not pending.done()
        switch.failing = False
        before = await pending
        assert len(before) <= 3
        assert [before[-1], *await promotions(events, 2)] == made


async def test_a_promotion_that_comes_corrupt_ends_its_watchers(store: MemoryStore) -> None:
    """After those before it; nobody waits without a word."""
    elsewhere = replica(store)
    async with hub_of(store) as hub:
        async with hub.subscribe([cursor(after=0)]) as events:
            await take(events, Heartbeat)
            store.put(history_key(STABLE, 3), b"damaged", if_generation=ABSENT)
            made = [promote(elsewhere) for _ in range(2)]
            assert await promotions(events, 2) == made
            with pytest.raises(ContentCorrupt):
                await take(events, Promotion)
        with pytest.raises(ContentCorrupt):
            await _subscribe(hub)


async def test_a_watcher_that_comes_up_to_what_is_corrupt_is_ended(store: MemoryStore) -> None:
    """It is sent all that comes before."""
    made = [promote(replica(store)) for _ in range(4)]
    key = history_key(STABLE, 3)
    store.put(key, b"damaged", if_generation=store.get(key).generation)
    async with hub_of(store) as hub, hub.subscribe([cursor(after=0)]) as events:
        assert await promotions(events, 2) == made[:2]
        with pytest.raises(ContentCorrupt):
            await take(events, Promotion)


async def test_a_watcher_far_behind_catches_up_through_faults(store: MemoryStore) -> None:
    """What the feed has not kept is read from the store, as often as that takes."""
    channels = replica(store)
    made = [promote(channels) for _ in range(300)]
    failing = random.Random(7)

    def now_and_then(operation: Operation) -> Fault | None:
        reading = operation.method == "get" and operation.key.startswith("history/")
        return Fault.REFUSE if reading and failing.random() < 0.02 else None

    faulty = FaultyStore(store, when=now_and_then)
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(hub_of(faulty))
        while True:
            try:
                events = await stack.enter_async_context(hub.subscribe([cursor(after=0)]))
            except StoreUnavailable:
                continue
            break
        assert await promotions(events, 300) == made


async def test_watchers_share_one_look_and_one_object(store: MemoryStore) -> None:
    """A hundred watchers of a channel cost the store as much as one."""
    counting = FaultyStore(store)
    channels = replica(store)
    async with (
        AsyncExitStack() as stack,
        hub_of(counting, poll_seconds=3600.0, heartbeat_seconds=3600.0) as hub,
    ):
        watchers = [
            await stack.enter_async_context(hub.subscribe([cursor(after=0)])) for _ in range(100)
        ]
        await asyncio.gather(*(take(events, Heartbeat) for events in watchers))
        before = len(counting.operations)
        promote(channels)
        hub.nudge(STABLE)
        seen = await asyncio.gather(*(promotions(events, 1) for events in watchers))
        assert len({id(one) for (one,) in seen}) == 1
        assert len(counting.operations) - before <= 4


async def test_the_last_watcher_to_leave_ends_the_looking(store: MemoryStore) -> None:
    """A channel that nobody watches costs nothing."""
    tasks = asyncio.all_tasks()
    async with hub_of(store) as hub:
        async with hub.subscribe([cursor()]), hub.subscribe([cursor(), cursor(EDGE)]):
            assert len(asyncio.all_tasks() - tasks) == 2
        assert asyncio.all_tasks() == tasks


class Comings:
    """Random joins, leaves and resumptions of watchers that check what they are told."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.made: dict[str, list[Promotion]] = {str(STABLE): [], str(EDGE): []}
        self.done = False

    async def watch(self, hub: WatchHub, number: int) -> None:
        """One watcher, who comes again until all is done and seen."""
        chance = random.Random(self.seed * 1000 + number)
        seen = {name: chance.choice([0, len(made)]) for name, made in self.made.items()}
        while True:
            cursors = [
                ChannelCursor(channel=name, after_sequence=sequence)
                for name, sequence in seen.items()
            ]
            try:
                async with hub.subscribe(cursors) as events:
                    if await self._has_seen_all(events, seen, chance.randint(1, 12)):
                        return
            except StoreUnavailable:
                await asyncio.sleep(POLL_SECONDS)

    async def _has_seen_all(
        self, events: AsyncIterator[WatchEvent], seen: dict[str, int], leave_after: int
    ) -> bool:
        async for event in events:
            if isinstance(event, Promotion):
                name = event.name.partition("/promotions/")[0]
                assert event == self.made[name][seen[name]]
                seen[name] += 1
                leave_after -= 1
            elif isinstance(event, Heartbeat):
                assert {known.channel: known.after_sequence for known in event.channels} == seen
                if self.done and seen == {name: len(made) for name, made in self.made.items()}:
                    return True
            if not leave_after and not self.done:
                return False
        raise AssertionError("a watch has no end")


@pytest.mark.parametrize("seed", range(6))
async def test_nobody_misses_or_repeats_whatever_joins_leaves_and_fails(
    store: MemoryStore, seed: int
) -> None:
    """Twelve watchers of two channels on a failing store, while two replicas promote."""
    chance = random.Random(seed)

    def fault(_: Operation) -> Fault | None:
        return Fault.REFUSE if chance.random() < 0.05 else None

    replicas = [replica(store), replica(store)]
    comings = Comings(seed)
    watchers = iter(range(12))
    async with (
        hub_of(FaultyStore(store, when=fault), heartbeat_seconds=0.02) as hub,
        asyncio.timeout(60),
        asyncio.TaskGroup() as group,
    ):
        for _ in range(40):
            name = chance.choice([STABLE, EDGE])
            comings.made[str(name)].append(promote(chance.choice(replicas), name))
            if chance.random() < 0.5:
                hub.nudge(name)
            if chance.random() < 0.4 and (number := next(watchers, None)) is not None:
                group.create_task(comings.watch(hub, number))
            await asyncio.sleep(chance.choice([0.0, 0.001, 0.005]))
        for number in watchers:
            group.create_task(comings.watch(hub, number))
        comings.done = True


async def test_a_thousand_watchers_of_one_channel_are_told_together(store: MemoryStore) -> None:
    """Fanning out costs no reading and no thread for each."""
    channels = replica(store)
    async with (
        AsyncExitStack() as stack,
        hub_of(store, poll_seconds=3600.0, heartbeat_seconds=3600.0) as hub,
    ):
        watchers = await asyncio.gather(
            *(stack.enter_async_context(hub.subscribe([cursor(after=0)])) for _ in range(1000))
        )
        made = [promote(channels) for _ in range(3)]
        hub.nudge(STABLE)
        seen = await asyncio.gather(*(promotions(events, 3) for events in watchers))
        assert all(one == made for one in seen)


async def test_a_delivery_is_told_when_it_is_taken_or_its_watcher_leaves(
    store: MemoryStore,
) -> None:
    """Of what came while it watched: a span each, and a delay for what was taken to its end."""
    channels = replica(store)
    promote(channels)
    before = histogram_count("voiceflow.watch.delay")
    with recorded() as spans:
        async with hub_of(store) as hub, hub.subscribe([cursor(after=0)]) as events:
            await take(events, Heartbeat)
            assert spans.named("voiceflow.watch.deliver") == [], "that stood there before"
            with trace.get_tracer("test").start_as_current_span("command"):
                made = [promote(channels) for _ in range(2)]
            assert await promotions(events, 2) == made
        taken, left = spans.named("voiceflow.watch.deliver")
    for span, promotion in zip((taken, left), made, strict=True):
        assert span.parent is not None
        assert promotion.trace_parent[36:52] == f"{span.parent.span_id:016x}"
        assert dict(span.attributes or {})["voiceflow.promotion.sequence"] == promotion.sequence
    assert (taken.status.is_ok, left.status.is_ok) == (True, False)
    told = [("voiceflow.watch.delay_seconds" in (span.attributes or {})) for span in (taken, left)]
    assert told == [True, False]
    assert spans.unended() == []
    assert histogram_count("voiceflow.watch.delay") == before + 1


async def test_what_a_feed_logs_belongs_to_no_watchers_trace(store: MemoryStore) -> None:
    """It looks for everybody, and goes on when the watcher that came first has left."""
    promote(replica(store))
    switch, logged = Switch(), asyncio.Event()
    seen: list[bool] = []

    def look(_: logging.LogRecord) -> bool:
        seen.append(trace.get_current_span().get_span_context().is_valid)
        logged.set()
        return True

    log = logging.getLogger("voiceflow_registry.channels.feed")
    with recorded(), trace.get_tracer("test").start_as_current_span("watcher"):
        async with (
            hub_of(FaultyStore(store, when=switch)) as hub,
            hub.subscribe([cursor()]) as events,
        ):
            await take(events, Heartbeat)
            log.addFilter(look)
            try:
                switch.failing = True
                async with asyncio.timeout(10):
                    await logged.wait()
            finally:
                log.removeFilter(look)
    assert seen == [False]


async def test_a_promotion_without_a_trace_is_delivered_without_a_span(store: MemoryStore) -> None:
    """One that an older replica made, or that was made while nothing was recorded."""
    channels = replica(store)
    before = histogram_count("voiceflow.watch.delay")
    async with hub_of(store) as hub, hub.subscribe([cursor()]) as events:
        await take(events, Heartbeat)
        record = PromotionRecord(
            promotion=promote(replica(_copy(store))).model_copy(update={"trace_parent": ""}),
            request=Request(principal="p"),
        )
        store.put(history_key(STABLE, 1), encode(record), if_generation=ABSENT)
        with recorded() as spans:
            await promotions(events, 1)
            await take(events, Heartbeat)
        assert spans.named("voiceflow.watch.deliver") == []
    assert channels.newest(STABLE) == record.promotion
    assert histogram_count("voiceflow.watch.delay") == before + 1


def _copy(store: MemoryStore) -> MemoryStore:
    copy = MemoryStore()
    for info in store.list(""):
        copy.put(info.key, store.get(info.key).content, if_generation=ABSENT)
    return copy
