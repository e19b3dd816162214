"""What a stream needs to go on elsewhere from the end of its final regions, as frozen values.

Voices are in half precision and never shown: a snapshot holds voiceprints.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from voiceflow.artifact import SAMPLE_RATE_HERTZ, LatencyMode, Manifest
from voiceflow.pipeline.activity import EdgeState
from voiceflow.pipeline.model import FloatArray
from voiceflow.pipeline.turns import OpenTurn, Region, SpeakerMerged

LEAST_CONTEXT_SAMPLES = SAMPLE_RATE_HERTZ
"""Audio that a client keeps at least: more than the longest frame, so that frames may differ."""

_LONGEST_CONTEXT_SAMPLES = 120 * SAMPLE_RATE_HERTZ
"""That a model can have."""

_SMALLEST_LENGTH = np.float32(1e-9)


@dataclass(frozen=True, slots=True)
class VoiceTable:
    """Sums of unit embeddings, a row each.

    Attributes:
        directions: Of unit length, (rows, dim), half precision, little-endian.
        lengths: Of the sums.
        frames: How many embeddings there are in each.
    """

    lengths: tuple[float, ...] = field(repr=False)
    frames: tuple[float, ...] = field(repr=False)
    directions: bytes = field(default=b"", repr=False)

    @classmethod
    def of(cls, totals: FloatArray, frames: FloatArray) -> Self:
        """Keeps sums, (rows, dim), of numbers of frames, (rows,)."""
        lengths = np.linalg.norm(totals, axis=1)
        units = totals / np.maximum(lengths, _SMALLEST_LENGTH)[:, None]
        return cls(tuple(lengths.tolist()), tuple(frames.tolist()), units.astype("<f2").tobytes())

    def totals(self, scale: float) -> FloatArray:
        """The sums, (rows, dim), with `scale` frames for each that they had."""
        units = np.frombuffer(self.directions, "<f2").reshape(len(self.lengths), -1)
        totals = units.astype(np.float32)
        totals /= np.maximum(np.linalg.norm(totals, axis=1), _SMALLEST_LENGTH)[:, None]
        totals *= np.array(self.lengths, np.float32)[:, None] * np.float32(scale)
        return totals

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return len(self.directions) // 2 // max(len(self.lengths), 1)


@dataclass(frozen=True, slots=True)
class KnownVoices:
    """What is known of who speaks.

    Attributes:
        table: Voices: those of `prototype_speakers`, then `unnamed` ones heard too briefly to be
            named, then the segment that is being gathered, then those of `remembered_speakers`,
            then those of `enrolled_speakers`.
        aliases: By number, the speaker that one was merged into, or itself.
        prototype_speakers: Whose prototype each of the first voices is.
        unnamed: How many voices have no name.
        segment_speaker: Whose speech is being gathered: a number, or a label that is none.
        remembered_speakers: Whose speech each segment is that re-clustering remembers.
        path_totals: Of the search before the first frame that is not final, (states,).
        last_final_state: Of the search, at the last frame that is.
        seconds_to_recluster: Final speech until all of it is looked at again.
        enrolled_speakers: Whose each voice is that was known before it was heard: the first
            numbers, in order.
    """

    table: VoiceTable
    aliases: tuple[int, ...]
    prototype_speakers: tuple[int, ...]
    unnamed: int
    segment_speaker: int
    remembered_speakers: tuple[int, ...] = field(repr=False)
    path_totals: tuple[float, ...] = field(repr=False)
    last_final_state: int
    seconds_to_recluster: float
    enrolled_speakers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A stream as it was told, up to the end of its final regions.

    Attributes:
        at_samples: The end of the final regions: where it goes on.
        context_samples: Audio before `at_samples` that the client keeps.
        frame_samples: Of the model.
        embedding_space: What the voices mean.
        voices: Who speaks.
        names: Their labels, by number; empty where one is not enrolled and has not been seen in
            the audio yet.
        names_given: How many labels of the form `S1` have been given; the next one is new.
        final_first: Label of the loudest voice at the last final frame, as a number.
        final_second: Of the second voice.
        announced: Who spoke when a change of speaker was last looked for.
        scanned_samples: How far changes of speaker have been looked for.
        speech: Whether anybody speaks.
        overlap: Whether two do.
        open_turns: Turns that go on, or end at `at_samples`.
        talk_samples: By label, what has been said in final regions.
        merges: Labels found to be one person.
        recent: The final regions of the last `context_samples`, equal neighbours joined.
    """

    at_samples: int
    context_samples: int
    frame_samples: int
    embedding_space: str
    voices: KnownVoices
    names: tuple[str, ...]
    names_given: int
    final_first: int
    final_second: int
    announced: int
    scanned_samples: int
    speech: EdgeState
    overlap: EdgeState
    open_turns: tuple[OpenTurn, ...]
    talk_samples: dict[str, int]
    merges: tuple[SpeakerMerged, ...]
    recent: tuple[Region, ...]

    @property
    def enrolled_names(self) -> tuple[str, ...]:
        """Of those whose voices were known before they were heard."""
        return self.names[: len({*self.voices.enrolled_speakers})]

    def is_in_space_of(self, manifest: Manifest) -> bool:
        """Whether its voices mean to a model what they meant to its own."""
        return (
            self.embedding_space == manifest.embedding_space
            and self.voices.table.dim == manifest.embedding_dim
        )


def context_samples(manifest: Manifest, seconds: float) -> int:
    """Audio before the end of the final regions that a client keeps, so that it can resume.

    A hop more than asked for, since what is heard again begins with a whole one.

    Args:
        manifest: Of the model of the stream.
        seconds: Wished for; never less than the model's context.
    """
    wished = round(max(seconds, manifest.context_seconds) * SAMPLE_RATE_HERTZ)
    return max(wished + max(manifest.hop_samples.values()), LEAST_CONTEXT_SAMPLES)


def start_samples(snapshot: Snapshot, manifest: Manifest, mode: LatencyMode) -> int:
    """Where the audio begins that a resumed stream hears: at or before the end of what is final.

    In the same embedding space the model's own context comes before; in another one all that the
    client keeps, since speakers are found again in it. It begins with a whole hop, counted from the
    start of the conversation, or else with a whole frame.
    """
    earliest = max(0, snapshot.at_samples - snapshot.context_samples)
    wished = earliest
    if snapshot.is_in_space_of(manifest):
        context = round(manifest.context_seconds * SAMPLE_RATE_HERTZ)
        wished = max(earliest, snapshot.at_samples - context)
    steps = manifest.hop_samples[mode], manifest.frame_samples
    nearest = ((wished // step * step, -(-wished // step) * step) for step in steps)
    # The least context is longer than a frame, so one of them fits.
    return next(
        start for starts in nearest for start in starts if earliest <= start <= snapshot.at_samples
    )


class RecentRegions:
    """The last final regions, equal neighbours joined."""

    def __init__(self) -> None:
        self._regions: deque[Region] = deque()

    def resume(self, regions: Iterable[Region]) -> None:
        """Goes on after these."""
        self._regions.extend(regions)

    def add(self, region: Region) -> None:
        """The next one; what ended longer ago than any model's context goes."""
        if self._regions and self._regions[-1].speakers == region.speakers:
            start = self._regions.pop().start_samples
            region = Region(start, region.end_samples, region.speakers)
        self._regions.append(region)
        while self._regions[0].end_samples <= region.end_samples - _LONGEST_CONTEXT_SAMPLES:
            self._regions.popleft()

    def since(self, samples: int) -> tuple[Region, ...]:
        """Those from a place in the audio on; the first one begins there."""
        return tuple(
            Region(max(region.start_samples, samples), region.end_samples, region.speakers)
            for region in self._regions
            if region.end_samples > samples
        )
