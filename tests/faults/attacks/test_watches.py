"""A pod that runs: what its registry tells, does not tell, or tells no more, from then on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.simulated_registry import (
    DEFAULT_RULES,
    NOW,
    Attack,
    Chunks,
    Pod,
    Running,
    Sent,
    SimulatedRegistry,
    chunk,
    serving,
)
from tests.fakes.trust import CHANNEL, history, promoter, publisher, trust_root, trust_roots
from tests.faults.attacks.world import (
    MONTH,
    NEW,
    OLD,
    World,
    check_goes_on,
    check_moves,
    name_of,
)
from voiceflow.catalog.channels import (
    ChannelCursor,
    ChannelPolicy,
    Heartbeat,
    PromotionKind,
    RevertRules,
    WatchEvent,
)
from voiceflow.catalog.versions import VersionFile
from voiceflow.errors import NotAllowedNow, Unauthenticated, Unavailable, VoiceFlowError
from voiceflow.trust.offices import KeyStatus
from voiceflow_inference.serving import watch
from voiceflow_inference.serving.cache import Cache
from voiceflow_inference.serving.trusting import TrustedChannel

# R39, R31: a watch that is not there, or tells nothing


def raising(error: VoiceFlowError) -> Any:
    """A watch that ends with an error at once."""

    async def tell(_request: Any, context: Any) -> AsyncIterator[WatchEvent | bytes]:
        if context is not None:
            raise error
        yield b""

    tell.__name__ = error.reason
    return tell


async def silent(_request: Any, _context: Any) -> AsyncIterator[WatchEvent | bytes]:
    """A watch that stands, and tells nothing."""
    await asyncio.Event().wait()
    yield b""


async def ending(_request: Any, _context: Any) -> AsyncIterator[WatchEvent | bytes]:
    """A watch that ends as if that were all."""
    nothing: tuple[WatchEvent, ...] = ()
    for event in nothing:
        yield event


async def garbage(_request: Any, _context: Any) -> AsyncIterator[WatchEvent | bytes]:
    """What no message is."""
    yield b"\xff" * 1000


async def unreadable(_request: Any, _context: Any) -> AsyncIterator[WatchEvent | bytes]:
    """A message that says nothing."""
    yield b""


@pytest.mark.parametrize(
    "tell",
    [
        raising(Unavailable("away", reason="SHUTTING_DOWN")),
        raising(Unauthenticated("who?", reason="CREDENTIALS_EXPIRED")),
        raising(NotAllowedNow("older", reason="SEQUENCE_AHEAD")),
        raising(VoiceFlowError("a defect", reason="INTERNAL")),
        ending,
        garbage,
        unreadable,
        silent,
    ],
    ids=lambda tell: tell.__name__,
)
async def test_r39_a_watch_that_ends_is_opened_again_for_ever(
    world: World, tell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it ends; meanwhile the pod serves, and can say since when it is not told anything."""
    monkeypatch.setattr(watch, "SILENCE_SECONDS", 0.2)
    async with world.running(lambda simulated: setattr(simulated, "watch", tell)) as (pod, over):
        await pod.until(lambda: world.registry.calls.count("WatchChannels") > 5)
        await pod.until(lambda: pod.source.watch_lost_time)
        assert pod.serves == OLD
        assert pod.reasons == {}  # that it is away is none
        over.close()
        await check_moves(pod)
        await pod.until(lambda: pod.source.watch_lost_time is None)


async def test_r39_a_registry_that_was_down_for_a_day_is_followed_again(
    tmp_path: Path,
) -> None:
    """The pod serves on, then takes the newest of all that was promoted meanwhile, and no other."""
    simulated = SimulatedRegistry()
    simulated.promote(OLD)
    async with serving(simulated) as address:
        pod = Pod(tmp_path, address)
        running = pod.running()
        serves = await running.__aenter__()
        await serves.until(lambda: "WatchChannels" in simulated.calls)
    try:
        await serves.until(lambda: serves.source.watch_lost_time)
        pod.now += timedelta(days=1)
        for version in (NEW, "3.0.0", "4.0.0"):
            simulated.promote(version)
        assert serves.serves == OLD
        async with serving(simulated, int(address.rpartition(":")[2])):
            await check_moves(serves, "4.0.0")
        assert [wanted.sequence for wanted in serves.seen] == [1, 4]
    finally:
        await running.__aexit__(None, None, None)


async def test_r38_a_pod_that_started_without_its_registry_follows_it_once_it_is_there(
    world: World,
) -> None:
    """It began with what it held."""
    address, world.warm.address = world.warm.address, "127.0.0.1:1"
    async with world.warm.running() as pod:
        assert pod.serves == OLD
        assert pod.source.watch_lost_time is not None
        assert pod.reasons == {}
        pod.source._registry = replace(pod.source._registry, target=address)
        await check_moves(pod)


async def test_r31_what_did_not_arrive_at_the_start_is_fetched_while_the_pod_runs(
    world: World,
) -> None:
    """Nothing else need be promoted for that."""

    def withhold(simulated: SimulatedRegistry) -> None:
        simulated.files[name_of(NEW), "model.onnx"] = bytes(100_000)

    with ExitStack() as over:
        over.enter_context(world.registry.attacked(withhold))
        async with world.warm.running() as pod:
            await check_goes_on(pod, "CONTENT_CORRUPT")
            await pod.until(lambda: "download" in pod.reasons)
            over.close()
            await check_moves(pod)


async def test_r39_a_defect_here_does_not_end_the_watch(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and the registry is asked again."""
    async with world.pod().running() as pod:
        belief: Any = pod.source._belief
        take = belief.take

        def fail_once(_: object) -> None:
            belief.take = take
            raise RuntimeError("a defect")

        belief.take = fail_once
        world.registry.promote("3.0.0")
        await check_moves(pod, "3.0.0")
        assert "a defect" in caplog.text


async def test_r39_an_alarm_about_a_download_ends_when_nobody_wants_it_any_more(
    world: World,
) -> None:
    """Where the pod goes back to what it has loaded, and fetches nothing."""

    def withhold(simulated: SimulatedRegistry) -> None:
        simulated.files[name_of(NEW), "model.onnx"] = bytes(100_000)

    async with world.running(withhold) as (pod, _):
        await pod.until(lambda: "download" in pod.reasons)
        world.registry.promote(OLD)

        async def nothing(_: object) -> None:
            await asyncio.Event().wait()

        pod.source.fetch = nothing  # type: ignore[method-assign, assignment]
        await pod.until(lambda: pod.seen[-1].sequence == 3)
        await pod.until(lambda: not pod.reasons)


# R31, R32: what a history may not do


async def test_r31_a_history_that_falls_back_moves_no_pod(world: World) -> None:
    """Not to an older promotion, nor to none; a rollback is a promotion."""
    async with world.pod().running() as pod:
        assert pod.serves == NEW
        with world.registry.attacked(lambda simulated: simulated.history.pop()):
            await check_goes_on(pod, "SEQUENCE_BEHIND", serving=NEW)
        await check_moves(pod)
        with world.registry.attacked(lambda simulated: simulated.history.clear()):
            await check_goes_on(pod, "CHANNEL_NOT_FOUND", serving=NEW)
        await check_moves(pod)
        world.registry.promote(OLD, kind=PromotionKind.ROLLBACK)
        await check_moves(pod, OLD)


async def test_r32_a_forked_history_moves_no_pod(world: World) -> None:
    """Nor does one with a gap; whoever forged it, what was seen is part of what follows."""
    fork = history(3, rollout=world.registry.history[1].rollout)
    async with world.pod().running() as pod:
        with world.registry.attacked(lambda simulated: setattr(simulated, "history", fork)):
            await check_goes_on(pod, "CHAIN_BROKEN", serving=NEW)
        for _ in range(2):
            world.registry.promote("3.0.0")
        with world.registry.attacked(lambda simulated: simulated.history.pop(2)):
            await check_goes_on(pod, "CHAIN_BROKEN", serving=NEW)
        await check_moves(pod, "3.0.0")


async def test_r32_what_a_watch_tells_is_not_believed(world: World) -> None:
    """Only what the history says, signed: a forged event leads to a look, and nowhere else."""
    forged = history(7, rollout=world.registry.history[0].rollout)[-1]
    looks = 0

    async def tell(_request: Any, _context: Any) -> AsyncIterator[WatchEvent | bytes]:
        nonlocal looks
        yield forged
        looks += 1
        await asyncio.Event().wait()

    world.registry.watch = tell
    async with world.pod().running() as pod:
        await pod.until(lambda: world.registry.calls.count("ListChannelHistory") > 2)
        assert [wanted.sequence for wanted in pod.seen] == [2]
        assert pod.reasons == {}


async def test_r31_a_flood_of_events_does_not_keep_a_pod_busy(world: World) -> None:
    """It is read at the pod's own pace; a promotion is seen all the same."""
    sent = 0

    async def flood(_request: Any, _context: Any) -> AsyncIterator[WatchEvent | bytes]:
        nonlocal sent
        while True:
            newest = world.registry.history[-1].sequence
            cursor = ChannelCursor(channel=str(CHANNEL), after_sequence=newest)
            yield Heartbeat(channels=(cursor,), send_time=datetime.now(UTC))
            sent += 1

    world.registry.watch = flood
    async with world.pod().running() as pod:
        heeded = 0
        heed = pod.source._heed

        async def counting(client: Any, event: WatchEvent) -> bool:
            nonlocal heeded
            heeded += 1
            return await heed(client, event)

        pod.source._heed = counting  # type: ignore[method-assign]
        begun = asyncio.get_running_loop().time()
        await pod.until(lambda: heeded >= 3)
        seconds = asyncio.get_running_loop().time() - begun
        assert heeded <= seconds / watch.EVENT_PAUSE_SECONDS + 1
        assert sent > 100  # of which many were read by nobody yet


async def drip(file: VersionFile, content: bytes, offset: int) -> AsyncIterator[Sent]:
    """A byte at a time."""
    for at in range(offset, len(content)):
        yield chunk(content[at : at + 1], at, file if at == offset else None)
        await asyncio.sleep(0.01)


async def stand_still(file: VersionFile, content: bytes, offset: int) -> AsyncIterator[Sent]:
    """A byte, and then none."""
    yield chunk(content[offset : offset + 1], offset, file)
    await asyncio.Event().wait()


@pytest.mark.parametrize("chunks", [drip, stand_still])
async def test_r31_slow_retrieval_sounds_an_alarm_while_a_pod_runs(
    world: World, chunks: Chunks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on with what it serves, and a later promotion is not held up."""
    monkeypatch.setattr(watch, "WARM_FETCH_SECONDS", 0.2)

    def slow(simulated: SimulatedRegistry) -> None:
        async def only_the_new(file: VersionFile, content: bytes, at: int) -> AsyncIterator[Sent]:
            send = chunks if content.startswith(NEW.encode()) else honest
            async for reply in send(file, content, at):
                yield reply

        honest, simulated.chunks = simulated.chunks, only_the_new

    async with world.running(slow) as (pod, over):
        await check_goes_on(pod, "DOWNLOAD_SLOW")
        world.registry.promote("3.0.0")
        await check_moves(pod, "3.0.0")
        over.close()
        await check_goes_on(pod, "SEQUENCE_BEHIND", serving="3.0.0")


# R34: keys come and go while pods run


def keys(version: int, **statuses: KeyStatus) -> Any:
    """A trust root with two promoters, or with what has become of them."""
    names = ("promoter", "newcomer")
    known = [one for one in names if one == "promoter" or one in statuses]
    return trust_root(
        version=version,
        publishers=[publisher()],
        promoters=[promoter(one, status=statuses.get(one, KeyStatus.ACTIVE)) for one in known],
    )


async def test_r34_a_promotion_waits_for_the_trust_root_that_knows_its_key(world: World) -> None:
    """Nothing else need happen: it is tried again and again."""
    one, two = keys(1), keys(2, newcomer=KeyStatus.ACTIVE)
    fresh = world.pod(roots=trust_roots(one))
    async with fresh.running() as pod:
        assert pod.serves == NEW
        world.registry.promote("3.0.0", signer="newcomer")
        await check_goes_on(pod, "SIGNATURE_INVALID", serving=NEW)
        fresh.roots = trust_roots(one, two)
        belief: Any = pod.source._belief
        belief.look()
        await check_moves(pod, "3.0.0")


async def test_r34_a_promotion_of_a_revoked_key_is_passed_by_one_that_holds(world: World) -> None:
    """What follows vouches for it; the pod moves to what is signed by a key that may."""
    roots = keys(1), keys(2, promoter=KeyStatus.REVOKED, newcomer=KeyStatus.ACTIVE)
    fresh = world.pod(roots=trust_roots(roots[0]))
    async with fresh.running() as pod:
        belief: Any = pod.source._belief
        fresh.roots = trust_roots(*roots)
        belief.look()
        assert pod.reasons == {"promotion": "KEY_REVOKED"}  # of what it serves, and goes on serving
        world.registry.promote("3.0.0")
        await check_goes_on(pod, "KEY_REVOKED", serving=NEW)
        await pod.until(lambda: "registry" in pod.reasons)
        world.registry.promote("4.0.0", signer="newcomer")
        await check_moves(pod, "4.0.0")


# R40, clocks, and R31, expiry


async def test_r40_a_wrong_clock_moves_no_pod_back(world: World) -> None:
    """30 days late: what has expired is not moved to, and what is served stays, with an alarm."""
    expiring = {"expire_time": NOW + MONTH / 2}
    fresh = world.pod()
    async with fresh.running() as pod:
        fresh.now += MONTH
        world.registry.promote("3.0.0", **expiring)
        await check_goes_on(pod, "PROMOTION_EXPIRED", serving=NEW)
        fresh.now -= 2 * MONTH
        await check_moves(pod, "3.0.0")
        with world.registry.attacked(lambda simulated: simulated.history.pop()):
            await check_goes_on(pod, "SEQUENCE_BEHIND", serving="3.0.0")
        await check_moves(pod, "3.0.0")


# R35, R26: a registry whose store fails


@pytest.mark.parametrize("method", ["ListChannelHistory", "GetVersion"])
async def test_r35_a_registry_whose_store_is_away_disturbs_nobody(
    world: World, method: str
) -> None:
    """It answers the watch, and nothing else."""

    async def away(_request: Any, _context: Any) -> None:
        raise Unavailable("the bucket is gone", reason="STORAGE_UNAVAILABLE")

    attack: Attack = lambda simulated: simulated.answers.update({method: away})  # noqa: E731
    async with world.running(attack) as (pod, over):
        await pod.until(lambda: world.registry.calls.count(method) > 3)
        assert pod.serves == OLD
        over.close()
        await check_moves(pod)


# R36, the disk


async def test_r36_a_full_disk_keeps_a_pod_where_it_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An alarm says so, what others left half-fetched goes, and once there is room it moves."""
    full = True
    real = Cache.make_room
    rooms = 0

    def no_space(handle: Any) -> None:
        if full:
            raise OSError(28, "No space left on device")
        handle.flush()

    def counting(self: Any, pin: Any) -> None:
        nonlocal rooms
        rooms += 1
        real(self, pin)

    monkeypatch.setattr(Cache, "make_room", counting)

    def fill(_: SimulatedRegistry) -> None:
        monkeypatch.setattr("voiceflow.client.registry.downloading._flush", no_space)

    async with world.running(fill) as (pod, _):
        await check_goes_on(pod, "CACHE_FULL")
        assert rooms
        full = False
        await check_moves(pod)


async def test_r36_a_memory_that_cannot_be_written_moves_no_pod(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it could not remember, it could be made to forget: it stays, and says why."""
    full = False

    def no_space(*_: Any) -> None:
        if full:
            raise OSError(28, "No space left on device")
        really(*_)

    really = Path.replace
    monkeypatch.setattr(Path, "replace", no_space)

    def fill(_: SimulatedRegistry) -> None:
        nonlocal full
        full = True

    async with world.running(fill) as (pod, _):
        await check_goes_on(pod, "STATE_NOT_WRITABLE")
        full = False
        await check_moves(pod)


async def test_r36_that_a_version_is_served_need_not_be_remembered_to_serve_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restart would begin with the one before it: an alarm says so, until it is remembered."""
    async with world.pod().running() as pod:
        hold = TrustedChannel.hold

        def no_space(*_: Any) -> None:
            raise VoiceFlowError("no space left", reason="STATE_NOT_WRITABLE")

        monkeypatch.setattr(TrustedChannel, "hold", no_space)
        world.registry.promote("3.0.0")
        await check_goes_on(pod, "STATE_NOT_WRITABLE", serving="3.0.0")
        monkeypatch.setattr(TrustedChannel, "hold", hold)
        world.registry.promote("4.0.0")
        await check_moves(pod, "4.0.0")


async def test_r36_a_version_that_another_process_removes_again_is_not_served(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whose cache is shared, and does not keep to the rules."""
    use = Cache.use

    def removed(_: SimulatedRegistry) -> None:
        monkeypatch.setattr(Cache, "use", lambda *_: False)

    async with world.running(removed) as (pod, _):
        await check_goes_on(pod, "CACHE_SHARED")
        monkeypatch.setattr(Cache, "use", use)
        await check_moves(pod)


async def test_r37_what_was_served_last_stays_in_the_cache(world: World) -> None:
    """Though others are in use, and newer ones were fetched: a restart without the registry."""
    pod = world.pod()
    with pod.trusting() as trusted:
        await pod.find(trusted)
        source = pod.source(trusted)
        for number in range(3, 8):
            pin = world.registry.publish(f"{number}.0.0")
            await source.fetch(pin)
            source.keep([pin])
            await asyncio.gather(*source._tasks)
        source.cache.close()
    held = {path.parent.name.partition("-")[0] for path in pod.fetched()}
    assert held == {NEW, "5.0.0", "6.0.0", "7.0.0"}
    pod.address = "127.0.0.1:1"
    assert await pod.start() == NEW


# Policies: told by the registry, and signed by nobody


async def told(pod: Running, rules: RevertRules) -> None:
    """Waits until a pod goes by some rules."""
    await pod.until(lambda: pod.seen[-1].rules == rules)


async def test_policies_are_followed_as_they_change(world: World) -> None:
    """The promotion stays the same; the policy of another channel changes nothing."""
    world.registry.policy = policy(RevertRules(minimum_streams=3, hang_after_seconds=2.0))
    async with world.pod().running() as pod:
        await told(pod, world.registry.policy.revert_rules)
        other = policy(RevertRules(minimum_streams=9), name="models/a/channels/b/policy")
        world.registry.policy = other
        world.registry.promote(OLD)
        await pod.until(lambda: pod.seen[-1].sequence == 3)
        assert pod.seen[-1].rules.minimum_streams == 3
        world.registry.policy = policy(RevertRules(slower_percent=10.0))
        await told(pod, RevertRules(slower_percent=10.0))
        assert [wanted.sequence for wanted in pod.seen[-2:]] == [3, 3]
        await check_moves(pod, OLD)


async def test_a_policy_without_rules_leaves_a_pod_its_own(world: World) -> None:
    """Who only says who may promote has not said that NaN is allowed."""
    world.registry.policy = policy(RevertRules())
    async with world.pod().running() as pod:
        assert pod.seen[0].rules == DEFAULT_RULES
        world.registry.promote(OLD)
        await check_moves(pod, OLD)
        assert pod.seen[-1].rules == DEFAULT_RULES
        world.registry.policy = policy(RevertRules(minimum_streams=1))
        await told(pod, RevertRules(minimum_streams=1))
        world.registry.policy = policy(RevertRules())
        await told(pod, DEFAULT_RULES)


async def test_a_policy_cannot_drive_pods_from_a_good_model(world: World) -> None:
    """A call that hangs after a nanosecond would: no limit is shorter than a second."""
    world.registry.policy = policy(RevertRules(hang_after_seconds=1e-9))
    async with world.pod().running() as pod:
        await told(pod, RevertRules(hang_after_seconds=watch.LEAST_HANG_SECONDS))


def policy(rules: RevertRules, name: str = CHANNEL.policy) -> ChannelPolicy:
    """A policy that says when to revert."""
    return ChannelPolicy(name=name, sequence=_next(), etag=str(_next()), revert_rules=rules)


def _counter() -> Callable[[], int]:
    numbers = iter(range(1, 1_000_000))
    return lambda: next(numbers)


_next = _counter()
