"""What the gauges of a process say: read by the event loop, told to whoever asks, on any thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Final, Never

from voiceflow.telemetry import metrics
from voiceflow.telemetry.metrics import Gauge, Reading
from voiceflow_inference.admission import Admission
from voiceflow_inference.batcher import EngineLoad
from voiceflow_inference.observing import Observing
from voiceflow_inference.serving.state import Snapshot


class Gauges:
    """The gauges of an inference service; what they say is a second old at most.

    Args:
        snapshot: What is served.
        load: How busy the engines are.
        admission: Who is in.
        observing: Which streams are where.
    """

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        load: Callable[[], EngineLoad],
        admission: Admission,
        observing: Observing,
    ) -> None:
        self._snapshot = snapshot
        self._load = load
        self._admission = admission
        self._observing = observing
        self._says: dict[Gauge, Sequence[Reading]] = {}

    async def run(self) -> Never:
        """Keeps them fresh until it is cancelled; they say nothing after that."""
        self._says = self._read()
        with ExitStack() as stack:
            stack.callback(self._observing.tell)
            for gauge in self._says:
                stack.enter_context(gauge.told_by(partial(self._tell, gauge)))
            while True:
                await asyncio.sleep(_FRESH_SECONDS)
                self._says = self._read()
                for _ in self._observing.telling(_FRESH_SECONDS):
                    await asyncio.sleep(0)  # nobody waits for more than one hop's

    def _tell(self, gauge: Gauge) -> Sequence[Reading]:
        return self._says[gauge]

    def _read(self) -> dict[Gauge, Sequence[Reading]]:
        state, load = self._snapshot(), self._load()
        generations = [
            (1, {"version": view.pin.version, "state": view.state.value, "role": view.role.value})
            for view in state.generations
        ]
        return {
            metrics.STREAMS: self._observing.streams(),
            metrics.CAPACITY_STREAMS: [(self._admission.limits.streams, {})],
            metrics.QUEUE_AGE: [(load.queue_age_seconds, {})],
            metrics.QUEUE_HOPS: [(load.queue_hops, {})],
            metrics.REAL_TIME_FACTOR: [(load.real_time_factor, {})],
            metrics.GENERATION_STATE: generations,
            metrics.SERVING_SEQUENCE: [(state.serving_sequence, {})],
            metrics.DESIRED_SEQUENCE: [(state.desired_sequence, {})],
        }


_FRESH_SECONDS: Final = 1.0
