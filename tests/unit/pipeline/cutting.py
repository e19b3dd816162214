"""Conversations that are cut and go on elsewhere, from frames as a model would give them."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tests.unit.pipeline.synthetic import DIM, FRAME_SAMPLES, LOOK_AHEAD_FRAMES, random_frames
from voiceflow.artifact import LatencyMode, Manifest
from voiceflow.pipeline.diarizer import MAXIMUM_SPEAKERS, StreamDiarizer
from voiceflow.pipeline.enrolment import EnrolledSpeaker
from voiceflow.pipeline.model import FloatArray, Frames
from voiceflow.pipeline.snapshot import context_samples, start_samples
from voiceflow.pipeline.turns import HopResult, SpeakerMerged, SpeakerTalk, SpeechEvent

Script = list[tuple[float, tuple[int, ...]]]

VOICES = (0, 1, 2, 11)
"""No two of them are alike: a second of each tells it from the others."""

SCRIPTS = st.lists(
    st.tuples(
        st.floats(0.2, 3.0),
        st.one_of(
            st.just(()),
            st.tuples(st.sampled_from(VOICES)),
            st.sampled_from([(0, 1), (2, 11), (11, 0)]),
        ),
    ),
    min_size=4,
    max_size=16,
)
"""Who speaks when: silence, single voices and overlap, some too short to name."""


@dataclass(frozen=True)
class Cut:
    """Where a stream is cut.

    Attributes:
        hop: After so many hops, counted from the start of the conversation.
        manifest: Of the model that goes on.
        turn: Of its embeddings against those of before, (dim, dim); None: none.
        maximum_speakers: What the client asks for then.
    """

    hop: int
    manifest: Manifest
    turn: FloatArray | None = None
    maximum_speakers: int = MAXIMUM_SPEAKERS


@dataclass(frozen=True)
class Resumed:
    """Where a stream went on.

    Attributes:
        at_samples: Where what is told goes on.
        start_samples: Where what is heard again begins.
    """

    at_samples: int
    start_samples: int


@dataclass(frozen=True)
class Told:
    """What a client has heard in the end."""

    results: list[HopResult]
    speakers: tuple[SpeakerTalk, ...]
    merges: tuple[SpeakerMerged, ...]
    cuts: list[Resumed]

    def merge_events(self) -> list[SpeakerMerged]:
        """In the order in which they were told."""
        return [
            event
            for result in self.results
            for event in result.events
            if isinstance(event, SpeakerMerged)
        ]

    def regions(self) -> list[tuple[int, int, tuple[str, ...]]]:
        """Final regions with equal neighbours joined."""
        pieces = [region for result in self.results for region in result.final_regions]
        joined = []
        for names, group in itertools.groupby(pieces, key=lambda region: region.speakers):
            spans = list(group)
            joined.append((spans[0].start_samples, spans[-1].end_samples, names))
        return joined

    def turns(self) -> list[tuple[str, int, int]]:
        """Final turns."""
        return [
            (turn.speaker, turn.start_samples, turn.end_samples)
            for result in self.results
            for turn in result.turns_final
        ]

    def speech_events(self) -> list[SpeechEvent]:
        """In the order in which they were told."""
        return [
            event
            for result in self.results
            for event in result.events
            if isinstance(event, SpeechEvent)
        ]

    def labels(self, total_frames: int) -> list[tuple[str, ...]]:
        """Who speaks in the middle of each frame."""
        labels: list[tuple[str, ...]] = [("?",)] * total_frames
        for start, end, names in self.regions():
            for frame in range(start // FRAME_SAMPLES, -(-end // FRAME_SAMPLES)):
                labels[frame] = names
        return labels


def told(
    frames: Frames,
    manifest: Manifest,
    mode: LatencyMode,
    cuts: list[Cut],
    *,
    flushes: Collection[int] = (),
    context_seconds: float = 0.0,
    maximum_speakers: int = MAXIMUM_SPEAKERS,
    enrolled: Sequence[EnrolledSpeaker] = (),
) -> Told:
    """Pushes a conversation through one stream after another.

    Args:
        frames: Of the whole conversation, without look-ahead.
        manifest: Of the first model.
        mode: Chooses the hop.
        cuts: Where the next stream goes on.
        flushes: After which hops the client flushes, once each.
        context_seconds: Audio that the client keeps.
        maximum_speakers: What the client asks for.
        enrolled: Whom the client knows, told to the first stream alone.
    """
    total = len(frames.speech)
    hop = manifest.hop_samples[mode] // FRAME_SAMPLES
    diarizer = StreamDiarizer(manifest, maximum_speakers=maximum_speakers, enrolled=enrolled)
    first, turn = 0, None
    results: list[HopResult] = []
    resumed: list[Resumed] = []
    flushed = 0
    for cut in [*cuts, None]:
        for end, heard in _hops(frames, first, hop, turn):
            if end > total:
                diarizer.end_at(total * FRAME_SAMPLES)
            results.append(diarizer.push(heard))
            number = end // hop
            if number in flushes and number > flushed and end <= total:
                flushed = number
                results.append(diarizer.flush())
            if cut is not None and number >= cut.hop:
                break
        if cut is not None:
            snapshot = diarizer.snapshot(context_samples(manifest, context_seconds))
            manifest, turn = cut.manifest, cut.turn
            start = start_samples(snapshot, manifest, mode)
            diarizer = StreamDiarizer.resumed(
                manifest,
                snapshot,
                start,
                maximum_speakers=min(maximum_speakers, cut.maximum_speakers),
            )
            first = start // FRAME_SAMPLES
            resumed.append(Resumed(snapshot.at_samples, start))
    diarizer.end_at(total * FRAME_SAMPLES)
    results.append(diarizer.finish())
    return Told(results, diarizer.summary(), diarizer.merges(), resumed)


def _hops(
    frames: Frames, first: int, hop: int, turn: FloatArray | None
) -> Iterator[tuple[int, Frames]]:
    """Hops of a model that begins at a frame, and where they end.

    What it says of the frames before its first one means nothing.
    """
    generator = np.random.default_rng(first)
    total = len(frames.speech)
    junk = random_frames(generator, LOOK_AHEAD_FRAMES)
    embedding = frames.embedding if turn is None else frames.embedding @ turn
    speech = np.concatenate([frames.speech[first:], np.zeros(LOOK_AHEAD_FRAMES, np.float32)])
    late = Frames(
        speech,
        np.concatenate([junk.activity, frames.activity[first:]]),
        np.concatenate([junk.embedding, embedding[first:]]).astype(np.float32),
    )
    for start in range(0, len(speech), hop):
        part = slice(start, start + hop)
        yield (
            min(first + start + hop, total + LOOK_AHEAD_FRAMES),
            Frames(late.speech[part], late.activity[part], late.embedding[part]),
        )


def turned(seed: int = 0) -> FloatArray:
    """An orthogonal matrix, (dim, dim): all angles stay, no vector means what it did."""
    matrix, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(DIM, DIM)))
    return matrix.astype(np.float32)
