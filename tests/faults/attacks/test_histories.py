"""Rollback, freeze, fast-forward and forks of a history, and clocks that are wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import grpc
import pytest

from tests.fakes.simulated_registry import (
    NOW,
    Attack,
    Chunks,
    Sent,
    SimulatedRegistry,
    chunk,
)
from tests.fakes.trust import (
    history,
)
from tests.faults.attacks.world import (
    MONTH,
    NEW,
    OLD,
    World,
    answering,
    check_starts_not,
    check_stays,
    name_of,
    reasons,
)
from voiceflow.catalog.channels import PromotionKind
from voiceflow.catalog.versions import VersionFile
from voiceflow.client.registry import downloading
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.trust.trusted import MAXIMUM_FIRST_SEQUENCE, MAXIMUM_JUMP
from voiceflow_inference.serving import watch

# R31, rollback and freeze


async def test_r31_a_rollback_to_an_older_history_is_refused(world: World) -> None:
    """What a pod has seen cannot be unseen; only a new promotion goes back."""
    assert await world.warm.start() == NEW
    with world.registry.attacked(lambda simulated: simulated.history.pop()):
        await check_stays(world.warm, "SEQUENCE_BEHIND", serving=NEW)
    world.registry.promote(OLD, kind=PromotionKind.ROLLBACK)
    assert await world.warm.start() == OLD
    assert world.warm.alarms.raised == {}


async def test_r31_a_history_that_is_gone_is_refused(world: World) -> None:
    """A registry that knows nothing is not believed either."""
    with world.registry.attacked(lambda simulated: simulated.history.clear()):
        await check_starts_not(world.pod(), "CHANNEL_NOT_FOUND")
        await check_stays(world.warm, "CHANNEL_NOT_FOUND")
    empty = answering(pb.ListChannelHistoryResponse())
    await world.check_refused(
        lambda simulated: simulated.answers.update(ListChannelHistory=empty), "CHAIN_BROKEN"
    )


async def test_r31_nobody_moves_to_a_promotion_that_has_expired(world: World) -> None:
    """So a registry cannot go on offering what was replaced long ago."""
    world.registry.history.pop()
    world.registry.promote(NEW, expire_time=NOW + MONTH)
    assert await world.pod().start() == NEW
    late = NOW + MONTH
    await check_starts_not(world.pod(now=late), "PROMOTION_EXPIRED")
    world.warm.now = late
    await check_stays(world.warm, "PROMOTION_EXPIRED")
    world.registry.promote("3.0.0", expire_time=late + MONTH)
    assert await world.warm.start() == "3.0.0"


async def test_r31_nobody_moves_to_what_expired_before_it_arrived(world: World) -> None:
    """Trusted in time and never fetched: a restart does not make up for that."""
    world.registry.promote("3.0.0", expire_time=NOW + MONTH)

    def withhold(simulated: SimulatedRegistry) -> None:
        simulated.files[name_of("3.0.0"), "model.onnx"] = bytes(100_000)

    with world.registry.attacked(withhold):
        await check_stays(world.warm, "CONTENT_CORRUPT")
    assert world.warm.remembers().trusted.sequence == 3
    world.warm.now += MONTH
    await check_stays(world.warm, "PROMOTION_EXPIRED")
    world.warm.now = NOW
    assert await world.warm.start() == "3.0.0"


async def test_r31_a_frozen_pod_sounds_an_alarm_and_goes_on(world: World) -> None:
    """Expiry unloads nothing: not while it runs, not at a restart, not without the registry."""
    world.registry.promote("3.0.0", expire_time=NOW + MONTH)
    pod = world.pod()
    with pod.trusting() as trusted:
        await pod.find(trusted)
        assert pod.alarms.raised == {}
        pod.now += MONTH
        trusted.look()
        assert reasons(pod) == {"promotion": "PROMOTION_EXPIRED"}
    for pod.address in ("127.0.0.1:1", world.address):
        assert await pod.start() == "3.0.0"
        assert reasons(pod) == {"promotion": "PROMOTION_EXPIRED"}
    world.registry.promote("4.0.0", expire_time=NOW + 2 * MONTH)
    assert await pod.start() == "4.0.0"
    assert pod.alarms.raised == {}


async def test_r31_a_registry_that_never_answers_holds_nobody_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pod that holds a package goes on with it, however long a cold one would wait."""
    monkeypatch.setattr(watch, "WARM_WAIT_SECONDS", 0.5)
    world.warm.wait_seconds = 1000.0

    async def never(_request: Any, _context: Any) -> None:
        await asyncio.Event().wait()

    with world.registry.attacked(
        lambda simulated: simulated.answers.update(ListChannelHistory=never)
    ):
        async with asyncio.timeout(30):
            assert await world.warm.start() == OLD
        assert world.warm.alarms.raised == {}  # it may be busy
    assert await world.warm.start() == NEW


async def drip(file: VersionFile, content: bytes, offset: int) -> AsyncIterator[Sent]:
    """A byte at a time, each before anybody takes the stream for dead."""
    for at in range(offset, len(content)):
        yield chunk(content[at : at + 1], at, file if at == offset else None)
        await asyncio.sleep(0.01)


async def cut_after_a_byte(file: VersionFile, content: bytes, offset: int) -> AsyncIterator[Sent]:
    """A byte in each stream, so that every one has brought something."""
    yield chunk(content[offset : offset + 1], offset, file)


async def stand_still(file: VersionFile, content: bytes, offset: int) -> AsyncIterator[Sent]:
    """A byte, and then none."""
    yield chunk(content[offset : offset + 1], offset, file)
    await asyncio.Event().wait()


@pytest.mark.parametrize("chunks", [drip, cut_after_a_byte, stand_still])
async def test_r31_slow_retrieval_holds_no_warm_pod_up(
    world: World, chunks: Chunks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on with what it holds, and an alarm says why."""
    monkeypatch.setattr(watch, "WARM_FETCH_SECONDS", 0.5)
    with world.registry.attacked(lambda simulated: setattr(simulated, "chunks", chunks)):
        world.warm.wait_seconds = 1000.0  # of tries there is no end
        await check_stays(world.warm, "DOWNLOAD_SLOW")
        assert world.warm.remembers().trusted.sequence == 2
    assert await world.warm.start() == NEW
    assert world.warm.alarms.raised == {}


@pytest.mark.parametrize("chunks", [drip, cut_after_a_byte, stand_still])
async def test_r31_slow_retrieval_does_not_go_on_for_ever(
    world: World, chunks: Chunks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a pod that holds nothing wait for it: its start fails, and says why."""
    monkeypatch.setattr(downloading, "STALLED_SECONDS", 0.2)
    cold = world.pod(wait_seconds=3.0)
    with world.registry.attacked(lambda simulated: setattr(simulated, "chunks", chunks)):
        await check_starts_not(cold, "DOWNLOAD_CUT")
    assert await cold.start() == NEW


async def test_r31_a_newer_promotion_that_does_not_arrive_sounds_an_alarm(world: World) -> None:
    """That the registry is away is none; that it tells of a version and withholds it is one."""

    async def away(_request: Any, context: Any) -> None:
        await context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")

    def withhold(method: str) -> Attack:
        return lambda simulated: simulated.answers.update({method: away})

    with world.registry.attacked(withhold("ListChannelHistory")):
        assert await world.warm.start() == OLD
        assert world.warm.alarms.raised == {}
    with world.registry.attacked(withhold("GetVersion")):
        await check_stays(world.warm, "UNAVAILABLE")


# R32, fast-forward and forks


def jump(to_sequence: int) -> Attack:
    """A promotion far ahead, which a promoter has signed."""

    def attack(simulated: SimulatedRegistry) -> None:
        simulated.promote(NEW, sequence=to_sequence)

    return attack


@pytest.mark.parametrize("sequence", [2**63 - 1, MAXIMUM_FIRST_SEQUENCE + 1])
async def test_r32_a_fast_forward_is_refused(world: World, sequence: int) -> None:
    """It would leave no room for any other; pods that were offered it go on with the next."""
    await world.check_refused(jump(sequence), "SEQUENCE_TOO_FAR")


async def test_r32_a_first_promotion_may_be_the_millionth(world: World) -> None:
    """A pod that knows nothing begins anywhere up to there."""
    with world.registry.attacked(jump(MAXIMUM_FIRST_SEQUENCE)):
        assert await world.pod().start() == NEW


async def test_r32_a_pod_goes_on_by_a_thousand_promotions_and_no_more(world: World) -> None:
    """And reads no more of a history than leads on."""
    steps = history(MAXIMUM_JUMP + 2, rollout=world.registry.history[1].rollout)
    pod, late = world.pod(), world.pod()
    world.registry.history = steps[:1]
    assert await pod.start() == await late.start() == NEW
    world.registry.history = steps
    before = len(world.registry.calls)
    await check_stays(late, "SEQUENCE_TOO_FAR", serving=NEW)
    assert world.registry.calls[before:] == ["ListChannelHistory"]
    world.registry.history = steps[:-1]
    assert await pod.start() == NEW
    assert pod.remembers().trusted.sequence == MAXIMUM_JUMP + 1


@pytest.mark.parametrize("missing", [1, 2, 3])
async def test_r32_a_gap_in_the_history_is_refused(world: World, missing: int) -> None:
    """Every promotion since the trusted one must be there."""
    for _ in range(3):
        world.registry.promote(NEW)
    with world.registry.attacked(lambda simulated: simulated.history.pop(missing)):
        await check_stays(world.warm, "CHAIN_BROKEN")
    assert await world.warm.start() == NEW


async def test_r32_of_a_broken_history_no_more_is_read_than_shows_it(world: World) -> None:
    """One page, of three that would lead to what is trusted."""
    for _ in range(120):
        world.registry.promote(NEW)
    before = world.registry.calls.count("ListChannelHistory")
    with world.registry.attacked(lambda simulated: simulated.history.pop(-3)):
        await check_stays(world.warm, "CHAIN_BROKEN")
    assert world.registry.calls.count("ListChannelHistory") == before + 1


async def test_r32_a_forked_history_is_refused(world: World) -> None:
    """What was trusted is part of all that follows; a promoter who forks it moves nobody."""
    fork = history(2, rollout=world.registry.history[1].rollout)
    with world.registry.attacked(lambda simulated: setattr(simulated, "history", fork)):
        await check_stays(world.warm, "CHAIN_BROKEN")
    with world.registry.attacked(lambda simulated: setattr(simulated, "history", fork[:1])):
        await check_stays(world.warm, "SEQUENCE_FORKED")
    assert await world.warm.start() == NEW
    assert await world.warm.start() == NEW  # the same promotion again is no fork


# R40, clocks


@pytest.mark.parametrize("days", [-30, 30])
async def test_r40_a_wrong_clock_unloads_nothing_and_goes_back_to_nothing(
    world: World, days: int
) -> None:
    """Sequences order, clocks do not: 30 days off, a pod serves on, and refuses what is older."""
    week = timedelta(days=7)
    world.registry.promote("3.0.0", expire_time=NOW + week)
    pod = world.pod()
    assert await pod.start() == "3.0.0"
    pod.now += timedelta(days=days)
    assert await pod.start() == "3.0.0"
    assert reasons(pod) == ({"promotion": "PROMOTION_EXPIRED"} if days > 0 else {})
    with world.registry.attacked(lambda simulated: simulated.history.pop()):
        await check_stays(pod, "SEQUENCE_BEHIND", serving="3.0.0")
    world.registry.promote("4.0.0", expire_time=NOW + 2 * MONTH)
    assert await pod.start() == "4.0.0"
    assert pod.alarms.raised == {}
    pod.now = NOW
    assert await pod.start() == "4.0.0"
