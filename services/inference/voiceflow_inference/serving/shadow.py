"""One stream's shadow: another version hears the same audio, and nobody hears its answers.

It takes what the live streams leave. A shadow that falls behind is dropped for the rest of its
stream, whatever the reason: nothing of it ever reaches the stream that it belongs to.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from voiceflow.artifact import SAMPLE_RATE_HERTZ, LatencyMode
from voiceflow.errors import VoiceFlowError
from voiceflow.pipeline.diarizer import StreamDiarizer
from voiceflow.pipeline.enrolment import EnrolledSpeaker
from voiceflow.pipeline.hops import HopCutter
from voiceflow.pipeline.model import FloatArray
from voiceflow.pipeline.turns import HopResult, Region
from voiceflow.telemetry.metrics import SHADOW_DISAGREEMENT, SHADOW_FRAMES, SHADOW_SHED
from voiceflow_inference.batcher import Lane, Urgency
from voiceflow_inference.serving.agreement import Agreement
from voiceflow_inference.serving.tally import StreamTally

if TYPE_CHECKING:
    from voiceflow_inference.serving.generation import Generation

_LOG = logging.getLogger(__name__)


class Shadow:
    """What a version on trial makes of one stream.

    Args:
        generation: The version.
        mode: The stream's, which chooses the hop.
        lag_seconds: So much audio it may be behind; with more it is dropped.
        minimum_speakers: As the stream's own.
        maximum_speakers: Likewise.
        enrolled: Likewise; they are known to a model of the stream's embedding space alone.
        horizon_seconds: Likewise.
        start_samples: Where in the stream the first hop lies.
        clock: Monotonic seconds, the batcher's.
    """

    def __init__(
        self,
        generation: Generation,
        mode: LatencyMode,
        *,
        lag_seconds: float,
        minimum_speakers: int,
        maximum_speakers: int,
        enrolled: Sequence[EnrolledSpeaker] = (),
        horizon_seconds: float,
        start_samples: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        manifest = generation.manifest
        self._generation = generation
        self._clock = clock
        self._lag_samples = lag_seconds * SAMPLE_RATE_HERTZ
        self._start_samples = start_samples
        self._cutter = HopCutter(manifest.hop_samples[mode], manifest.frame_samples)
        self._diarizer = StreamDiarizer(
            manifest,
            minimum_speakers=minimum_speakers,
            maximum_speakers=maximum_speakers,
            enrolled=enrolled,
            horizon_seconds=horizon_seconds,
        )
        self._agreement = Agreement(manifest.frame_samples)
        self._hops: deque[FloatArray] = deque()
        self._waiting_samples = 0
        self._working: asyncio.Task[None] | None = None
        self._tally: StreamTally | None = None
        self._lane: Lane | None = None
        try:
            self._lane = generation.batcher.open_lane()
        except VoiceFlowError as error:  # no room for it, or its engine is gone
            self._drop(error.reason)
        else:
            self._tally = generation.tally.stream_began()

    @property
    def dropped(self) -> bool:
        """Whether it hears no more."""
        return self._lane is None

    def hear(self, hop: FloatArray) -> None:
        """Takes the stream's next hop at 16 kHz, (samples,); returns at once."""
        if self._lane is None:
            return
        for own in self._cutter.push(hop):
            self._hops.append(own)
            self._waiting_samples += len(own)
        if self._waiting_samples > self._lag_samples:
            SHADOW_SHED.add(1, self._attributes())
            self._drop("it is too far behind")
        elif self._hops and self._working is None:
            self._working = asyncio.create_task(self._work(self._lane))

    def told(self, result: HopResult) -> None:
        """Takes what the stream's client is told of a hop."""
        if self._lane is None:
            return
        try:
            self._compare(ours=result.final_regions)
        except Exception:  # noqa: BLE001 whatever it is, the stream goes on
            _LOG.exception("a shadow of %s failed", self._generation.name)
            self._drop("it failed")

    def close(self) -> None:
        """Frees everything; a second call does nothing."""
        self._drop("")

    async def _work(self, lane: Lane) -> None:
        """Computes what waits."""
        try:
            while self._hops:
                frames = await lane.run(self._hops[0], self._clock(), Urgency.SHADOW)
                self._waiting_samples -= len(self._hops.popleft())
                self._heard(self._diarizer.push(frames))
        except VoiceFlowError as error:
            self._drop(error.reason)
        except Exception:  # noqa: BLE001 whatever it is, the stream goes on
            _LOG.exception("a shadow of %s failed", self._generation.name)
            self._drop("it failed")
        finally:
            self._working = None

    def _heard(self, result: HopResult) -> None:
        if self._tally is not None:
            self._tally.heard(result, self._diarizer.label_changes)
        self._compare(theirs=[self._placed(region) for region in result.final_regions])

    def _placed(self, region: Region) -> Region:
        start = self._start_samples
        return Region(region.start_samples + start, region.end_samples + start, region.speakers)

    def _compare(self, ours: Sequence[Region] = (), theirs: Sequence[Region] = ()) -> None:
        compared, differing = self._agreement.compare(ours, theirs)
        if compared:
            self._generation.tally.compared(compared, differing)
            SHADOW_FRAMES.add(compared, self._attributes())
            SHADOW_DISAGREEMENT.add(differing, self._attributes())

    def _drop(self, reason: str) -> None:
        if reason:
            _LOG.info("a shadow of %s is dropped: %s", self._generation.name, reason)
        self._hops.clear()
        if self._lane is not None:
            self._lane.close()
            self._lane = None
        if self._tally is not None:
            self._tally.ended(failed=False)
            self._tally = None
        if self._working is not None:
            self._working.cancel()

    def _attributes(self) -> dict[str, str]:
        return {"version": self._generation.name}
