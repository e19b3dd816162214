"""The one place where the streams of a generation meet: one thread computes hops in batches.

Work-conserving: an idle engine takes what is there; while it runs, hops queue; the next batch is
what has queued by then. Nothing waits to fill a batch. Live hops go before the others, and within a
class the one that arrived first. A stream has at most one hop in flight, so the queue is never
longer than the number of streams.

A model that does not come back is given up: its streams are told at once, and those of other
generations, whose engines have threads of their own, notice nothing.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum, auto
from typing import Final, Protocol

import numpy as np

from voiceflow.errors import VoiceFlowError
from voiceflow.pipeline.model import FloatArray, Frames
from voiceflow_inference.priority import step_back

_LOG = logging.getLogger(__name__)


class Urgency(IntEnum):
    """Classes of hops; a lower one runs only while no higher one waits."""

    LIVE = 0
    BACKGROUND = 1
    SHADOW = 2


class ModelFailed(VoiceFlowError):
    """The model did not compute a hop; the stream's memory is what it was before."""


class Backend(Protocol):
    """What the batcher needs of a model and its slots; see ``SlotBackend``."""

    def open(self, state: Mapping[str, FloatArray] | None = None) -> int:
        """Takes a slot."""

    def close(self, slot: int) -> None:
        """Gives it back."""

    def state(self, slot: int) -> dict[str, FloatArray]:
        """A copy of its memory."""

    def run(self, slots: Sequence[int], audio: FloatArray) -> tuple[Frames, list[bool]]:
        """Computes one hop of each stream, (batch, samples)."""

    def terminate(self) -> bool:
        """Ends the call that runs, and the backend with it; False if none runs."""


@dataclass(frozen=True, slots=True)
class BatchRun:
    """What became of one batch.

    Attributes:
        hops: That were computed, or tried.
        failed: Of these, how many the model raised an error for, or did not come back from.
        non_finite: Of these, how many gave NaN or infinity.
        seconds: In the engine.
        urgency: Of all of them.
        latencies_seconds: From arrival until the stream was told, of live hops that came out well.
        hung: The model did not come back; there is no batch after this one.
    """

    hops: int
    failed: int
    non_finite: int
    seconds: float
    urgency: Urgency
    latencies_seconds: tuple[float, ...] = ()
    hung: bool = False


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
            ModelFailed: The model failed, gave numbers that are not finite, or did not come back.
        """
        future: asyncio.Future[Frames] = asyncio.get_running_loop().create_future()
        self._in_flight = True
        self._batcher.submit(_Job(hop, arrived_seconds, urgency, self, future))
        return await future

    def state(self) -> dict[str, FloatArray]:
        """A copy of the stream's memory, after its last hop that came out well.

        Raises:
            RuntimeError: The lane is closed, or a hop is in flight.
        """
        if self.closed or self._in_flight:
            raise RuntimeError("only a lane that is open and at rest has a state")
        return self._batcher.state(self.slot)

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
        on_batch: Told of each batch, in the event loop, after its streams have been told.
        hang_seconds: After how long a call counts as one that does not come back; None: never.
        clock: Monotonic seconds.

    Attributes:
        after_batch: Called in the engine thread after each batch, with its hops and the samples of
            each; streams wait meanwhile.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        batch_limit: int,
        on_batch: Callable[[BatchRun], None] | None = None,
        hang_seconds: Callable[[], float | None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.after_batch: Callable[[int, int], None] | None = None
        self._backend = backend
        self._limits = dict.fromkeys(Urgency, -(-batch_limit // 4)) | {Urgency.LIVE: batch_limit}
        self._on_batch = on_batch
        self._hang_seconds = hang_seconds
        self._clock = clock
        self._changed = threading.Condition()
        self._queues: defaultdict[tuple[Urgency, int], list[tuple[float, int, _Job]]]
        self._queues = defaultdict(list)  # heaps by class and length of the hop
        self._numbers = itertools.count()
        self._busy = _Recent(clock)
        self._delivery = _Recent(clock)
        self._calm = False
        self._stopping = False
        self._gone: Callable[[], ModelFailed] | None = None  # why no hop is computed any more
        self._phase = _Phase.IDLE
        self._step = 0  # of the engine thread; changes as long as it gets on
        self._running: _Batch | None = None
        self._look: asyncio.TimerHandle | None = None
        self._looked_at = (0, 0)  # a step, and how often it was found to be the same
        self._thread = self._new_thread(None)

    def start(self) -> None:
        """Starts the engine thread; results come to the event loop that runs now."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self) -> None:
        """Ends the engine thread after the batch that it computes; hops that wait fail.

        A thread that does not come back is left behind; it changes nothing any more.
        """
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._gone is None:
            limit_seconds = self._hang_seconds() or _STOP_SECONDS
            await asyncio.to_thread(self._thread.join, limit_seconds)
            self._backend.terminate()
        await asyncio.to_thread(self._thread.join, _LEAVING_SECONDS)
        if self._thread.is_alive():
            _LOG.error("a model does not come back; its thread is left behind")
        self._give_up(_unloaded)
        if self._look is not None:
            self._look.cancel()

    def calm(self) -> None:
        """Has the engine step back behind the process's other threads, from its next batch on."""
        with self._changed:
            self._calm = True

    def rouse(self) -> None:
        """Takes ``calm`` back: with a new thread, because no thread may step forward again."""
        with self._changed:
            if not self._calm or self._stopping:
                return
            self._calm = False
            self._thread = self._new_thread(self._thread)
            self._thread.start()
            self._changed.notify_all()

    def open_lane(self, state: Mapping[str, FloatArray] | None = None) -> Lane:
        """Takes a slot for a stream.

        Args:
            state: The stream's memory, of a model with the same state space; None: it has heard
                nothing yet.

        Raises:
            Overloaded: Every slot is taken.
            ModelFailed: MODEL_HUNG.
        """
        if self._gone is not None:
            raise self._gone()
        return Lane(self, self._backend.open(state))

    def submit(self, job: _Job) -> None:
        """Queues a hop."""
        with self._changed:
            if self._gone is None:
                queue = self._queues[job.urgency, len(job.hop)]
                heapq.heappush(queue, (job.arrived_seconds, next(self._numbers), job))
                self._changed.notify_all()
        if self._gone is not None:
            _tell(job, self._gone())
        elif self._look is None:
            self._look_later()

    @property
    def gone(self) -> bool:
        """Whether it computes nothing any more: its model hung, or it was stopped."""
        return self._gone is not None

    def state(self, slot: int) -> dict[str, FloatArray]:
        """A copy of the memory of a slot of which no hop is in flight."""
        return self._backend.state(slot)

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

    # The engine thread.

    def _new_thread(self, before: threading.Thread | None) -> threading.Thread:
        return threading.Thread(target=self._work, args=[before], name="engine", daemon=True)

    def _work(self, before: threading.Thread | None) -> None:
        if before is not None:
            before.join()
        calm = False
        while (batch := self._take()) is not None:
            if self._calm and not calm:
                calm = True
                step_back()
            started = self._clock()
            self._compute(batch, [job for job in batch.jobs if not job.lane.closed])
            batch.seconds = self._clock() - started
            with self._changed:
                if self._gone is not None:
                    return  # all were told
                self._running = None
                self._busy.add(0.0 if batch.urgency else batch.seconds)
            try:
                self._loop.call_soon_threadsafe(self._deliver, batch, self._clock())
            except RuntimeError:  # the event loop is closed, nobody waits any more
                return
            self._afterwards(batch)

    def _take(self) -> _Batch | None:
        """The next batch, of one class and one length; None when the thread shall end."""
        with self._changed:
            self._enter(_Phase.IDLE)
            while not self._over():
                heads = [(key[0], queue[0], key) for key, queue in self._queues.items() if queue]
                if heads:
                    urgency, _, key = min(heads)
                    queue = self._queues[key]
                    size = min(len(queue), self._limits[urgency])
                    self._running = _Batch([heapq.heappop(queue)[2] for _ in range(size)], urgency)
                    self._enter(_Phase.CALL)
                    return self._running
                self._changed.wait()
        return None

    def _over(self) -> bool:
        replaced = self._thread is not threading.current_thread()
        return self._stopping or replaced or self._gone is not None

    def _enter(self, phase: _Phase) -> None:
        self._phase = phase
        self._step += 1

    def _compute(self, batch: _Batch, jobs: list[_Job]) -> None:
        if not jobs:
            return
        with self._changed:
            self._enter(_Phase.CALL)
        try:
            frames, finite = self._backend.run(
                [job.lane.slot for job in jobs], np.stack([job.hop for job in jobs])
            )
        except Exception:  # noqa: BLE001 whatever a model does must not end the engine
            with self._changed:
                if self._gone is not None:
                    return
            _LOG.exception("the model failed on a batch of %d", len(jobs))
            if len(jobs) == 1:
                batch.results[jobs[0]] = _failed()
            else:  # one of them may be the cause: the others must not suffer
                for job in jobs:
                    self._compute(batch, [job])
            return
        for index, (job, good) in enumerate(zip(jobs, finite, strict=True)):
            batch.results[job] = frames.of(index) if good else _not_finite()

    def _afterwards(self, batch: _Batch) -> None:
        if self.after_batch is None or not batch.results:
            return
        with self._changed:
            self._enter(_Phase.HOOK)
        try:
            self.after_batch(len(batch.results), len(batch.jobs[0].hop))
        except Exception:  # noqa: BLE001 it is no part of the engine
            _LOG.exception("what follows a batch failed")

    # The event loop.

    def _deliver(self, batch: _Batch, ended: float) -> None:
        """Tells the streams, once a batch."""
        now = self._clock()
        with self._changed:
            self._delivery.add(now - ended)
        for job in batch.jobs:
            _tell(job, batch.results.get(job))
        if self._on_batch is not None and batch.results:
            self._on_batch(batch.report(now))

    def _look_later(self) -> None:
        limit_seconds = self._hang_seconds()
        seconds = _LOOK_SECONDS if limit_seconds is None else limit_seconds / _LOOKS
        self._look = self._loop.call_later(seconds, self._look_now)

    def _look_now(self) -> None:
        """Looks whether the engine thread gets on.

        A call is given up that was found to run so many times. Unlike the time that it took, these
        do not go on while the whole process is stopped, or the event loop held up.
        """
        self._look = None
        limit_seconds = self._hang_seconds()
        with self._changed:
            if self._phase is _Phase.IDLE and not any(self._queues.values()):
                return
            step, times = self._looked_at
            same = step == self._step and self._phase is not _Phase.IDLE
            self._looked_at = self._step, times + 1 if same else 0
            hung = limit_seconds is not None and self._looked_at[1] >= _LOOKS
            if hung and self._phase is _Phase.CALL:
                hung = self._backend.terminate()  # or it has come back just now
            if hung:
                self._gone = _hung
        if hung:
            _LOG.error("the model did not come back within %s s; it is given up", limit_seconds)
            self._give_up(_hung)
        else:
            self._look_later()

    def _give_up(self, why: Callable[[], ModelFailed]) -> None:
        """Tells all that still wait."""
        with self._changed:
            self._gone = self._gone or why
            batch, self._running = self._running, None
            waiting = [job for queue in self._queues.values() for _, _, job in queue]
            self._queues.clear()
            self._changed.notify_all()
        if batch is not None:
            for job in batch.jobs:
                batch.results.setdefault(job, why())
            batch.hung = why is _hung
            self._deliver(batch, self._clock())
        for job in waiting:
            _tell(job, why())


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    hop: FloatArray  # (samples,)
    arrived_seconds: float
    urgency: Urgency
    lane: Lane
    future: asyncio.Future[Frames]


@dataclass(slots=True, eq=False)
class _Batch:
    """Hops that are computed together; those of streams that have gone get no result."""

    jobs: list[_Job]
    urgency: Urgency
    results: dict[_Job, Frames | ModelFailed] = field(default_factory=dict)
    seconds: float = 0.0
    hung: bool = False

    def report(self, now: float) -> BatchRun:
        reasons = [r.reason for r in self.results.values() if isinstance(r, ModelFailed)]
        non_finite = reasons.count(_not_finite().reason)
        told = () if self.urgency else self.results.items()
        return BatchRun(
            hops=len(self.results),
            failed=len(reasons) - non_finite,
            non_finite=non_finite,
            seconds=self.seconds,
            urgency=self.urgency,
            latencies_seconds=tuple(
                now - job.arrived_seconds for job, result in told if isinstance(result, Frames)
            ),
            hung=self.hung,
        )


class _Phase(Enum):
    """What the engine thread is about."""

    IDLE = auto()
    CALL = auto()
    HOOK = auto()


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
_LOOKS: Final = 4
_LOOK_SECONDS: Final = 1.0  # where nothing counts as hanging for now
_STOP_SECONDS: Final = 10.0
_LEAVING_SECONDS: Final = 1.0  # after its call was ended


def _tell(job: _Job, result: Frames | ModelFailed | None) -> None:
    if not job.future.done():  # a cancelled stream does not wait any more
        if isinstance(result, Frames):
            job.future.set_result(result)
        elif result is not None:
            job.future.set_exception(result)
    job.lane.landed()


def _failed() -> ModelFailed:
    return ModelFailed("the model failed on this stream's audio", reason="MODEL_FAILED")


def _unloaded() -> ModelFailed:
    return ModelFailed("the model was unloaded under this stream", reason="MODEL_FAILED")


def _not_finite() -> ModelFailed:
    return ModelFailed(
        "the model gave numbers that are not finite for this stream's audio",
        reason="MODEL_OUTPUT_NOT_FINITE",
    )


def _hung() -> ModelFailed:
    return ModelFailed("the model did not come back; it is not asked again", reason="MODEL_HUNG")
