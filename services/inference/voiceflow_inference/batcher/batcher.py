"""The one place where the streams of a generation meet: one thread computes hops in batches.

An idle engine takes what is there; while it runs, and while it rests after a batch of live hops,
hops queue; the next batch is what has queued by then. It rests only while nothing but live hops
waits. These go before the others, and within a class the one that arrived first. A stream has at
most one hop in flight, so the queue is never longer than the number of streams.

A model that does not come back is given up: its streams are told at once, and those of other
generations, whose engines have threads of their own, notice nothing.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np

from voiceflow.pipeline.model import FloatArray, Frames
from voiceflow_inference.batcher.batch import (
    Batch,
    BatchRun,
    Job,
    ModelFailed,
    model_failed,
    model_hung,
    model_unloaded,
    output_not_finite,
    tell,
)
from voiceflow_inference.batcher.lane import Lane
from voiceflow_inference.batcher.load import EngineLoad, Recent
from voiceflow_inference.batcher.progress import Phase, Progress
from voiceflow_inference.batcher.rest import Rest
from voiceflow_inference.priority import step_back
from voiceflow_inference.stages import BatchTimes
from voiceflow_inference.urgency import Urgency

_LOG = logging.getLogger(__name__)


class Backend(Protocol):
    """What the batcher needs of a model and its slots; see ``SlotBackend``."""

    def open(self, state: Mapping[str, FloatArray] | None = None) -> int:
        """Takes a slot."""

    def close(self, slot: int) -> None:
        """Gives it back."""

    def state(self, slot: int) -> dict[str, FloatArray]:
        """A copy of its memory."""

    def run(
        self, slots: Sequence[int], audio: FloatArray, times: BatchTimes, hops: int
    ) -> tuple[Frames, list[bool]]:
        """Computes so many hops of each stream, (batch, samples)."""

    def terminate(self) -> bool:
        """Ends the call that runs, and the backend with it; False if none runs."""


class _Kind(NamedTuple):
    """What is computed together is of one kind."""

    urgency: Urgency
    samples: int
    hops: int


class Batcher:
    """The queue and its engine thread.

    Args:
        backend: Model and slots; its ``run`` is called by the engine thread alone.
        batch_limit: Largest batch of live hops. Of the others a quarter as many are computed at
            once, because a live hop that arrives must wait for the batch that runs.
        joined_hops: So many of one recording are a call of the model.
        on_batch: Told of each batch, in the event loop, after its streams have been told.
        hang_seconds: After how long a call counts as one that does not come back; None: never.
        clock: Monotonic seconds.

    Attributes:
        recording_hops: How many hops of one recording may be asked for at once.
        after_batch: Called in the engine thread after each batch, with its streams and the samples
            of a hop; streams wait meanwhile.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        batch_limit: int,
        joined_hops: int = 1,
        on_batch: Callable[[BatchRun], None] | None = None,
        hang_seconds: Callable[[], float | None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.after_batch: Callable[[int, int], None] | None = None
        self._loaded: Backend | None = backend
        others = -(-batch_limit // 4)
        self.recording_hops = max(others, joined_hops)
        self._limits = dict.fromkeys(Urgency, others) | {Urgency.LIVE: batch_limit}
        self._on_batch = on_batch
        self._hang_seconds = hang_seconds
        self._clock = clock
        self._changed = threading.Condition()
        self._queues: defaultdict[_Kind, list[tuple[float, int, Job]]] = defaultdict(list)  # heaps
        self._numbers = itertools.count()
        self._rest = Rest()
        self._waits_until = 0.0  # the engine, if nothing comes that it can begin with before
        self._busy = Recent(clock)
        self._delivery = Recent(clock)
        self._calm = False
        self._stopping = False
        self._gone: Callable[[], ModelFailed] | None = None  # why no hop is computed any more
        self._progress = Progress()
        self._running: Batch | None = None
        self._next_look: asyncio.TimerHandle | None = None
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
        self._give_up(model_unloaded)
        # Whoever still holds a lane does not hold the model.
        self._loaded, self.after_batch = None, None
        if self._next_look is not None:
            self._next_look.cancel()

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

    def submit(self, job: Job) -> None:
        """Queues a hop."""
        with self._changed:
            if self._gone is None:
                key = _Kind(job.urgency, len(job.hop), job.hops)
                heapq.heappush(self._queues[key], (job.arrived_seconds, next(self._numbers), job))
                if self._begins_at(key) < self._waits_until:
                    self._changed.notify_all()
        if self._gone is not None:
            tell(job, self._gone())
        elif self._next_look is None:
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
        if self._loaded is not None:
            self._loaded.close(slot)

    def load(self) -> EngineLoad:
        """How busy the engine is now."""
        with self._changed:
            live = [queue for kind, queue in self._queues.items() if not kind.urgency]
            oldest = min((queue[0][0] for queue in live), default=None)
            return EngineLoad(
                sum(map(len, live)),
                0.0 if oldest is None else max(0.0, self._clock() - oldest),
                self._busy.share(),
                self._delivery.mean(),
            )

    @property
    def _backend(self) -> Backend:
        if self._loaded is None:
            raise model_unloaded()
        return self._loaded

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
                if batch.urgency is Urgency.LIVE:
                    self._busy.add(batch.seconds)
                    self._rest.begin(self._clock(), batch.seconds, len(batch.jobs))
            try:
                self._loop.call_soon_threadsafe(self._deliver, batch, self._clock())
            except RuntimeError:  # the event loop is closed, nobody waits any more
                return
            self._afterwards(batch)

    def _take(self) -> Batch | None:
        """The next batch, of one kind; None when the thread shall end."""
        with self._changed:
            self._progress.enter(Phase.IDLE)
            while not self._over():
                now = self._clock()
                heads = [(key.urgency, queue[0], key) for key, queue in self._queues.items()]
                self._waits_until = min(
                    (self._begins_at(key) for *_, key in heads), default=math.inf
                )
                if self._waits_until > now:
                    self._changed.wait(self._waits_until - now if heads else None)
                    continue
                self._waits_until = 0.0
                urgency, _, key = min(heads)
                queue = self._queues[key]
                size = min(len(queue), max(1, self._limits[urgency] // key.hops))
                self._running = Batch([heapq.heappop(queue)[2] for _ in range(size)], urgency)
                if not queue:
                    del self._queues[key]
                self._progress.enter(Phase.CALL)
                return self._running
        return None

    def _begins_at(self, key: _Kind) -> float:
        """From when on the engine does not rest any more, if such hops wait."""
        urgency = key.urgency
        if urgency is not Urgency.LIVE or len(self._queues[key]) >= self._limits[urgency]:
            return -math.inf
        return self._rest.ends_at(key.samples)

    def _over(self) -> bool:
        replaced = self._thread is not threading.current_thread()
        return self._stopping or replaced or self._gone is not None

    def _compute(self, batch: Batch, jobs: list[Job]) -> None:
        if not jobs:
            return
        with self._changed:
            self._progress.enter(Phase.CALL)
        hops = jobs[0].hops
        times = BatchTimes(len(jobs) * hops, time.monotonic_ns())
        for job in jobs:
            if job.times is not None:
                job.times.batch = times
        try:
            audio = np.stack([job.hop for job in jobs]) if len(jobs) > 1 else jobs[0].hop[None]
            frames, finite = self._backend.run([job.lane.slot for job in jobs], audio, times, hops)
        except Exception:  # noqa: BLE001 whatever a model does must not end the engine
            with self._changed:
                if self._gone is not None:
                    return
            _LOG.exception("the model failed on a batch of %d", len(jobs))
            if len(jobs) == 1:
                batch.results[jobs[0]] = model_failed()
            else:  # one of them may be the cause: the others must not suffer
                for job in jobs:
                    self._compute(batch, [job])
            return
        for index, (job, good) in enumerate(zip(jobs, finite, strict=True)):
            batch.results[job] = frames.of(index) if good else output_not_finite()

    def _afterwards(self, batch: Batch) -> None:
        if self.after_batch is None or not batch.results:
            return
        with self._changed:
            self._progress.enter(Phase.HOOK)
        try:
            first = batch.jobs[0]
            self.after_batch(len(batch.results), len(first.hop) // first.hops)
        except Exception:  # noqa: BLE001 it is no part of the engine
            _LOG.exception("what follows a batch failed")

    # The event loop.

    def _deliver(self, batch: Batch, ended: float) -> None:
        """Tells the streams, once a batch."""
        now = self._clock()
        with self._changed:
            self._delivery.add(now - ended)
        for job in batch.jobs:
            tell(job, batch.results.get(job))
        if self._on_batch is not None and (batch.results or batch.hung):
            self._on_batch(batch.report(now))

    def _look_later(self) -> None:
        limit_seconds = self._hang_seconds()
        seconds = _LOOK_SECONDS if limit_seconds is None else limit_seconds / _LOOKS
        self._next_look = self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        """Looks whether the engine thread gets on; gives the model up if it does not."""
        self._next_look = None
        limit_seconds = self._hang_seconds()
        with self._changed:
            phase = self._progress.phase
            if phase is Phase.IDLE and not self._queues:
                return
            hangs = self._progress.look() >= _LOOKS and limit_seconds is not None
            if hangs and phase is Phase.CALL:
                hangs = self._backend.terminate()  # or it has come back just now
            if hangs:
                self._gone = model_hung
        if not hangs:
            self._look_later()
            return
        _LOG.error("the model did not come back within %s s; it is given up", limit_seconds)
        self._give_up(model_hung)

    def _give_up(self, why: Callable[[], ModelFailed]) -> None:
        """Tells all that still wait."""
        with self._changed:
            self._gone = self._gone or why
            batch, self._running = self._running, None
            waiting = [job for queue in self._queues.values() for _, _, job in queue]
            self._queues.clear()
            self._changed.notify_all()
        if batch is None:
            batch = Batch([], Urgency.LIVE)
        for job in batch.jobs:
            batch.results.setdefault(job, why())
        batch.hung = why is model_hung
        self._deliver(batch, self._clock())
        for job in waiting:
            tell(job, why())


_LOOKS: Final = 4
_LOOK_SECONDS: Final = 1.0  # where nothing counts as hanging for now
_STOP_SECONDS: Final = 10.0
_LEAVING_SECONDS: Final = 1.0  # after its call was ended
