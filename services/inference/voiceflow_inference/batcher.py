"""The one place where streams meet: hops wait here, and one thread computes them in batches.

Work-conserving: an idle engine takes what is there; while it runs, hops queue; the next batch is
what has queued by then. Nothing waits to fill a batch. Live hops go before the others, and within a
class the one that arrived first. A stream has at most one hop in flight, so the queue is never
longer than the number of streams.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Protocol

import numpy as np

from voiceflow.errors import VoiceFlowError
from voiceflow.pipeline.model import FloatArray, Frames

_LOG = logging.getLogger(__name__)


class Urgency(IntEnum):
    """Classes of hops; a lower one runs only while no higher one waits."""

    LIVE = 0
    BACKGROUND = 1


class Backend(Protocol):
    """What the batcher needs of a model and its slots; see ``SlotBackend``."""

    def open(self) -> int:
        """Takes a slot."""

    def close(self, slot: int) -> None:
        """Gives it back."""

    def run(self, slots: Sequence[int], audio: FloatArray) -> tuple[Frames, list[bool]]:
        """Computes one hop of each stream, (batch, samples)."""


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """How busy the engine is, by live hops alone.

    Attributes:
        queue_hops: Live hops that wait.
        queue_age_seconds: How long the oldest of them has waited.
        real_time_factor: Share of the last seconds in which the engine computed live hops.
        delivery_seconds: How long recent results waited for the event loop, on average.
    """

    queue_hops: int
    queue_age_seconds: float
    real_time_factor: float
    delivery_seconds: float


class Lane:
    """One stream's way through the engine; used by the event loop alone."""

    def __init__(self, batcher: Batcher, slot: int) -> None:
        self._batcher = batcher
        self._in_flight = False
        self.slot = slot
        self.closed = False

    async def run(self, hop: FloatArray, arrived_seconds: float, urgency: Urgency) -> Frames:
        """Computes the stream's next hop.

        Args:
            hop: (samples,).
            arrived_seconds: When its last byte arrived, by the batcher's clock.
            urgency: Its class.

        Raises:
            VoiceFlowError: The model failed, or gave numbers that are not finite.
        """
        future: asyncio.Future[Frames] = asyncio.get_running_loop().create_future()
        self._in_flight = True
        self._batcher.submit(_Job(hop, arrived_seconds, urgency, self, future))
        return await future

    def close(self) -> None:
        """Gives the slot back as soon as no hop is in flight; a second call does nothing."""
        if not self.closed:
            self.closed = True
            self._release()

    def landed(self) -> None:
        """Called by the batcher when the hop in flight is done with."""
        self._in_flight = False
        self._release()

    def _release(self) -> None:
        if self.closed and not self._in_flight:
            self._batcher.release(self.slot)


class Batcher:
    """The queue and its engine thread.

    Args:
        backend: Model and slots; its ``run`` is called by the engine thread alone.
        batch_limit: Largest batch of live hops. The others run in smaller ones, because a live hop
            that arrives must wait for the batch that runs.
        clock: Monotonic seconds.
    """

    def __init__(
        self, backend: Backend, *, batch_limit: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._backend = backend
        self._limits = {Urgency.LIVE: batch_limit, Urgency.BACKGROUND: -(-batch_limit // 4)}
        self._clock = clock
        self._changed = threading.Condition()
        self._queues: defaultdict[tuple[Urgency, int], list[tuple[float, int, _Job]]]
        self._queues = defaultdict(list)  # heaps by class and length of the hop
        self._numbers = itertools.count()
        self._busy = _Recent(clock)
        self._delivery = _Recent(clock)
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)

    def start(self) -> None:
        """Starts the engine thread; results come to the event loop that runs now."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self) -> None:
        """Ends the engine thread after the batch that it computes."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        await asyncio.to_thread(self._thread.join)

    def open_lane(self) -> Lane:
        """Takes a slot for a new stream.

        Raises:
            Overloaded: Every slot is taken.
        """
        return Lane(self, self._backend.open())

    def submit(self, job: _Job) -> None:
        """Queues a hop."""
        with self._changed:
            queue = self._queues[job.urgency, len(job.hop)]
            heapq.heappush(queue, (job.arrived_seconds, next(self._numbers), job))
            self._changed.notify()

    def release(self, slot: int) -> None:
        """Gives back a slot of which no hop is in flight."""
        self._backend.close(slot)

    def load(self) -> EngineLoad:
        """How busy the engine is now."""
        with self._changed:
            live = [queue for (urgency, _), queue in self._queues.items() if not urgency and queue]
            oldest = min((queue[0][0] for queue in live), default=None)
            return EngineLoad(
                sum(map(len, live)),
                0.0 if oldest is None else max(0.0, self._clock() - oldest),
                self._busy.share(),
                self._delivery.mean(),
            )

    def _work(self) -> None:
        while jobs := self._take():
            started = self._clock()
            left = [job for job in jobs if job.lane.closed]
            outcomes = [_Outcome(job, None) for job in left]
            outcomes += self._compute([job for job in jobs if job not in left])
            ended = self._clock()
            with self._changed:
                self._busy.add(0.0 if jobs[0].urgency else ended - started)
            try:
                self._loop.call_soon_threadsafe(self._deliver, outcomes, ended)
            except RuntimeError:  # the event loop is closed, nobody waits any more
                return

    def _take(self) -> list[_Job]:
        """The next batch, of one class and one length; nothing when the batcher stops."""
        with self._changed:
            while not self._stopping:
                heads = [(key[0], queue[0], key) for key, queue in self._queues.items() if queue]
                if heads:
                    urgency, _, key = min(heads)
                    queue = self._queues[key]
                    size = min(len(queue), self._limits[urgency])
                    return [heapq.heappop(queue)[2] for _ in range(size)]
                self._changed.wait()
        return []

    def _compute(self, jobs: list[_Job]) -> Iterator[_Outcome]:
        if not jobs:
            return
        try:
            frames, finite = self._backend.run(
                [job.lane.slot for job in jobs], np.stack([job.hop for job in jobs])
            )
        except Exception:  # noqa: BLE001 whatever a model does must not end the engine
            _LOG.exception("the model failed on a batch of %d", len(jobs))
            if len(jobs) == 1:
                yield _Outcome(jobs[0], _model_failed())
            else:  # one of them may be the cause: the others must not suffer
                for job in jobs:
                    yield from self._compute([job])
            return
        for index, (job, good) in enumerate(zip(jobs, finite, strict=True)):
            yield _Outcome(job, frames.of(index) if good else _not_finite())

    def _deliver(self, outcomes: list[_Outcome], ended: float) -> None:
        """Runs in the event loop, once a batch."""
        with self._changed:
            self._delivery.add(self._clock() - ended)
        for outcome in outcomes:
            future = outcome.job.future
            if not future.done():  # a cancelled stream does not wait any more
                if isinstance(outcome.result, Frames):
                    future.set_result(outcome.result)
                elif outcome.result is not None:
                    future.set_exception(outcome.result)
            outcome.job.lane.landed()


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    hop: FloatArray  # (samples,)
    arrived_seconds: float
    urgency: Urgency
    lane: Lane
    future: asyncio.Future[Frames]


@dataclass(frozen=True, slots=True)
class _Outcome:
    job: _Job
    result: Frames | VoiceFlowError | None  # None: nobody waits for it


class _Recent:
    """Seconds measured in the last while."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._entries: deque[tuple[float, float]] = deque()
        self._since = clock()

    def add(self, seconds: float) -> None:
        self._entries.append((self._clock(), seconds))
        self._forget()

    def share(self) -> float:
        """Their sum, by the time that it was collected in."""
        self._forget()
        span = min(_WINDOW_SECONDS, max(self._clock() - self._since, 1e-3))
        return min(1.0, sum(seconds for _, seconds in self._entries) / span)

    def mean(self) -> float:
        self._forget()
        return sum(seconds for _, seconds in self._entries) / max(1, len(self._entries))

    def _forget(self) -> None:
        while self._entries and self._entries[0][0] < self._clock() - _WINDOW_SECONDS:
            self._entries.popleft()


_WINDOW_SECONDS: Final = 5.0


def _model_failed() -> VoiceFlowError:
    return VoiceFlowError("the model failed on this stream's audio", reason="MODEL_FAILED")


def _not_finite() -> VoiceFlowError:
    return VoiceFlowError(
        "the model gave numbers that are not finite for this stream's audio",
        reason="MODEL_OUTPUT_NOT_FINITE",
    )
