"""Error rates of a folder of hypotheses, from its RTTM files alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from voiceflow.cli.evaluate.hypotheses import length_samples, read_hypothesis
from voiceflow.evaluation import EvaluationSet, Score, Scorer, Spoken
from voiceflow.evaluation.bootstrap import Interval, pooled_interval

NIST_COLLAR_TOTAL_SECONDS: Final = 0.5
"""NIST's ±0.25 s."""

COLLARS_TOTAL_SECONDS: Final = (0.0, NIST_COLLAR_TOTAL_SECONDS)


class ScoringMachine(Protocol):
    """Scores recordings one after another and pools them."""

    def add(
        self, name: str, reference: Iterable[Spoken], found: Iterable[Spoken], samples: int
    ) -> Score:
        """Scores one recording of so many samples, and counts it for the pool."""

    def pooled(self) -> Score:
        """Over all recordings added."""


@dataclass(frozen=True, slots=True)
class ErrorRates:
    """Error rates over a set.

    Attributes:
        collar_total_seconds: Around each start and end of a true turn, not scored.
        recordings: By name.
        pooled: Over their reference speech.
        der_interval_percent: Of the pooled DER, 95 %.
    """

    collar_total_seconds: float
    recordings: tuple[Score, ...]
    pooled: Score
    der_interval_percent: Interval

    def as_data(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "collar_total_seconds": self.collar_total_seconds,
            "pooled": asdict(self.pooled.rounded()),
            "der_interval_percent": asdict(self.der_interval_percent),
            "recordings": [asdict(score.rounded()) for score in self.recordings],
        }


def error_rates(
    hypotheses: Mapping[str, Iterable[Spoken]],
    labelled: EvaluationSet,
    *,
    collar_total_seconds: float = 0.0,
    scorer: ScoringMachine | None = None,
) -> ErrorRates:
    """Scores what a system said of each recording of a set.

    Args:
        hypotheses: By the recording's name.
        labelled: The set.
        collar_total_seconds: For the record, where a scorer is given: its own.
        scorer: A fresh one; else pyannote.metrics.
    """
    scorer = scorer or Scorer(collar_total_seconds)
    scores = tuple(
        scorer.add(one.name, one.reference, hypotheses[one.name], length_samples(one))
        for one in labelled.recordings
    )
    interval = pooled_interval(
        [score.error_seconds for score in scores], [score.reference_seconds for score in scores]
    )
    return ErrorRates(collar_total_seconds, scores, scorer.pooled(), interval)


def read_hypotheses(folder: Path, labelled: EvaluationSet) -> dict[str, list[Spoken]]:
    """What a folder says of each recording of a set.

    Raises:
        InvalidInput: HYPOTHESIS_MISSING or REFERENCE_INVALID, with the file at fault.
    """
    return {one.name: read_hypothesis(folder, one.name) for one in labelled.recordings}
