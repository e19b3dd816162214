"""A stream goes from one generation to another between two hops, and each hop is computed once."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from tests.fakes.places import DirectLane, FakePlaces, direct, engine_of
from tests.unit.inference.fakes import Adder
from voiceflow.artifact import LatencyMode
from voiceflow.errors import Overloaded
from voiceflow.pipeline.model import FloatArray
from voiceflow_inference.batcher import ModelFailed, Urgency
from voiceflow_inference.route import Moved, Route
from voiceflow_inference.serving.generation import Generation
from voiceflow_inference.serving.placing import How
from voiceflow_inference.stages import HopTimes

HOP = 1280
CONTEXT_HOPS = 13
"""One second, in whole hops."""


def hop(number: int) -> FloatArray:
    """The hop of that number: its first sample is the number, in steps of 16-bit audio."""
    return np.full(HOP, number / 32768, np.float32)


class Stream:
    """A stream on two adders, the second of which nobody uses yet."""

    def __init__(self, how: How = How.CARRIED) -> None:
        self.old, self.new = direct(Adder(), 1), direct(Adder(), 2)
        self.places = FakePlaces(self.old, self.new)
        self.places.ways[self.old, self.new] = how
        self.route = Route(self.old, self.places, mode=LatencyMode.DENSITY)
        self.hops = 0

    async def next(self, urgency: Urgency = Urgency.LIVE) -> tuple[float, Moved | None]:
        """The next hop: what the adder says of it, in steps, and whether the stream moved."""
        self.hops += 1
        frames, moved = await self.route.compute(hop(self.hops), 0.0, HopTimes(0, 1280, urgency))
        return float(frames.speech[0]) * 32768, moved

    async def some(self, count: int) -> list[float]:
        """The next hops."""
        return [(await self.next())[0] for _ in range(count)]

    def lanes(self, generation: Generation) -> list[DirectLane]:
        """That were opened on a generation."""
        return engine_of(generation).lanes


async def settle() -> None:
    """Lets everything run that can."""
    for _ in range(100):
        await asyncio.sleep(0)


async def test_a_stream_stays_where_it_is() -> None:
    """Nobody asks it to go: one lane, nothing else."""
    stream = Stream()
    assert await stream.some(4) == [1, 3, 6, 10]
    assert (len(stream.lanes(stream.old)), len(stream.lanes(stream.new))) == (1, 0)


async def test_memory_is_carried_at_the_next_hop() -> None:
    """The sum goes on; the old lane is given up; the new one computes from that hop on."""
    stream = Stream()
    await stream.some(3)
    stream.route.leave_for(stream.new, How.CARRIED)
    total, moved = await stream.next()
    assert total == 10
    assert moved is not None
    assert (moved.at_samples, moved.generation, moved.how) == (3 * HOP, stream.new, How.CARRIED)
    assert moved.replayed_from_samples == 3 * HOP
    assert stream.lanes(stream.old)[0].closed
    assert len(stream.lanes(stream.new)[0].heard) == 1
    assert (await stream.next()) == (15, None)
    assert stream.route.generation is stream.new


async def test_audio_is_replayed_while_the_old_model_goes_on() -> None:
    """In the lower class; it takes over when it has heard all, and not before."""
    stream = Stream(How.REPLAYED)
    await stream.some(20)
    gate = engine_of(stream.new).gate
    gate.clear()
    stream.route.leave_for(stream.new, How.REPLAYED)
    assert await stream.some(2) == [21 * 22 / 2, 22 * 23 / 2]
    await settle()
    assert stream.route.generation is stream.old
    gate.set()
    await settle()
    total, moved = await stream.next()
    assert moved is not None
    assert (moved.at_samples, moved.how) == (22 * HOP, How.REPLAYED)
    assert moved.replayed_from_samples == (20 - CONTEXT_HOPS) * HOP
    assert total == pytest.approx(sum(range(20 - CONTEXT_HOPS + 1, 24)))
    lane = stream.lanes(stream.new)[0]
    assert [len(heard) for heard in lane.heard] == [HOP] * (CONTEXT_HOPS + 3)
    classes = [urgency for *_, urgency in lane.asked]
    assert classes == [Urgency.BACKGROUND] * (CONTEXT_HOPS + 2) + [Urgency.LIVE]
    assert stream.lanes(stream.old)[0].closed


async def test_a_stream_without_pause_waits_for_its_replay() -> None:
    """In the lower class hop follows hop: it would never catch up."""
    stream = Stream(How.REPLAYED)
    await stream.some(3)
    stream.route.leave_for(stream.new, How.REPLAYED)
    total, moved = await stream.next(Urgency.BACKGROUND)
    assert moved is not None
    assert (total, moved.replayed_from_samples) == (10, 0)


async def test_a_stream_that_has_heard_nothing_replays_nothing() -> None:
    """It is elsewhere from the start."""
    stream = Stream(How.REPLAYED)
    stream.route.leave_for(stream.new, How.REPLAYED)
    _, moved = await stream.next(Urgency.BACKGROUND)
    assert moved is not None
    assert moved.at_samples == moved.replayed_from_samples == 0


async def test_a_resumed_stream_replays_from_its_own_start() -> None:
    """What lies before it was heard elsewhere."""
    stream = Stream(How.REPLAYED)
    start = 5 * HOP
    stream.route = Route(stream.old, stream.places, mode=LatencyMode.DENSITY, start_samples=start)
    await stream.some(2)
    stream.route.leave_for(stream.new, How.REPLAYED)
    _, moved = await stream.next(Urgency.BACKGROUND)
    assert moved is not None
    assert (moved.replayed_from_samples, moved.at_samples) == (start, start + 2 * HOP)


async def test_short_hops_are_replayed_as_they_fell() -> None:
    """A flush cuts a hop short: the replay hears the same samples, in whole hops."""
    stream = Stream(How.REPLAYED)
    for part in (hop(1), hop(2)[:640], hop(3)):
        await stream.route.compute(part, 0.0, HopTimes(0, len(part)))
    stream.route.leave_for(stream.new, How.REPLAYED)
    await stream.next(Urgency.BACKGROUND)
    heard = stream.lanes(stream.new)[0].heard
    assert [len(piece) for piece in heard] == [HOP, HOP, 640, HOP]
    together = np.concatenate([hop(1), hop(2)[:640], hop(3), hop(1)])
    np.testing.assert_array_equal(np.concatenate(heard), together)


async def test_the_last_call_to_leave_counts() -> None:
    """A replay that goes on is dropped, also when the stream may stay after all."""
    stream = Stream(How.REPLAYED)
    await stream.some(2)
    engine_of(stream.new).gate.clear()
    stream.route.leave_for(stream.new, How.REPLAYED)
    await stream.some(1)
    third = direct(Adder(), 3)
    stream.route.leave_for(third, How.CARRIED)
    assert (await stream.next())[0] == 10
    assert stream.route.generation is third
    assert stream.lanes(stream.new)[0].closed
    stream.route.leave_for(stream.new, How.CARRIED)
    stream.route.leave_for(third, How.CARRIED)
    assert await stream.next() == (15, None)


async def test_a_stream_that_waits_for_its_replay_can_be_sent_elsewhere() -> None:
    """It is not ended with the replay that it waited for."""
    stream = Stream(How.REPLAYED)
    await stream.some(2)
    engine_of(stream.new).gate.clear()
    stream.route.leave_for(stream.new, How.REPLAYED)
    waiting = asyncio.create_task(stream.next(Urgency.BACKGROUND))
    await settle()
    assert not waiting.done()
    third = direct(Adder(), 3)
    stream.route.leave_for(third, How.CARRIED)
    assert await waiting == (6, None)
    _, moved = await stream.next()
    assert moved is not None
    assert moved.generation is third


async def test_asked_twice_to_go_to_the_same_place_it_begins_once() -> None:
    """A replay is not begun anew."""
    stream = Stream(How.REPLAYED)
    await stream.some(2)
    engine_of(stream.new).gate.clear()
    for _ in range(2):
        stream.route.leave_for(stream.new, How.REPLAYED)
        await stream.some(1)
    assert len(stream.lanes(stream.new)) == 1


@pytest.mark.parametrize("how", [How.CARRIED, How.REPLAYED])
async def test_a_hop_that_fails_is_computed_elsewhere(how: How) -> None:
    """With the memory before it, or the audio before it; nothing is lost, and it is told."""
    stream = Stream(how)
    stream.places.fallbacks[stream.old] = stream.new
    engine_of(stream.old).failing = {5}
    assert await stream.some(4) == [1, 3, 6, 10]
    total, moved = await stream.next()
    assert total == 15
    assert moved is not None
    assert (moved.at_samples, moved.generation, moved.how) == (4 * HOP, stream.new, how)
    assert moved.replayed_from_samples == (4 * HOP if how is How.CARRIED else 0)
    assert [generation for generation, _ in stream.places.failures] == [stream.old]
    assert stream.lanes(stream.old)[0].closed
    assert await stream.next() == (21, None)


async def test_without_a_fallback_the_failure_is_told() -> None:
    """Also where the other one means other things by its vectors."""
    for how, fallback in ((How.TOLD, True), (How.CARRIED, False)):
        stream = Stream(how)
        if fallback:
            stream.places.fallbacks[stream.old] = stream.new
        engine_of(stream.old).failing = {2}
        await stream.some(1)
        with pytest.raises(ModelFailed):
            await stream.next()
        assert [generation for generation, _ in stream.places.failures] == [stream.old]


@pytest.mark.parametrize("how", [How.CARRIED, How.REPLAYED])
async def test_audio_that_no_model_takes_is_nobodys_fault(how: How) -> None:
    """The fallback fails as well: the stream ends, and neither is reported."""
    stream = Stream(how)
    stream.places.fallbacks[stream.old] = stream.new
    engine_of(stream.old).failing = {2}
    engine_of(stream.new).failing = {1}
    await stream.some(1)
    with pytest.raises(ModelFailed):
        await stream.next()
    assert stream.places.failures == []
    stream.route.close()
    assert all(lane.closed for lane in stream.lanes(stream.old) + stream.lanes(stream.new))


async def test_a_fallback_without_room_is_none() -> None:
    """The failure is told as it was."""
    stream = Stream()
    stream.places.fallbacks[stream.old] = stream.new
    engine_of(stream.old).failing = {1}
    engine_of(stream.new).refuses = Overloaded("full", reason="F", retry_after_seconds=1.0)
    with pytest.raises(ModelFailed):
        await stream.next()
    assert [generation for generation, _ in stream.places.failures] == [stream.old]


@pytest.mark.parametrize("how", [How.CARRIED, How.REPLAYED])
async def test_a_full_generation_is_asked_again(how: How) -> None:
    """The stream stays meanwhile."""
    stream = Stream(how)
    engine_of(stream.new).refuses = Overloaded("full", reason="F", retry_after_seconds=1.0)
    stream.route.leave_for(stream.new, how)
    assert await stream.next(Urgency.BACKGROUND) == (1, None)
    engine_of(stream.new).refuses = None
    total, moved = await stream.next(Urgency.BACKGROUND)
    assert (total, moved is None) == (3, False)


async def test_a_generation_that_fails_the_replay_is_not_moved_to() -> None:
    """It is reported, and the stream stays where it is well."""
    stream = Stream(How.REPLAYED)
    engine_of(stream.new).failing = {2}
    await stream.some(4)
    stream.route.leave_for(stream.new, How.REPLAYED)
    assert await stream.next(Urgency.BACKGROUND) == (15, None)
    assert await stream.next() == (21, None)
    assert [generation for generation, _ in stream.places.failures] == [stream.new]
    assert all(lane.closed for lane in stream.lanes(stream.new))


async def test_a_replay_that_failed_is_tried_again_on_other_audio() -> None:
    """Or what is to be left would wait for the end of the stream; gone for good, it is not."""
    stream = Stream(How.REPLAYED)
    engine_of(stream.new).failing = {2}
    await stream.some(4)
    stream.route.leave_for(stream.new, How.REPLAYED)
    for _ in range(CONTEXT_HOPS):
        assert (await stream.next(Urgency.BACKGROUND))[1] is None
    assert len(stream.lanes(stream.new)) == 1
    _, moved = await stream.next(Urgency.BACKGROUND)
    assert moved is not None
    assert (moved.generation, moved.at_samples) == (stream.new, (4 + CONTEXT_HOPS) * HOP)

    stream = Stream(How.REPLAYED)
    engine_of(stream.new).failing = {2}
    await stream.some(4)
    stream.route.leave_for(stream.new, How.REPLAYED)
    await stream.next(Urgency.BACKGROUND)
    engine_of(stream.new).refuses = ModelFailed("hung", reason="MODEL_HUNG")
    for _ in range(3 * CONTEXT_HOPS):
        assert (await stream.next(Urgency.BACKGROUND))[1] is None
    assert len(stream.places.failures) == 2


async def test_a_stream_that_moves_keeps_no_more_audio_than_it_needs() -> None:
    """However long it lives: a context, in whole hops."""
    stream = Stream()
    await stream.some(500)
    assert len(stream.route._heard.since(0)) == CONTEXT_HOPS * HOP


async def test_a_stream_that_ends_while_it_moves_leaves_nothing() -> None:
    """Both lanes are given up, and no task goes on."""
    stream = Stream(How.REPLAYED)
    await stream.some(2)
    engine_of(stream.new).gate.clear()
    stream.route.leave_for(stream.new, How.REPLAYED)
    await stream.some(1)
    stream.route.close()
    await settle()
    assert all(lane.closed for lane in stream.lanes(stream.old) + stream.lanes(stream.new))
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_stream_that_is_cancelled_while_it_is_rescued_leaves_nothing() -> None:
    """Whenever that is, also in the moment in which the other model has caught up."""
    rescued = False
    for steps in range(200):
        stream = Stream(How.REPLAYED)
        stream.places.fallbacks[stream.old] = stream.new
        engine_of(stream.old).failing = {4}
        await stream.some(3)
        hearing = asyncio.create_task(stream.next())
        for _ in range(steps):
            await asyncio.sleep(0)
        rescued = hearing.done()
        hearing.cancel()
        await asyncio.wait([hearing])
        stream.route.close()
        await settle()
        assert all(lane.closed for lane in stream.lanes(stream.old) + stream.lanes(stream.new))
        if rescued:
            break
    assert rescued
