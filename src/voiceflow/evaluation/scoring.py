"""Error rates of whole recordings: DER with its parts, and JER.

DER = (missed + false alarm + confusion) / reference speech, each in seconds of speaker time: where
two speak, both count. The map from found to true speakers is the one, of all one-to-one maps, that
leaves the least confusion. JER is the mean over the true speakers of one minus the Jaccard index of
each with the speaker it is mapped to (second DIHARD challenge, evaluation plan 1.1). Both are
pyannote.metrics' (H. Bredin, Interspeech 2017), which comes with `voiceflow[registry]` and is
imported when the first score is asked for.
"""

from __future__ import annotations

import importlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from importlib.metadata import version
from typing import Any, Final

from voiceflow.artifact import SAMPLE_RATE_HERTZ
from voiceflow.errors import NotAllowedNow
from voiceflow.evaluation.spoken import Spoken, spoken_in, united
from voiceflow.pipeline.turns import UNKNOWN, Region

PROTOCOL: Final = "collar_total_seconds 0, overlap scored, no oracle speech detection, pooled"
POOLED: Final = "pooled"
"""Name of the score over all recordings."""

Said = Iterable[Region] | Iterable[Spoken]
"""What a system says of a recording: the pipeline's regions, or stretches of any system."""


@dataclass(frozen=True, slots=True)
class Score:
    """Error rates in percent of reference speech; NaN where none is scored.

    Attributes:
        name: Of the recording, or `pooled`.
        reference_seconds: Speech that is scored; where two speak, both count.
        jer_percent: In percent of reference speakers, whatever each of them says.
        speakers: How many were found of how many there are: `3/4`; empty where pooled. `UNKNOWN`
            claims to be nobody and is not counted, though it is scored like any label.
    """

    name: str
    reference_seconds: float
    der_percent: float
    missed_percent: float
    false_alarm_percent: float
    confusion_percent: float
    jer_percent: float
    speakers: str

    @property
    def error_seconds(self) -> float:
        """Missed, false alarm and confusion together."""
        return self.der_percent * self.reference_seconds / 100.0 if self.reference_seconds else 0.0

    def rounded(self) -> Score:
        """With two decimals, as it is printed."""
        numbers: dict[str, Any] = {
            field.name: round(value, 2)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), float)
        }
        return replace(self, **numbers)


class Scorer:
    """Scores recordings one after another and pools them.

    Args:
        collar_total_seconds: Audio around each start and end of a true turn that is not scored,
            half of it on either side: 0.5 is NIST's ±0.25 s.

    Raises:
        NotAllowedNow: SCORER_MISSING, if pyannote.metrics is not installed.
    """

    def __init__(self, collar_total_seconds: float = 0.0) -> None:
        self._core = _scoring_module("pyannote.core")
        rates = _scoring_module("pyannote.metrics.diarization")
        # pyannote's collar, too, is the total width.
        collar = {"collar": collar_total_seconds, "skip_overlap": False}
        self._der = rates.DiarizationErrorRate(**collar)
        self._jer = rates.JaccardErrorRate(**collar)
        self._sums: Counter[str] = Counter()

    def add(self, name: str, reference: Iterable[Spoken], found: Said, samples: int) -> Score:
        """Scores one recording of so many samples, and counts it for the pool."""
        truth, guess, whole = self._annotated(reference, found, samples)
        sums = self._der.compute_components(truth, guess, uem=whole)
        sums |= self._jer.compute_components(truth, guess, uem=whole)
        self._sums.update(sums)
        named = sum(label != UNKNOWN for label in guess.labels())
        return _score(name, sums, f"{named}/{len(truth.labels())}")

    def mapping(self, reference: Iterable[Spoken], found: Said, samples: int) -> dict[str, str]:
        """The true speaker for each found one that has one; counts nothing for the pool.

        It leaves the least confusion without a collar.
        """
        truth, guess, whole = self._annotated(reference, found, samples)
        return dict(self._der.optimal_mapping(truth, guess, uem=whole))

    def pooled(self) -> Score:
        """Over all recordings added: DER over their speech, JER over their speakers."""
        return _score(POOLED, self._sums, "")

    def _annotated(
        self, reference: Iterable[Spoken], found: Said, samples: int
    ) -> tuple[Any, Any, Any]:
        whole = self._core.Segment(0.0, samples / SAMPLE_RATE_HERTZ)
        timeline = self._core.Timeline([whole])
        return self._annotation(reference), self._annotation(_stretches(found)), timeline

    def _annotation(self, spoken: Iterable[Spoken]) -> Any:
        annotation = self._core.Annotation()
        for track, one in enumerate(united(spoken)):
            span = self._core.Segment(one.start_seconds, one.end_seconds)
            annotation[span, track] = one.speaker
        return annotation


def scorer_version() -> str:
    """Name and version of what scores."""
    return f"pyannote.metrics {version('pyannote.metrics')}"


def _stretches(said: Said) -> list[Spoken]:
    return [
        one for part in said for one in (spoken_in([part]) if isinstance(part, Region) else [part])
    ]


def _score(name: str, sums: Mapping[str, float], speakers: str) -> Score:
    total, count = sums["total"], sums["speaker count"]
    missed, false_alarm, confusion = (
        100.0 * sums[part] / total if total else math.nan
        for part in ("missed detection", "false alarm", "confusion")
    )
    return Score(
        name,
        total,
        missed + false_alarm + confusion,
        missed,
        false_alarm,
        confusion,
        100.0 * sums["speaker error"] / count if count else math.nan,
        speakers,
    )


def _scoring_module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise NotAllowedNow(
            "error rates are scored with pyannote.metrics, which is not installed here;"
            " install voiceflow[registry]",
            reason="SCORER_MISSING",
        ) from error
