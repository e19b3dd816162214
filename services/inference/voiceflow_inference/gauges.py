"""What the gauges of a process say: read by the event loop, told to whoever asks, on any thread.

Once a second, too, it is told how busy the event loop is, and how late: everything of a hop but the
engine's part happens there, for all streams one after the other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Final, Never

from voiceflow.catalog.names import ChannelName
from voiceflow.catalog.pods import GenerationState
from voiceflow.telemetry import metrics
from voiceflow.telemetry.metrics import Gauge, Reading
from voiceflow_inference.admission import Admission
from voiceflow_inference.batcher import EngineLoad
from voiceflow_inference.observing import Observing
from voiceflow_inference.serving.state import GenerationView, Snapshot


class Gauges:
    """The gauges of an inference service; what they say is a second old at most.

    Args:
        snapshot: What is served.
        load: How busy the engines are.
        admission: Who is in.
        observing: Which streams are where.
        channel: Of a registry that is followed; None: none is.
    """

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        load: Callable[[], EngineLoad],
        admission: Admission,
        observing: Observing,
        channel: ChannelName | None = None,
    ) -> None:
        self._snapshot = snapshot
        self._load = load
        self._admission = admission
        self._observing = observing
        self._channel = channel
        self._says: dict[Gauge, Sequence[Reading]] = {}

    async def run(self) -> Never:
        """Keeps them fresh until it is cancelled; they say nothing after that."""
        self._says = self._read()
        with ExitStack() as stack:
            stack.callback(self._observing.tell)
            for gauge in self._says:
                stack.enter_context(gauge.told_by(partial(self._tell, gauge)))
            loop = asyncio.get_running_loop()
            while True:
                due_seconds = loop.time() + _FRESH_SECONDS
                computed_ns = time.thread_time_ns()
                await asyncio.sleep(_FRESH_SECONDS)
                metrics.LOOP_LAG.record(max(0.0, loop.time() - due_seconds))
                self._says = self._read()
                for _ in self._observing.telling(_FRESH_SECONDS):
                    await asyncio.sleep(0)  # nobody waits for more than one hop's
                metrics.LOOP_BUSY.add((time.thread_time_ns() - computed_ns) / 1e9)

    def _tell(self, gauge: Gauge) -> Sequence[Reading]:
        return self._says[gauge]

    def _read(self) -> dict[Gauge, Sequence[Reading]]:
        state, load = self._snapshot(), self._load()
        return {
            metrics.STREAMS: self._observing.streams(),
            metrics.CAPACITY_STREAMS: [(self._admission.limits.streams, {})],
            metrics.QUEUE_AGE: [(load.queue_age_seconds, {})],
            metrics.QUEUE_HOPS: [(load.queue_hops, {})],
            metrics.REAL_TIME_FACTOR: [(load.real_time_factor, {})],
            metrics.GENERATION_STATE: [(1, _generation(view)) for view in state.generations],
            metrics.PROMOTION_INFO: self._served(state),
            metrics.SERVING_SEQUENCE: [(state.serving_sequence, {})],
            metrics.DESIRED_SEQUENCE: [(state.desired_sequence, {})],
        }

    def _served(self, state: Snapshot) -> Sequence[Reading]:
        """Which versions the promotion that is in force has here, and as what."""
        if self._channel is None or state.in_force is None:
            return []
        of = {
            "model": self._channel.model,
            "channel": self._channel.channel,
            "sequence": str(state.in_force.sequence),
        }
        return [
            (1, of | {"version": pin.version, "role": role.value})
            for role, pin in state.in_force.rollout.pins().items()
        ]


def _generation(view: GenerationView) -> dict[str, str]:
    """A version that was replaced has no role, and drains for as long as it has streams."""
    kept = view.state is GenerationState.DRAINING and not (view.streams or view.arriving)
    left = view.left_seconds is not None and not view.assigned
    return {
        "version": view.pin.version,
        "state": "kept" if kept else view.state.value,
        "role": "none" if left else view.role.value,
    }


_FRESH_SECONDS: Final = 1.0
