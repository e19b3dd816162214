"""Hops are batched as they queue, in their order, and a failure stays with its stream."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from time import monotonic_ns

import numpy as np
import pytest

from tests.unit.inference.fakes import Adder
from voiceflow.errors import VoiceFlowError
from voiceflow.pipeline.model import FloatArray, Frames
from voiceflow_inference.backend import SlotBackend
from voiceflow_inference.batcher import Batcher, BatchRun, Lane, ModelFailed, Urgency
from voiceflow_inference.batcher.progress import Phase, Progress
from voiceflow_inference.batcher.rest import Rest
from voiceflow_inference.stages import BatchTimes, HopTimes, Stage


class Gate:
    """A backend that computes only when told, and remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[list[float]] = []
        self.closed: list[int] = []
        self.held = threading.Event()
        self.go = threading.Semaphore(0)
        self.terminated = False
        self.ended_first = False
        self.priorities: list[int] = []
        self._began = threading.Condition()
        self._opened = 0

    def open(self, state: Mapping[str, FloatArray] | None = None) -> int:
        """The next number."""
        del state
        self._opened += 1
        return self._opened

    def close(self, slot: int) -> None:
        """Remembers it."""
        self.closed.append(slot)

    def state(self, slot: int) -> dict[str, FloatArray]:
        """Its number."""
        return {"slot": np.array([slot], np.float32)}

    def reached(self, calls: int, seconds: float | None = None) -> bool:
        """Waits until so many calls have begun, and says whether they have."""
        with self._began:
            return self._began.wait_for(lambda: len(self.batches) >= calls, seconds)

    def terminate(self) -> bool:
        """Helps nothing."""
        self.terminated = True
        return not self.ended_first

    def run(
        self, _slots: Sequence[int], audio: FloatArray, _times: BatchTimes, _hops: int
    ) -> tuple[Frames, list[bool]]:
        """Fails for 666 and gives NaN for -1."""
        with self._began:
            self.batches.append(audio[:, 0].tolist())
            self._began.notify_all()
        self.priorities.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        self.held.set()
        self.go.acquire()
        if 666 in audio:
            raise RuntimeError("secret")
        speech = audio[:, :1]
        return Frames(speech, speech[:, :, None], speech[:, :, None, None]), [
            row[0] != -1 for row in audio
        ]


@pytest.fixture
async def gate() -> Gate:
    """The backend."""
    return Gate()


@pytest.fixture
async def batcher(gate: Gate) -> AsyncIterator[Batcher]:
    """A running batcher that takes four live hops, or one other, at once."""
    batcher = Batcher(gate, batch_limit=4)
    batcher.start()
    yield batcher
    for _ in range(100):
        gate.go.release()
    await batcher.stop()


def ask(
    lane: Lane, value: float, *, at: float = 0.0, urgency: Urgency = Urgency.LIVE, length: int = 640
) -> asyncio.Task[float]:
    """Submits a hop of that value; its result is the same value."""

    async def run() -> float:
        frames = await lane.run(np.full(length, value, np.float32), at, urgency)
        return float(frames.speech[0])

    return asyncio.create_task(run())


async def hold(batcher: Batcher, gate: Gate) -> asyncio.Task[float]:
    """Keeps the engine busy, so that what comes next queues."""
    task = ask(batcher.open_lane(), 0)
    await asyncio.to_thread(gate.held.wait)
    return task


async def all_queued() -> None:
    """Lets every task that was just made submit its hop."""
    await asyncio.sleep(0)


async def test_an_idle_engine_takes_what_is_there(batcher: Batcher, gate: Gate) -> None:
    """One hop does not wait for company."""
    gate.go.release()
    assert await ask(batcher.open_lane(), 3) == 3
    assert gate.batches == [[3]]


async def test_what_queues_is_computed_together_oldest_first(batcher: Batcher, gate: Gate) -> None:
    """By arrival, whoever submitted first; up to the limit."""
    first = await hold(batcher, gate)
    tasks = [ask(batcher.open_lane(), value, at=-value) for value in (1, 2, 3, 4, 5)]
    await all_queued()
    assert batcher.load().queue_hops == 5
    assert batcher.load().queue_age_seconds > 0
    for _ in range(3):
        gate.go.release()
    assert await asyncio.gather(first, *tasks) == [0, 1, 2, 3, 4, 5]
    assert gate.batches == [[0], [5, 4, 3, 2], [1]]


async def test_live_hops_go_before_all_others(batcher: Batcher, gate: Gate) -> None:
    """However long the others have waited, and they run in smaller batches."""
    first = await hold(batcher, gate)
    background = [
        ask(batcher.open_lane(), value, at=-9, urgency=Urgency.BACKGROUND) for value in (7, 8)
    ]
    live = [ask(batcher.open_lane(), value, at=1) for value in (1, 2)]
    await all_queued()
    assert batcher.load().queue_hops == 2
    for _ in range(4):
        gate.go.release()
    await asyncio.gather(first, *background, *live)
    assert gate.batches == [[0], [1, 2], [7], [8]]


async def test_recordings_of_many_hops_run_in_small_batches(gate: Gate) -> None:
    """A quarter as many hops as are live at once; more only where one recording asks for them."""
    batcher = Batcher(gate, batch_limit=16, joined_hops=8)
    assert batcher.recording_hops == 8
    batcher.start()
    first = await hold(batcher, gate)

    def ask_for(value: float, hops: int) -> asyncio.Task[Frames]:
        audio, times = np.full(640 * hops, value, np.float32), HopTimes(0, 640 * hops, hops=hops)
        return asyncio.create_task(batcher.open_lane().run(audio, value, Urgency.BACKGROUND, times))

    tasks = [ask_for(value, hops) for value, hops in [(1, 2), (2, 2), (3, 2), (4, 8), (5, 8)]]
    await all_queued()
    gate.go.release(9)
    await asyncio.gather(first, *tasks)
    await batcher.stop()
    assert gate.batches == [[0], [1, 2], [3], [4], [5]]


class Frozen:
    """A clock that stands still unless it is set."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        """Now."""
        return self.seconds


@asynccontextmanager
async def resting(gate: Gate) -> AsyncIterator[Batcher]:
    """A batcher of four whose engine rests after a long call, for ever by its clock."""
    clock = Frozen()
    batcher = Batcher(gate, batch_limit=4, clock=clock)
    batcher.start()
    first = await hold(batcher, gate)
    clock.seconds += 1.0
    gate.go.release(100)
    await first
    try:
        yield batcher
    finally:
        clock.seconds += 1.0
        await batcher.stop()


async def test_a_resting_engine_begins_with_a_whole_batch(gate: Gate) -> None:
    """Hops gather while it rests; four of them are what it rests for."""
    async with resting(gate) as batcher:
        early = [ask(batcher.open_lane(), value) for value in (1, 2, 3)]
        await all_queued()
        assert not await asyncio.to_thread(gate.reached, 2, 0.05)
        await asyncio.gather(*early, ask(batcher.open_lane(), 4))
    assert gate.batches == [[0], [1, 2, 3, 4]]


async def test_no_engine_rests_while_others_than_live_hops_wait(gate: Gate) -> None:
    """It is awake for them; live hops go first all the same."""
    async with resting(gate) as batcher:
        live = ask(batcher.open_lane(), 1)
        await all_queued()
        await asyncio.gather(live, ask(batcher.open_lane(), 7, urgency=Urgency.BACKGROUND))
    assert gate.batches == [[0], [1], [7]]


async def test_an_engine_rests_for_a_small_share_of_a_hop_at_most() -> None:
    """Twice as long as it worked where that is less."""
    rest = Rest()
    assert rest.ends_at(7680) == 0.0
    rest.begin(10.0, 0.002, hops=1)
    assert rest.ends_at(7680) == pytest.approx(10.004)
    rest.begin(10.0, 0.002, hops=3)
    assert rest.ends_at(7680) == pytest.approx(10.012)
    rest.begin(10.0, 0.2, hops=1)
    assert rest.ends_at(7680) == pytest.approx(10.015)
    assert rest.ends_at(1280) == pytest.approx(10.0025)


async def test_only_equal_lengths_share_a_batch(batcher: Batcher, gate: Gate) -> None:
    """A short hop of a flush runs by itself, in its turn."""
    first = await hold(batcher, gate)
    tasks = [
        ask(batcher.open_lane(), value, at=value, length=length)
        for value, length in [(1, 640), (2, 1280), (3, 640)]
    ]
    await all_queued()
    for _ in range(3):
        gate.go.release()
    await asyncio.gather(first, *tasks)
    assert gate.batches == [[0], [1, 3], [2]]


async def test_a_failing_stream_does_not_take_its_neighbours_along(
    batcher: Batcher, gate: Gate
) -> None:
    """A batch that raises is computed again one by one; NaN fails its row alone."""
    first = await hold(batcher, gate)
    tasks = [ask(batcher.open_lane(), value) for value in (1, 666, -1, 2)]
    await all_queued()
    for _ in range(20):
        gate.go.release()
    await first
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [results[0], results[3]] == [1, 2]
    reasons = [r.reason for r in results if isinstance(r, VoiceFlowError)]
    assert reasons == ["MODEL_FAILED", "MODEL_OUTPUT_NOT_FINITE"]


async def test_a_slot_is_free_only_when_its_hop_has_landed(batcher: Batcher, gate: Gate) -> None:
    """A stream that is cancelled while the engine writes its memory keeps the slot until then."""
    lane = batcher.open_lane()
    task = ask(lane, 1)
    await asyncio.to_thread(gate.held.wait)
    task.cancel()
    await asyncio.wait([task])
    lane.close()
    lane.close()
    assert gate.closed == []
    gate.go.release(2)
    assert await ask(batcher.open_lane(), 2) == 2  # delivered after the first
    assert gate.closed == [1]


async def test_hops_of_closed_streams_are_not_computed(batcher: Batcher, gate: Gate) -> None:
    """A queue full of streams that have gone costs nothing."""
    first = await hold(batcher, gate)
    lane = batcher.open_lane()
    task = ask(lane, 9)
    await all_queued()
    task.cancel()
    await asyncio.wait([task])
    lane.close()
    gate.go.release(2)
    await first
    assert await ask(batcher.open_lane(), 2) == 2
    assert [9] not in gate.batches
    assert gate.closed == [2]


async def test_each_batch_is_told_once_with_what_became_of_it(gate: Gate) -> None:
    """Failed and not finite apart, and how long live hops that came out well have taken."""
    runs: list[BatchRun] = []
    now = 100.0
    batcher = Batcher(gate, batch_limit=4, on_batch=runs.append, clock=lambda: now)
    batcher.start()
    gate.go.release(100)
    try:
        for at, urgency in [(97.0, Urgency.LIVE), (98.0, Urgency.BACKGROUND)]:
            await ask(batcher.open_lane(), 1, at=at, urgency=urgency)
        for value in (666, -1):
            await asyncio.wait([ask(batcher.open_lane(), value)])
    finally:
        await batcher.stop()
    assert runs == [
        BatchRun(1, 0, 0, 0.0, Urgency.LIVE, (3.0,)),
        BatchRun(1, 0, 0, 0.0, Urgency.BACKGROUND),
        BatchRun(1, 1, 0, 0.0, Urgency.LIVE),
        BatchRun(1, 0, 1, 0.0, Urgency.LIVE),
    ]


async def test_shadows_wait_for_everybody_else(batcher: Batcher, gate: Gate) -> None:
    """Live, then what can wait, then what nobody waits for."""
    first = await hold(batcher, gate)
    order = [Urgency.SHADOW, Urgency.BACKGROUND, Urgency.LIVE]
    tasks = [ask(batcher.open_lane(), u + 1, at=u, urgency=u) for u in order]
    await all_queued()
    gate.go.release(4)
    await asyncio.gather(first, *tasks)
    assert gate.batches == [[0], [1], [2], [3]]


async def test_what_follows_a_batch_runs_in_the_engine_thread(batcher: Batcher, gate: Gate) -> None:
    """With the size of the batch; if it raises, the engine goes on."""
    seen: list[tuple[int, int, str]] = []

    def after(hops: int, samples: int) -> None:
        seen.append((hops, samples, threading.current_thread().name))
        raise RuntimeError

    batcher.after_batch = after
    gate.go.release(2)
    await ask(batcher.open_lane(), 1)
    await ask(batcher.open_lane(), 2, length=1280)
    assert seen[:1] == [(1, 640, "engine")]


async def test_memory_goes_from_lane_to_lane() -> None:
    """A copy of what the last hop left, only while none is in flight, only while it is open."""
    batcher = Batcher(SlotBackend(Adder(), 4), batch_limit=4)
    batcher.start()
    lane = batcher.open_lane()
    hop = np.full(640, 5, np.float32)
    await lane.run(hop, 0, Urgency.LIVE)
    state = lane.state()
    task = asyncio.create_task(lane.run(hop, 0, Urgency.LIVE))
    await all_queued()
    with pytest.raises(RuntimeError):
        lane.state()
    await task
    assert state["sum"] == 5
    carried = batcher.open_lane(state)
    frames = await carried.run(hop, 0, Urgency.LIVE)
    assert frames.speech[0] == 10
    lane.close()
    with pytest.raises(RuntimeError):
        lane.state()
    await batcher.stop()


async def test_hops_of_a_batch_share_its_times() -> None:
    """Each is marked from the queue to the moment at which its stream goes on."""
    batcher = Batcher(SlotBackend(Adder(), 4), batch_limit=4)
    batcher.start()
    all_times = [HopTimes(monotonic_ns(), 640) for _ in range(2)]
    one = np.ones(640, np.float32)
    with batcher._changed:  # both queue before the engine looks
        tasks = [
            asyncio.create_task(batcher.open_lane().run(one, 0, Urgency.LIVE, times))
            for times in all_times
        ]
        await all_queued()
    await asyncio.gather(*tasks)
    await batcher.stop()
    assert all_times[0].batch is all_times[1].batch
    assert all_times[0].batch is not None
    assert all_times[0].batch.hops == 2
    for times in all_times:
        assert [*times.elapsed_ns()] == [Stage.QUEUE, Stage.GATHER, Stage.INFER, Stage.SCATTER]
        assert min(times.elapsed_ns().values()) >= 0


async def test_a_hop_of_a_batch_that_failed_has_the_times_of_its_own(
    batcher: Batcher, gate: Gate
) -> None:
    """Until then it waited; one that fails itself ended where it was."""
    first = await hold(batcher, gate)
    all_times = [HopTimes(monotonic_ns(), 640) for _ in range(2)]
    good, bad = (
        asyncio.create_task(
            batcher.open_lane().run(np.full(640, value, np.float32), 0, Urgency.LIVE, times)
        )
        for value, times in zip((1, 666), all_times, strict=True)
    )
    await all_queued()
    gate.go.release(4)
    await first
    await good
    with pytest.raises(ModelFailed):
        await bad
    assert [times.batch.hops for times in all_times if times.batch is not None] == [1, 1]
    assert all_times[1].marks[-1][0] is Stage.GATHER  # this backend tells of no part


async def test_a_hop_that_no_engine_takes_waited_to_its_end(batcher: Batcher) -> None:
    """Also one that another engine has computed, or tried to."""
    lane = batcher.open_lane()
    await batcher.stop()
    times = HopTimes(1, 640, batch=BatchTimes(1, 2, 3, 4))
    with pytest.raises(ModelFailed):
        await lane.run(np.zeros(640, np.float32), 0, Urgency.LIVE, times)
    assert [*times.elapsed_ns()] == [Stage.QUEUE]


@asynccontextmanager
async def watched(
    gate: Gate, hang_seconds: float = 1e6
) -> AsyncIterator[tuple[Batcher, list[BatchRun]]]:
    """A running batcher that gives models up, and what it tells of its batches."""
    runs: list[BatchRun] = []
    batcher = Batcher(gate, batch_limit=4, on_batch=runs.append, hang_seconds=lambda: hang_seconds)
    batcher.start()
    try:
        yield batcher, runs
    finally:
        gate.go.release(100)
        await batcher.stop()


def look(batcher: Batcher, times: int = 5) -> None:
    """As time would do: the first look sees something new, four more see the same."""
    for _ in range(times):
        batcher._look()


async def test_a_model_that_does_not_come_back_is_given_up(gate: Gate) -> None:
    """Whoever waits or comes later is told at once, although the thread is lost for good."""
    async with watched(gate, 0.02) as (batcher, runs):
        first = await hold(batcher, gate)
        later = batcher.open_lane()
        queued = ask(batcher.open_lane(), 1)
        assert [await reason(first), await reason(queued)] == ["MODEL_HUNG", "MODEL_HUNG"]
        assert await reason(ask(later, 2)) == "MODEL_HUNG"
        with pytest.raises(ModelFailed):
            batcher.open_lane()
        assert batcher.gone
        assert gate.terminated
        assert [(run.hops, run.failed, run.hung) for run in runs] == [(1, 1, True)]
        assert gate.batches == [[0]]


async def test_four_looks_must_find_the_same_call(gate: Gate) -> None:
    """However long it was between two of them: the process may have been stopped."""
    async with watched(gate) as (batcher, _):
        first = await hold(batcher, gate)
        look(batcher, 4)
        assert not gate.terminated
        look(batcher, 1)
        assert batcher.gone
        assert await reason(first) == "MODEL_HUNG"


async def test_a_busy_engine_does_not_hang(gate: Gate) -> None:
    """Many looks find it busy, each with another call."""
    async with watched(gate) as (batcher, _):
        tasks = [await hold(batcher, gate)]
        for number in range(2, 12):
            tasks.append(ask(batcher.open_lane(), 0))
            look(batcher, 1)
            await all_queued()
            gate.go.release()
            await asyncio.to_thread(gate.reached, number)
        gate.go.release(100)
        assert await asyncio.gather(*tasks) == [0] * 11


async def test_what_came_out_before_the_hang_is_told(gate: Gate) -> None:
    """Of a batch that is computed one by one because it failed, the first ones came out well."""
    async with watched(gate) as (batcher, runs):
        first = await hold(batcher, gate)
        tasks = [ask(batcher.open_lane(), value) for value in (1, 666, 2)]
        await all_queued()
        gate.go.release(4)  # the first, the three, the 1, the 666; and the 2 hangs
        await asyncio.to_thread(gate.reached, 5)
        look(batcher)
        assert await first == 0
        assert await tasks[0] == 1
        assert [await reason(task) for task in tasks[1:]] == ["MODEL_FAILED", "MODEL_HUNG"]
        assert [(run.hops, run.failed) for run in runs if run.hung] == [(3, 2)]


async def test_a_call_that_has_just_come_back_has_not_hung(gate: Gate) -> None:
    """Where there is no call to end, its result counts."""
    gate.ended_first = True
    async with watched(gate) as (batcher, runs):
        first = await hold(batcher, gate)
        look(batcher)
        assert gate.terminated
        gate.go.release()
        assert await first == 0
        assert not batcher.gone
        assert [run.hung for run in runs] == [False]


async def test_what_comes_back_too_late_is_not_heard(gate: Gate) -> None:
    """Nobody is told twice, no slot is given back twice, and nothing is tried again."""
    async with watched(gate) as (batcher, runs):
        first = await hold(batcher, gate)
        lanes = [batcher.open_lane() for _ in range(2)]
        tasks = [ask(lane, value) for lane, value in zip(lanes, (666, 1), strict=True)]
        await all_queued()
        gate.go.release()
        await asyncio.to_thread(gate.reached, 2)
        await first
        look(batcher)
        assert [await reason(task) for task in tasks] == ["MODEL_HUNG", "MODEL_HUNG"]
        for lane in lanes:
            lane.close()
        gate.go.release(100)
        await asyncio.to_thread(batcher._thread.join)
        await all_queued()
        assert [run.hung for run in runs] == [False, True]
        assert gate.batches == [[0], [666, 1]]
        assert gate.closed == [2, 3]


async def test_an_engine_that_waits_does_not_hang() -> None:
    """However often it is looked at."""
    progress = Progress()
    assert [progress.look() for _ in range(9)] == [0] * 9
    progress.enter(Phase.CALL)
    assert [progress.look() for _ in range(3)] == [0, 1, 2]
    progress.enter(Phase.IDLE)
    assert [progress.look() for _ in range(3)] == [0, 0, 0]


async def test_without_a_limit_nothing_hangs(batcher: Batcher, gate: Gate) -> None:
    """What a channel's policy leaves open is not decided here."""
    first = await hold(batcher, gate)
    look(batcher, 10)
    assert not gate.terminated
    gate.go.release()
    assert await first == 0


async def test_what_follows_a_batch_may_not_hang_either(gate: Gate) -> None:
    """The engine would never take another hop."""
    async with watched(gate) as (batcher, runs):
        reached, let_go = threading.Event(), threading.Event()

        def after(_hops: int, _samples: int) -> None:
            reached.set()
            let_go.wait()

        batcher.after_batch = after
        gate.ended_first = True  # there is no call that could be ended
        gate.go.release()
        assert await ask(batcher.open_lane(), 1) == 1
        await asyncio.to_thread(reached.wait)
        waiting = ask(batcher.open_lane(), 2)
        await all_queued()
        look(batcher)
        assert await reason(waiting) == "MODEL_HUNG"
        assert [(run.hops, run.hung) for run in runs] == [(1, False), (0, True)]
        let_go.set()


async def test_an_engine_that_stops_leaves_nobody_waiting(gate: Gate) -> None:
    """The batch that runs is finished; what waits fails; the model is let go."""
    batcher = Batcher(gate, batch_limit=4)
    batcher.start()
    first = await hold(batcher, gate)
    lane = batcher.open_lane()
    waiting = ask(lane, 1)
    await all_queued()
    stopping = asyncio.create_task(batcher.stop())
    await all_queued()
    gate.go.release()
    assert await first == 0
    assert await reason(waiting) == "MODEL_FAILED"
    await stopping
    lane.close()
    assert gate not in gc.get_referents(batcher.__dict__)
    await batcher.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="needs priorities of threads")
async def test_an_engine_steps_back_and_forward_again(gate: Gate) -> None:
    """For a shadow, and when that becomes what everybody hears; one thread computes at a time."""
    batcher = Batcher(gate, batch_limit=4)
    batcher.start()
    gate.go.release(100)
    lane = batcher.open_lane()
    own = os.getpriority(os.PRIO_PROCESS, 0)
    await ask(lane, 1)
    batcher.calm()
    await ask(lane, 2)
    batcher.rouse()
    batcher.rouse()
    await ask(lane, 3)
    await batcher.stop()
    assert [nice > own for nice in gate.priorities] == [False, True, False]


@pytest.mark.skipif(sys.platform != "linux", reason="needs priorities of threads")
async def test_a_thread_steps_forward_when_the_one_before_has_ended(
    batcher: Batcher, gate: Gate
) -> None:
    """Two would call the model, and change the streams' memory, at once."""
    batcher.calm()
    first = await hold(batcher, gate)
    batcher.rouse()
    second = ask(batcher.open_lane(), 1)
    await all_queued()
    assert not await asyncio.to_thread(gate.reached, 2, 0.1)
    gate.go.release(2)
    assert [await first, await second] == [0, 1]


async def reason(task: asyncio.Task[float]) -> str:
    """Why a hop was not computed."""
    with pytest.raises(ModelFailed) as caught:
        await asyncio.wait_for(task, 30)
    return caught.value.reason
