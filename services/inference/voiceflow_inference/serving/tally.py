"""What a generation has done: counted as it happens, told as outcomes and as evidence.

Used by the event loop alone, but for `Tally.pair`, which an engine thread calls. Everything is
bounded: streams that have ended are kept as sums.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from typing import Final

from voiceflow.artifact import SAMPLE_RATE_HERTZ
from voiceflow.catalog.channels import Role
from voiceflow.catalog.pods import Histogram, VersionOutcomes
from voiceflow.pipeline.turns import UNKNOWN, HopResult, SpeakerMerged
from voiceflow_inference.batcher import BatchRun
from voiceflow_inference.serving.evidence import Evidence, Flicker, Pair


class StreamTally:
    """What one stream does on one generation, from its begin or move there to its end there."""

    def __init__(self, tally: Tally, label_changes: int) -> None:
        self._tally = tally
        self._speech_samples = 0
        self._speakers: set[str] = set()
        self._known_changes = label_changes
        self.label_changes = 0

    @property
    def speech_minutes(self) -> float:
        """Speech in its final regions so far."""
        return self._speech_samples / SAMPLE_RATE_HERTZ / 60

    def heard(self, result: HopResult, label_changes: int) -> None:
        """Takes what a hop has changed.

        Args:
            result: Of the hop.
            label_changes: The stream's so far, as `StreamDiarizer.label_changes` counts them.
        """
        spoken = [region for region in result.final_regions if region.speakers]
        samples = sum(region.end_samples - region.start_samples for region in spoken)
        self._speech_samples += samples
        self.label_changes += label_changes - self._known_changes
        speakers = {name for region in spoken for name in region.speakers}
        newcomers = speakers - self._speakers - {UNKNOWN}
        self._speakers |= newcomers
        counts = self._tally.counts
        counts.speech_samples += samples
        counts.label_changes += label_changes - self._known_changes
        counts.turns += len(result.turns_final)
        counts.speakers += len(newcomers)
        counts.speakers_merged += sum(isinstance(event, SpeakerMerged) for event in result.events)
        self._known_changes = label_changes

    def score(self, value: float) -> None:
        """Takes the score that the client gave the stream, a finite number.

        What is so large that sums of such leave what a report may hold is not counted.
        """
        counts = self._tally.counts
        squares = counts.score_sum_of_squares + value * value
        if squares > _LARGEST_SUM:
            return
        counts.score_count += 1
        counts.score_sum += value
        counts.score_sum_of_squares = squares

    def ended(self, *, failed: bool) -> None:
        """The stream has ended, or left for another generation; a second call does nothing.

        Args:
            failed: Whether by an error of the server.
        """
        self._tally.end(self, failed=failed)


class Tally:
    """What one generation does."""

    def __init__(self) -> None:
        self.counts = _Counts()
        self._live: set[StreamTally] = set()
        self._ended = Flicker()
        self._latencies = [0] * (len(_LATENCY_BOUNDS_SECONDS) + 1)
        self._latency_sum_seconds = 0.0
        self._hung = False
        self._pairs: list[Pair] = []

    def add_batch(self, run: BatchRun) -> None:
        """Takes what became of a batch."""
        counts = self.counts
        counts.hops += run.hops
        counts.failed_hops += run.failed + run.non_finite
        counts.non_finite_hops += run.non_finite
        self._hung |= run.hung
        for seconds in run.latencies_seconds:
            self._latencies[bisect.bisect_left(_LATENCY_BOUNDS_SECONDS, seconds)] += 1
            self._latency_sum_seconds += seconds

    def stream_began(self, label_changes: int = 0) -> StreamTally:
        """Counts a stream that begins here, or has moved here.

        Args:
            label_changes: That it had elsewhere.
        """
        stream = StreamTally(self, label_changes)
        self._live.add(stream)
        self.counts.streams += 1
        return stream

    def end(self, stream: StreamTally, *, failed: bool) -> None:
        """See `StreamTally.ended`."""
        if stream in self._live:
            self._live.remove(stream)
            self._ended = self._ended.with_stream(stream.label_changes, stream.speech_minutes)
            self.counts.failed_streams += failed

    def compared(self, frames: int, differing: int) -> None:
        """Counts frames in which a shadow was compared with the primary, and those that differ."""
        self.counts.compared_frames += frames
        self.counts.differing_frames += differing

    def pair(self, pair: Pair) -> None:
        """Takes a call that was measured beside the base's; one thread at a time may.

        When there are many, counting begins anew.
        """
        self._pairs = [pair] if len(self._pairs) >= MAXIMUM_PAIRS else [*self._pairs, pair]

    def forget_pairs(self) -> None:
        """They were measured beside another base than the one from now on."""
        self._pairs = []

    def evidence(self) -> Evidence:
        """What is known, for the judge."""
        flicker = self._ended
        for stream in self._live:
            flicker = flicker.with_stream(stream.label_changes, stream.speech_minutes)
        counts = self.counts
        return Evidence(
            counts.streams,
            counts.hops,
            counts.failed_hops,
            counts.non_finite_hops,
            self._hung,
            flicker,
            tuple(self._pairs),
        )

    def outcomes(self, version: str, role: Role) -> VersionOutcomes:
        """What is known, for the registry.

        Args:
            version: `models/{model}/versions/{semver}`.
            role: That the generation has now.
        """
        counts = self.counts
        return VersionOutcomes(
            version=version,
            role=role,
            streams=counts.streams,
            failed_streams=counts.failed_streams,
            hops=counts.hops,
            failed_hops=counts.failed_hops,
            non_finite_hops=counts.non_finite_hops,
            speech_seconds=counts.speech_samples / SAMPLE_RATE_HERTZ,
            turns=counts.turns,
            speakers=counts.speakers,
            speakers_merged=min(counts.speakers_merged, counts.speakers),
            label_changes=counts.label_changes,
            compute_latency_seconds=Histogram(
                upper_bounds=_LATENCY_BOUNDS_SECONDS,
                counts=tuple(self._latencies),
                sum=self._latency_sum_seconds,
            ),
            score_count=counts.score_count,
            score_sum=counts.score_sum,
            score_sum_of_squares=counts.score_sum_of_squares,
            compared_frames=counts.compared_frames,
            differing_frames=counts.differing_frames,
        )


MAXIMUM_PAIRS: Final = 512
"""No more count together: a model that becomes slow is not excused by how fast it was."""


@dataclass(slots=True)
class _Counts:
    streams: int = 0
    failed_streams: int = 0
    hops: int = 0
    failed_hops: int = 0
    non_finite_hops: int = 0
    speech_samples: int = 0
    turns: int = 0
    speakers: int = 0
    speakers_merged: int = 0
    label_changes: int = 0
    score_count: int = 0
    score_sum: float = 0.0
    score_sum_of_squares: float = 0.0
    compared_frames: int = 0
    differing_frames: int = 0


_LARGEST_SUM: Final = 1e15  # what a registry takes

# Half an octave apart, from a quiet machine's shortest hop to what nobody waits for.
_LATENCY_BOUNDS_SECONDS: Final = tuple(round(0.001 * 2 ** (step / 2), 6) for step in range(27))
