"""How soon a system notices the end of speech, over the recordings of a set."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from voiceflow.artifact import SAMPLE_RATE_HERTZ
from voiceflow.cli.evaluate.hypotheses import length_samples
from voiceflow.cli.evaluate.speech import SpeechFrames
from voiceflow.errors import InvalidInput
from voiceflow.evaluation import EvaluationSet
from voiceflow.evaluation.endpoint import (
    Endings,
    OperatingPoint,
    SpeechTrace,
    endings,
    pareto_front,
    trade_off,
)
from voiceflow.evaluation.silences import silences_in

MAXIMUM_CUT_IN_PERCENT: Final = 10.0
"""Of pauses under half a second, for `EndOfSpeech.best`."""


@dataclass(frozen=True, slots=True)
class EndOfSpeech:
    """What a system's speech probabilities are good for.

    Attributes:
        as_sent: Of the events that it told; None: it tells none.
        curve: Every threshold and wait that was tried.
    """

    as_sent: Endings | None
    curve: tuple[OperatingPoint, ...]

    def front(self, percent: float = 50.0) -> list[OperatingPoint]:
        """The points that no other beats, by the latency of so many percent of the ends."""
        return pareto_front(self.curve, percent)

    def best(self) -> OperatingPoint | None:
        """With at most `MAXIMUM_CUT_IN_PERCENT` false cut-ins the soonest: by P95, then P50."""
        allowed = [p for p in self.curve if p.endings.cut_in_percent <= MAXIMUM_CUT_IN_PERCENT]
        return min(
            allowed,
            key=lambda p: (p.endings.latency_seconds(95), p.endings.latency_seconds(50)),
            default=None,
        )

    def at(self, threshold: float, wait_seconds: float) -> OperatingPoint:
        """One of the points that were tried."""
        return next(
            point
            for point in self.curve
            if math.isclose(point.threshold, threshold)
            and math.isclose(point.wait_seconds, wait_seconds)
        )


def end_of_speech(
    streams: Mapping[str, Sequence[SpeechFrames]],
    ends_seconds: Mapping[str, Sequence[float]] | None,
    labelled: EvaluationSet,
) -> EndOfSpeech:
    """Sweeps thresholds and waits over what was told of the recordings of a set.

    Args:
        streams: Speech probabilities, by the recording's name.
        ends_seconds: When the system told that speech had ended, likewise; None: it does not.
        labelled: The set.

    Raises:
        InvalidInput: SPEECH_INVALID, if frames do not follow each other.
    """
    recordings, sent = [], Endings()
    for one in labelled.recordings:
        seconds = length_samples(one) / SAMPLE_RATE_HERTZ
        recordings.append((_trace(streams[one.name], one.name), one.reference, seconds))
        if ends_seconds is not None:
            sent += endings(ends_seconds[one.name], silences_in(one.reference, seconds))
    return EndOfSpeech(sent if ends_seconds is not None else None, tuple(trade_off(recordings)))


def _trace(told: Sequence[SpeechFrames], name: str) -> SpeechTrace:
    """The frames of a recording, one after another."""
    frame_seconds = told[0].frame_seconds if told else 1.0
    at = 0.0
    for frames in told:
        if abs(frames.start_seconds - at) > 0.001 or frames.frame_seconds != frame_seconds:
            raise InvalidInput(
                f"{name}: speech probabilities of {frames.start_seconds:g} s, in frames of"
                f" {frames.frame_seconds:g} s, where those of {at:g} s, in frames of"
                f" {frame_seconds:g} s, are due",
                reason="SPEECH_INVALID",
                field="speech",
            )
        at += len(frames.speech) * frame_seconds
    speech = [value for frames in told for value in frames.speech]
    covered = [frames.covered_seconds for frames in told for _ in frames.speech]
    return SpeechTrace(frame_seconds, np.array(speech, np.float32), np.array(covered, np.float64))
