"""One stream: its decoder, its lane through the engine, its speakers and turns.

Nothing else in the process refers to what a session owns, and a session knows no transport. Its
caller gives it bytes and gets replies, in audio order, each as soon as it is known.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from time import monotonic_ns
from typing import Final, TypedDict

import numpy as np

from voiceflow.artifact import SAMPLE_RATE_HERTZ, Manifest
from voiceflow.pipeline.diarizer import StreamDiarizer
from voiceflow.pipeline.enrolment import EnrolledSpeaker
from voiceflow.pipeline.hops import HopCutter
from voiceflow.pipeline.model import FloatArray, Frames
from voiceflow.pipeline.snapshot import Snapshot, start_samples
from voiceflow.pipeline.turns import HopResult, SpeakerMerged, SpeakerTalk
from voiceflow_inference.audio import AudioDecoder, resampler_delay_samples
from voiceflow_inference.batcher import ModelFailed, Urgency
from voiceflow_inference.route import Moved, Route
from voiceflow_inference.serving.generation import Generation
from voiceflow_inference.serving.placing import How, Place, Places
from voiceflow_inference.serving.shadow import Shadow
from voiceflow_inference.stages import Arrival, HopTimes, Stage
from voiceflow_inference.stream_config import StreamConfig


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
    """What one hop has changed.

    Attributes:
        result: That.
        generation: The one that computed it.
        activity: Its frames, where the client asked for them.
        moved: Where the stream has come to with this hop; None: it is where it was.
        times: The way of the hop until now; None: none was computed, or it goes with a later one of
            the recording.
    """

    result: HopResult
    generation: int
    activity: Activity | None = None
    moved: Moved | None = None
    times: HopTimes | None = None


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
        place: Where the stream begins, and which shadow hears it.
        places: Where it may go from there.
        urgency: ``BACKGROUND`` for a recording. A live stream that runs ahead of real time is in
            that class too while it does.
        horizon_seconds: How long after its audio a turn may still change.
        shadow_lag_seconds: So much audio a shadow may be behind.
        clock: Monotonic seconds, the batcher's.

    Raises:
        Overloaded: The generation has no slot left.
        ModelFailed: It hangs.
    """

    def __init__(
        self,
        config: StreamConfig,
        place: Place,
        places: Places,
        *,
        urgency: Urgency,
        horizon_seconds: float,
        shadow_lag_seconds: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        generation, manifest = place.generation, place.generation.manifest
        self.config = config
        self._urgency = urgency
        self._clock = clock
        self._diarizer, self.start_samples = _diarizer(config, manifest, horizon_seconds)
        hop_samples = manifest.hop_samples[config.latency_mode]
        self._decoder = AudioDecoder(config.audio_format)
        self._cutter = HopCutter(hop_samples, manifest.frame_samples)
        self._cutter.received_samples = self.start_samples
        self._route = Route(
            generation,
            places,
            mode=config.latency_mode,
            start_samples=self.start_samples,
            clock=clock,
        )
        self._shadow = None
        if place.shadow is not None and urgency is Urgency.LIVE:
            self._shadow = Shadow(
                place.shadow,
                config.latency_mode,
                lag_seconds=shadow_lag_seconds,
                minimum_speakers=config.minimum_speakers,
                maximum_speakers=config.maximum_speakers,
                enrolled=_known_to(place.shadow, config, manifest),
                horizon_seconds=horizon_seconds,
                start_samples=self.start_samples,
                clock=clock,
            )
        self._tally = generation.tally.stream_began()
        self._has_moved = self._has_failed = False
        resumption = config.resumption
        self._waiting: list[FloatArray] = []  # hops of a recording
        self._told_from_samples = 0 if resumption is None else resumption.snapshot.at_samples
        self._live_samples = 0
        self._started_seconds: float | None = None

    @property
    def generation(self) -> Generation:
        """The one that computes the stream now."""
        return self._route.generation

    async def hear(self, audio: bytes, arrival: Arrival | None = None) -> AsyncIterator[Reply]:
        """Takes the next bytes, whole sample frames of them.

        Args:
            audio: Of one message.
            arrival: Of that; None: it arrives now.

        Raises:
            InvalidInput: Bytes that are no audio of the stream's format; what stood before them in
                the same message has been heard.
            ModelFailed: The model failed, and so did the one to fall back to.
        """
        arrival, arrived = arrival or _now(), self._clock()
        turned_ns = monotonic_ns()
        frame_bytes = self.config.audio_format.frame_bytes
        # A long message is decoded a second at a time: other streams share the event loop.
        slice_bytes = frame_bytes * self.config.audio_format.sample_rate_hertz
        for start in range(0, len(audio), slice_bytes):
            samples = self._decoder.push(memoryview(audio)[start : start + slice_bytes])
            for hops in self._ready(self._cutter.push(samples)):
                for reply in await self._compute(hops, arrived, arrival, turned_ns):
                    yield reply
                turned_ns = monotonic_ns()

    async def flush(self, arrival: Arrival | None = None) -> AsyncIterator[Reply]:
        """Computes the whole frames received so far and makes final what is known of them."""
        arrival, turned_ns = arrival or _now(), monotonic_ns()
        for hop in self._cutter.flush():
            for reply in await self._compute([hop], self._clock(), arrival, turned_ns):
                yield reply
        yield self._reply(self._diarizer.flush())

    async def finish(self, arrival: Arrival | None = None) -> AsyncIterator[Reply]:
        """Computes what is left; afterwards everything is final."""
        arrival, arrived = arrival or _now(), self._clock()
        turned_ns = monotonic_ns()
        heard = self._cutter.push(self._decoder.finish())
        self._diarizer.end_at(self._cutter.received_samples)
        heard += self._cutter.finish(self.generation.manifest.look_ahead_frames)
        for hops in self._ready(heard, ended=True):
            for reply in await self._compute(hops, arrived, arrival, turned_ns):
                yield reply
            turned_ns = monotonic_ns()
        yield self._reply(self._diarizer.finish())

    def summary(self, *, complete: bool) -> StreamSummary:
        """What is said at the end, after ``finish``."""
        return StreamSummary(
            self._diarizer.summary(),
            self._diarizer.merges(),
            self._cutter.received_samples,
            complete,
        )

    def snapshot(self, context_samples: int) -> Snapshot:
        """What is needed to go on elsewhere from the end of the final regions."""
        return self._diarizer.snapshot(context_samples)

    def leave_for(self, to: Generation, how: How) -> None:
        """Moves to another generation, carried or replayed, as soon as that can be."""
        self._route.leave_for(to, how)

    def score(self, value: float) -> None:
        """Takes the client's score; of a stream that moved it says nothing of either model."""
        if not self._has_moved:
            self._tally.score(value)

    def close(self) -> None:
        """Frees everything, whatever state the stream is in."""
        self._route.close()
        self._tally.ended(failed=self._has_failed)
        if self._shadow is not None:
            self._shadow.close()

    def _ready(
        self, hops: Sequence[FloatArray], *, ended: bool = False
    ) -> Iterator[list[FloatArray]]:
        """Hops as they are asked for: one by one; of a recording, as many at once as may be."""
        live = self._urgency is Urgency.LIVE
        most = 1 if live else self.generation.batcher.recording_hops
        self._waiting += hops
        while len(self._waiting) >= most or (ended and self._waiting):
            _, first = next(groupby(self._waiting[:most], len))
            ready = list(first)
            del self._waiting[: len(ready)]
            yield ready

    async def _compute(
        self, hops: Sequence[FloatArray], arrived: float, arrival: Arrival, turned_ns: int
    ) -> list[Reply]:
        """Computes hops of one length; tells of each."""
        audio = hops[0] if len(hops) == 1 else np.concatenate(hops)
        times = HopTimes(
            arrival.read_ns,
            len(audio),
            self._class_of_hop(len(audio), arrived),
            arrival.request,
            len(hops),
        )
        times.mark(Stage.RECEIVE, turned_ns)
        times.mark(Stage.DECODE, monotonic_ns())
        if self._shadow is not None:
            self._shadow.hear(audio)
        start = self._route.end_samples
        try:
            frames, moved = await self._route.compute(audio, arrived, times)
        except ModelFailed:
            self._has_failed = True
            raise
        if moved is not None:
            self._arrive(moved.generation)
        times.audio_end_samples = min(start + len(audio), self._cutter.received_samples)
        times.generation = self.generation.number
        times.model_version = self.generation.name
        replies: list[Reply] = []
        for of_hop in [frames] if len(hops) == 1 else frames.cut(len(hops)):
            heard = self._diarizer.hear(of_hop)
            times.mark(Stage.IDENTITY, monotonic_ns())
            result = self._diarizer.tell(heard)
            activity = self._activity(of_hop, start) if self.config.send_activity else None
            start += len(hops[0])
            last = len(replies) + 1 == len(hops)
            replies.append(self._reply(result, activity, moved, times if last else None))
            times.mark(Stage.TURNS, monotonic_ns())
            moved = None
        return replies

    def _reply(
        self,
        result: HopResult,
        activity: Activity | None = None,
        moved: Moved | None = None,
        times: HopTimes | None = None,
    ) -> Reply:
        self._tally.heard(result, self._diarizer.label_changes)
        if self._shadow is not None:
            self._shadow.told(result)
        return Reply(result, self.generation.number, activity, moved, times)

    def _arrive(self, generation: Generation) -> None:
        """From now on frames come from another model."""
        self._diarizer.adopt(generation.manifest)
        self._tally.ended(failed=False)
        self._tally = generation.tally.stream_began(self._diarizer.label_changes)
        self._has_moved = True

    def _class_of_hop(self, samples: int, arrived: float) -> Urgency:
        """Audio that came faster than it can be spoken must not push in before live streams.

        What was computed in the lower class does not count: a stream that hears a while again, or
        brings what it could not send, is live from then on.
        """
        if self._started_seconds is None:
            self._started_seconds = arrived
        lived = arrived - self._started_seconds
        if self._live_samples / SAMPLE_RATE_HERTZ - lived > _AHEAD_SECONDS:
            return Urgency.BACKGROUND
        self._live_samples += samples
        return self._urgency

    def _activity(self, frames: Frames, start_samples: int) -> Activity:
        """The frames of a hop without those before or after what is told."""
        manifest = self.generation.manifest
        frame = manifest.frame_samples
        heard_frames = -(-self._cutter.received_samples // frame)
        told_from = self._told_from_samples // frame
        first = start_samples // frame
        tracks_first = first - manifest.look_ahead_frames
        skipped, tracks_skipped = max(0, told_from - first), max(0, told_from - tracks_first)
        return Activity(
            min((first + skipped) * frame, self._cutter.received_samples),
            frames.speech[skipped : max(skipped, heard_frames - first)],
            (tracks_first + tracks_skipped) * frame,
            frames.activity[tracks_skipped : max(tracks_skipped, heard_frames - tracks_first)],
        )


def algorithmic_latency_samples(config: StreamConfig, manifest: Manifest) -> int:
    """Audio that must pass before a label can exist: resampler delay, hop and look-ahead."""
    return (
        resampler_delay_samples(config.audio_format.sample_rate_hertz)
        + manifest.hop_samples[config.latency_mode]
        + manifest.look_ahead_frames * manifest.frame_samples
    )


def _now() -> Arrival:
    return Arrival(monotonic_ns())


# Clients that send in larger pieces, and jitter, are no cause for the lower class.
_AHEAD_SECONDS: Final = 2.0


def _diarizer(
    config: StreamConfig, manifest: Manifest, horizon_seconds: float
) -> tuple[StreamDiarizer, int]:
    """A new one, or one that goes on; and where its audio begins."""
    options = _Options(
        minimum_speakers=config.minimum_speakers,
        maximum_speakers=config.maximum_speakers,
        provisional_turns=config.send_provisional_turns,
        horizon_seconds=horizon_seconds,
    )
    if config.resumption is None:
        return StreamDiarizer(manifest, enrolled=config.enrolled, **options), 0
    snapshot = config.resumption.snapshot
    start = start_samples(snapshot, manifest, config.latency_mode)
    return StreamDiarizer.resumed(manifest, snapshot, start, **options), start


def _known_to(
    shadow: Generation, config: StreamConfig, manifest: Manifest
) -> tuple[EnrolledSpeaker, ...]:
    """Enrolled speakers, where their voices mean to a shadow what they mean to the stream."""
    theirs = shadow.manifest
    one_space = (theirs.embedding_space, theirs.embedding_dim) == (
        manifest.embedding_space,
        manifest.embedding_dim,
    )
    return config.enrolled if one_space else ()


class _Options(TypedDict):
    minimum_speakers: int
    maximum_speakers: int
    provisional_turns: bool
    horizon_seconds: float
