"""Diarization error rate by spyder (D. Raj), a scorer that shares nothing with pyannote.metrics.

Both find the best map from found to true speakers by the Hungarian method and count speaker time.
They differ in what a collar is: pyannote.metrics takes its total width and maps what the collar
leaves; spyder, as NIST's md-eval does, takes the width on either side and maps before it cuts.
Here the collar is cut out of the audio that is scored before spyder sees it, so that both map and
count the same stretches. spyder scores no JER.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from importlib.metadata import version

import spyder

from voiceflow.artifact import SAMPLE_RATE_HERTZ
from voiceflow.evaluation import POOLED, Score, Spoken, united

Span = tuple[float, float]


class SecondScorer:
    """Scores recordings one after another and pools them, as `voiceflow.evaluation.Scorer` does.

    Args:
        collar_total_seconds: Audio around each start and end of a true turn that is not scored,
            half of it on either side.
    """

    def __init__(self, collar_total_seconds: float = 0.0) -> None:
        self._half_collar_seconds = collar_total_seconds / 2
        self._scores: list[Score] = []

    def add(
        self, name: str, reference: Iterable[Spoken], found: Iterable[Spoken], samples: int
    ) -> Score:
        """Scores one recording of so many samples at 16 kHz, and counts it for the pool."""
        truth = united(reference)
        scored = _scored(truth, samples / SAMPLE_RATE_HERTZ, self._half_collar_seconds)
        whole = spyder.TurnList([spyder.Turn("scored", start, end) for start, end in scored])
        result = spyder.compute_der(_turns(truth), _turns(united(found)), whole, "all", 0.0)
        score = _score(name, result.duration, result.miss, result.falarm, result.conf)
        self._scores.append(score)
        return score

    def pooled(self) -> Score:
        """Over the reference speech of all recordings added."""
        total = sum(score.reference_seconds for score in self._scores)
        missed, false_alarm, confused = (
            sum(
                getattr(score, part) / 100 * score.reference_seconds
                for score in self._scores
                if score.reference_seconds
            )
            / (total or math.nan)
            for part in ("missed_percent", "false_alarm_percent", "confusion_percent")
        )
        return _score(POOLED, total, missed, false_alarm, confused)


def second_scorer_version() -> str:
    """Name and version of what scores."""
    return f"spyder {version('spy-der')}"


def _turns(spoken: Iterable[Spoken]) -> spyder.TurnList:
    turns = [spyder.Turn(one.speaker, one.start_seconds, one.end_seconds) for one in spoken]
    return spyder.TurnList(turns)


def _scored(
    truth: Iterable[Spoken], length_seconds: float, half_collar_seconds: float
) -> list[Span]:
    """The spans of the recording that are scored: all but the collars."""
    edges = sorted(edge for one in truth for edge in (one.start_seconds, one.end_seconds))
    spans, at = [], 0.0
    for edge in edges if half_collar_seconds else []:
        if edge - half_collar_seconds > at:
            spans.append((at, min(edge - half_collar_seconds, length_seconds)))
        at = max(at, edge + half_collar_seconds)
    if at < length_seconds:
        spans.append((at, length_seconds))
    return [(start, end) for start, end in spans if end > start]


def _score(name: str, seconds: float, missed: float, false_alarm: float, confused: float) -> Score:
    missed, false_alarm, confused = (
        100 * part if seconds else math.nan for part in (missed, false_alarm, confused)
    )
    rate = missed + false_alarm + confused
    return Score(name, seconds, rate, missed, false_alarm, confused, math.nan, "")
