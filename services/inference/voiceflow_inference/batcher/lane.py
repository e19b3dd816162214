"""One stream's way through an engine."""

from __future__ import annotations

import asyncio
from time import monotonic_ns
from typing import TYPE_CHECKING

from voiceflow.pipeline.model import FloatArray, Frames
from voiceflow_inference.batcher.batch import Job
from voiceflow_inference.stages import HopTimes
from voiceflow_inference.urgency import Urgency

if TYPE_CHECKING:
    from voiceflow_inference.batcher.batcher import Batcher


class Lane:
    """One stream's way through the engine; used by the event loop alone."""

    def __init__(self, batcher: Batcher, slot: int) -> None:
        self._batcher = batcher
        self._in_flight = False
        self.slot = slot
        self.closed = False

    async def run(
        self,
        hop: FloatArray,
        arrived_seconds: float,
        urgency: Urgency,
        times: HopTimes | None = None,
    ) -> Frames:
        """Computes the stream's next hop.

        Args:
            hop: (samples,).
            arrived_seconds: When its last byte arrived, by the batcher's clock.
            urgency: Its class.
            times: Marked with the engine's stages, also where it fails; None: those of one hop are
                not wanted.

        Raises:
            ModelFailed: The model failed, gave numbers that are not finite, or did not come back.
        """
        future: asyncio.Future[Frames] = asyncio.get_running_loop().create_future()
        self._in_flight = True
        if times is not None:
            times.batch = None
        self._batcher.submit(Job(hop, arrived_seconds, urgency, self, future, times))
        try:
            return await future
        finally:
            if times is not None:
                times.mark_computed(monotonic_ns())

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
