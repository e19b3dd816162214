"""Hops are batched as they queue, in their order, and a failure stays with its stream."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping, Sequence

import numpy as np
import pytest

from voiceflow.errors import VoiceFlowError
from voiceflow.pipeline.model import FloatArray, Frames
from voiceflow_inference.batcher import Batcher, Lane, Urgency


class Gate:
    """A backend that computes only when told, and remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[list[float]] = []
        self.closed: list[int] = []
        self.held = threading.Event()
        self.go = threading.Semaphore(0)
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

    def terminate(self) -> bool:
        """Helps nothing."""
        return True

    def run(self, _slots: Sequence[int], audio: FloatArray) -> tuple[Frames, list[bool]]:
        """Fails for 666 and gives NaN for -1."""
        self.batches.append(audio[:, 0].tolist())
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
