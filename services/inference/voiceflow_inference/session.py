"""One stream: its decoder, its lane through the engine, its speakers and turns.

Nothing else in the process refers to what a session owns, and a session knows no transport. Its
caller gives it bytes and gets replies, in audio order, each as soon as it is known.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from voiceflow.artifact import SAMPLE_RATE_HERTZ, Manifest
from voiceflow.pipeline.diarizer import StreamDiarizer
from voiceflow.pipeline.hops import HopCutter
from voiceflow.pipeline.model import FloatArray, Frames
from voiceflow.pipeline.turns import HopResult, SpeakerMerged, SpeakerTalk
from voiceflow_inference.audio import AudioDecoder, resampler_delay_samples
from voiceflow_inference.batcher import Urgency
from voiceflow_inference.stream_config import StreamConfig


class Lane(Protocol):
    """The stream's way through the engine; see ``batcher.Lane``."""

    async def run(self, hop: FloatArray, arrived_seconds: float, urgency: Urgency) -> Frames:
        """Computes the next hop, (samples,)."""

    def close(self) -> None:
        """Gives up the stream's memory."""


@dataclass(frozen=True, slots=True)
class Activity:
    """Probabilities of the frames of one hop.

    Attributes:
        speech_start_samples: Start of the first frame of ``speech``.
        speech: (frames,).
        tracks_start_samples: Start of the first frame of ``tracks``.
        tracks: (frames, tracks); fewer frames where the model's look-ahead has not been filled yet.
    """

    speech_start_samples: int
    speech: FloatArray
    tracks_start_samples: int
    tracks: FloatArray


@dataclass(frozen=True, slots=True)
class Reply:
    """What one hop has changed, and its frames where the client asked for them."""

    result: HopResult
    activity: Activity | None = None


@dataclass(frozen=True, slots=True)
class StreamSummary:
    """What is said of a stream when it ends."""

    speakers: tuple[SpeakerTalk, ...]
    merges: tuple[SpeakerMerged, ...]
    covered_samples: int
    complete: bool


class Session:
    """One stream from its first byte to its summary.

    Args:
        config: What the client asked for.
        manifest: Of the model that the stream is pinned to.
        lane: The stream's own; closed with the session.
        urgency: ``BACKGROUND`` for a recording. A live stream that runs ahead of real time is in
            that class too while it does.
        horizon_seconds: How long after its audio a turn may still change.
        clock: Monotonic seconds, the batcher's.
    """

    def __init__(
        self,
        config: StreamConfig,
        manifest: Manifest,
        lane: Lane,
        *,
        urgency: Urgency,
        horizon_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self._manifest = manifest
        self._lane = lane
        self._urgency = urgency
        self._clock = clock
        self._decoder = AudioDecoder(config.audio_format)
        self._cutter = HopCutter(manifest.hop_samples[config.latency_mode], manifest.frame_samples)
        self._diarizer = StreamDiarizer(
            manifest,
            minimum_speakers=config.minimum_speakers,
            maximum_speakers=config.maximum_speakers,
            provisional_turns=config.send_provisional_turns,
            horizon_seconds=horizon_seconds,
        )
        self._computed_samples = 0
        self._started_seconds: float | None = None

    async def hear(self, audio: bytes) -> AsyncIterator[Reply]:
        """Takes the next bytes, whole sample frames of them.

        Raises:
            InvalidInput: Bytes that are no audio of the stream's format; what stood before them in
                the same message has been heard.
            VoiceFlowError: The model failed.
        """
        arrived = self._clock()
        frame_bytes = self.config.audio_format.frame_bytes
        # A long message is decoded a second at a time: other streams share the event loop.
        slice_bytes = frame_bytes * self.config.audio_format.sample_rate_hertz
        for start in range(0, len(audio), slice_bytes):
            samples = self._decoder.push(memoryview(audio)[start : start + slice_bytes])
            for hop in self._cutter.push(samples):
                yield await self._compute(hop, arrived)

    async def flush(self) -> AsyncIterator[Reply]:
        """Computes the whole frames received so far and makes final what is known of them."""
        for hop in self._cutter.flush():
            yield await self._compute(hop, self._clock())
        yield Reply(self._diarizer.flush())

    async def finish(self) -> AsyncIterator[Reply]:
        """Computes what is left; afterwards everything is final."""
        arrived = self._clock()
        for hop in self._cutter.push(self._decoder.finish()):
            yield await self._compute(hop, arrived)
        self._diarizer.end_at(self._cutter.received_samples)
        for hop in self._cutter.finish(self._manifest.look_ahead_frames):
            yield await self._compute(hop, arrived)
        yield Reply(self._diarizer.finish())

    def summary(self, *, complete: bool) -> StreamSummary:
        """What is said at the end, after ``finish``."""
        return StreamSummary(
            self._diarizer.summary(),
            self._diarizer.merges(),
            self._cutter.received_samples,
            complete,
        )

    def close(self) -> None:
        """Frees everything, whatever state the stream is in."""
        self._lane.close()

    async def _compute(self, hop: FloatArray, arrived: float) -> Reply:
        frames = await self._lane.run(hop, arrived, self._class_of_hop(arrived))
        start = self._computed_samples
        self._computed_samples += len(hop)
        result = self._diarizer.push(frames)
        activity = self._activity(frames, start) if self.config.send_activity else None
        return Reply(result, activity)

    def _class_of_hop(self, arrived: float) -> Urgency:
        """Audio that came faster than it can be spoken must not push in before live streams."""
        if self._started_seconds is None:
            self._started_seconds = arrived
        lived = arrived - self._started_seconds
        ahead = self._computed_samples / SAMPLE_RATE_HERTZ - lived > _AHEAD_SECONDS
        return Urgency.BACKGROUND if ahead else self._urgency

    def _activity(self, frames: Frames, start_samples: int) -> Activity:
        """The frames of a hop without those that lie before or after the audio."""
        frame = self._manifest.frame_samples
        heard_frames = -(-self._cutter.received_samples // frame)
        first = start_samples // frame
        tracks_first = first - self._manifest.look_ahead_frames
        skipped = max(0, -tracks_first)
        return Activity(
            min(start_samples, self._cutter.received_samples),
            frames.speech[: max(0, heard_frames - first)],
            max(0, tracks_first) * frame,
            frames.activity[skipped : max(skipped, heard_frames - tracks_first)],
        )


def algorithmic_latency_samples(config: StreamConfig, manifest: Manifest) -> int:
    """Audio that must pass before a label can exist: resampler delay, hop and look-ahead."""
    return (
        resampler_delay_samples(config.audio_format.sample_rate_hertz)
        + manifest.hop_samples[config.latency_mode]
        + manifest.look_ahead_frames * manifest.frame_samples
    )


# Clients that send in larger pieces, and jitter, are no cause for the lower class.
_AHEAD_SECONDS: Final = 2.0
