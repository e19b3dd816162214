"""Scores a folder of RTTM files anew: from them and the reference alone, no model, no service.

    python -m benchmarks.rescore FOLDER --reference FOLDER [--second] [--json PATH]

Prints the tables that `voiceflow evaluate` printed when it wrote the folder. `--second` has another
scorer, which shares nothing with pyannote.metrics, score the same files, prints by how much it
differs, and ends with status 1 if that is more than 0.05 points anywhere.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from voiceflow.cli.evaluate.figures import finite
from voiceflow.cli.evaluate.hypotheses import ALIASES
from voiceflow.cli.evaluate.scores import (
    COLLARS_TOTAL_SECONDS,
    ErrorRates,
    error_rates,
    read_hypotheses,
)
from voiceflow.cli.evaluate.tables import rates_text
from voiceflow.errors import NotAllowedNow, VoiceFlowError
from voiceflow.evaluation import EvaluationSet, Score, Spoken, scorer_version

ALLOWED_DIFFERENCE_PERCENT: Final = 0.05
"""Between two scorers, in points."""

_PARTS: Final = ("der_percent", "missed_percent", "false_alarm_percent", "confusion_percent")

Hypotheses = Mapping[str, Sequence[Spoken]]


def difference_percent(one: ErrorRates, other: ErrorRates) -> float:
    """The greatest difference of any rate of any recording, or of all, in points."""
    pairs = zip((*one.recordings, one.pooled), (*other.recordings, other.pooled), strict=True)
    return max(_difference(*pair) for pair in pairs)


def scored_twice(
    hypotheses: Hypotheses, labelled: EvaluationSet, collar_total_seconds: float
) -> tuple[ErrorRates, ErrorRates]:
    """By pyannote.metrics, and by the second scorer."""
    first = error_rates(hypotheses, labelled, collar_total_seconds=collar_total_seconds)
    second = error_rates(
        hypotheses,
        labelled,
        collar_total_seconds=collar_total_seconds,
        scorer=_second_scorer().SecondScorer(collar_total_seconds),
    )
    return first, second


def main() -> None:
    """Prints the tables; exits with 1 if the scorers do not agree."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="holds <name>.rttm for each recording")
    parser.add_argument("--reference", type=Path, required=True, help="labelled conversations")
    parser.add_argument("--second", action="store_true", help="ask another scorer, too")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    arguments = parser.parse_args()
    try:
        labelled = EvaluationSet.open(arguments.reference)
        report, agree = _rescore(arguments.folder, labelled, second=arguments.second)
    except VoiceFlowError as error:
        sys.exit(f"{error.message} ({error.reason})")
    if arguments.json:
        arguments.json.write_text(json.dumps(finite(report), indent=2) + "\n", "utf-8")
    sys.exit(0 if agree else 1)


def _second_scorer() -> Any:
    """Its module, which needs spyder.

    Raises:
        NotAllowedNow: SCORER_MISSING.
    """
    try:
        return importlib.import_module("benchmarks.second_scorer")
    except ModuleNotFoundError as error:
        raise NotAllowedNow(
            "the second scorer, spy-der, is not installed here; `make install` builds it where"
            " there is a C++ compiler",
            reason="SCORER_MISSING",
        ) from error


def _rescore(folder: Path, labelled: EvaluationSet, *, second: bool) -> tuple[dict[str, Any], bool]:
    report: dict[str, Any] = {"set": labelled.name, "digest": labelled.digest}
    report |= {"scorer": scorer_version(), "rates": []}
    scorers = scorer_version()
    if second:
        report["second_scorer"] = _second_scorer().second_scorer_version()
        scorers += f" and {report['second_scorer']}"
    print(f"{labelled.name}, {len(labelled.recordings)} recordings, {scorers}")
    agree = True
    for aliases in (False, True):
        source = folder / ALIASES if aliases else folder
        if aliases and not source.is_dir():
            continue
        hypotheses = read_hypotheses(source, labelled)
        for collar in COLLARS_TOTAL_SECONDS:
            told: dict[str, Any] = {"aliases": aliases}
            if second:
                rates, other = scored_twice(hypotheses, labelled, collar)
                differs = difference_percent(rates, other)
                agree &= differs <= ALLOWED_DIFFERENCE_PERCENT
                told |= {"difference_percent": differs, "second": other.as_data()}
            else:
                rates = error_rates(hypotheses, labelled, collar_total_seconds=collar)
            print("\n" + rates_text(rates, "merged labels read as one" if aliases else ""))
            if second:
                print(f"the scorers differ by at most {differs:.4f} points")
            report["rates"].append(told | rates.as_data())
    return report, agree


def _difference(one: Score, other: Score) -> float:
    differences = [abs(getattr(one, part) - getattr(other, part)) for part in _PARTS]
    nothing_scored = one.reference_seconds == other.reference_seconds == 0
    return 0.0 if nothing_scored else max(math.inf if math.isnan(d) else d for d in differences)


if __name__ == "__main__":
    main()
