"""What accuracy is to be reached, and whether it was: from `Report`s and equal error rates."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.accuracy_plots import MAXIMUM_LATENCY_MILLISECONDS, Results
from benchmarks.accuracy_systems import System
from voiceflow.cli.evaluate.end_of_speech import MAXIMUM_CUT_IN_PERCENT
from voiceflow.cli.evaluate.report import Report
from voiceflow.cli.evaluate.scores import ErrorRates
from voiceflow.evaluation.bootstrap import Interval, pooled_interval
from voiceflow.evaluation.streaming import FINAL

LABEL_DELAY_SECONDS: Final = 1.0
MAXIMUM_LATER_POINTS: Final = 4.0
"""DER of what is known after `LABEL_DELAY_SECONDS`, above that in the end."""
MAXIMUM_CHANGES_PER_MINUTE: Final = 2.0
MAXIMUM_EQUAL_ERROR_PERCENT: Final = 8.0


@dataclass(frozen=True, slots=True)
class SetTarget:
    """Of one set, in density mode.

    Attributes:
        maximum_ratio: Of our DER to the peer's.
    """

    maximum_der_percent: float
    maximum_confusion_percent: float
    maximum_ratio: float


SET_TARGETS: Final[Mapping[str, SetTarget]] = {
    "simulated": SetTarget(20.0, 9.0, 0.6),
    "real": SetTarget(35.0, 15.0, 0.7),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether a target was reached.

    Attributes:
        what: Is measured, and on which set.
        maximum: That is allowed.
        measured: NaN: it could not be; infinite: of a latency, too many ends were missed.
        unit: Of both.
        interval: Of what was measured, over recordings drawn anew; None: not computed.
    """

    what: str
    maximum: float
    measured: float
    unit: str
    interval: Interval | None = None

    @property
    def reached(self) -> bool | None:
        """None: not measured."""
        return None if math.isnan(self.measured) else self.measured <= self.maximum


def outcomes(results: Results, equal_error_percent: float | None) -> list[Outcome]:
    """Of every target whose set was run.

    Args:
        results: By set and system.
        equal_error_percent: Of our embeddings, pooled; None: not measured.
    """
    found = [
        outcome
        for name, reports in results.items()
        if name in SET_TARGETS
        for outcome in _of_set(name, reports, SET_TARGETS[name])
    ]
    rate = math.nan if equal_error_percent is None else equal_error_percent
    verification = "two-second verification, pooled: equal error rate"
    return [*found, Outcome(verification, MAXIMUM_EQUAL_ERROR_PERCENT, rate, "%")]


def _of_set(name: str, reports: Mapping[System, Report], target: SetTarget) -> Iterator[Outcome]:
    ours, peer = reports[System.DENSITY], reports.get(System.PEER)
    rates = ours.rates[0.0]
    pooled, interval = rates.pooled, rates.der_interval_percent
    yield Outcome(f"{name}: DER", target.maximum_der_percent, pooled.der_percent, "%", interval)
    yield Outcome(
        f"{name}: confusion", target.maximum_confusion_percent, pooled.confusion_percent, "%"
    )
    yield _beside(name, rates, peer.rates[0.0] if peer else None, target.maximum_ratio)
    if ours.streaming is not None:
        known = ours.streaming.by_delay
        later = known[LABEL_DELAY_SECONDS].der_percent - known[FINAL].der_percent
        yield Outcome(
            f"{name}: DER of what is known after {LABEL_DELAY_SECONDS:g} s, above that in the end",
            MAXIMUM_LATER_POINTS,
            later,
            "points",
        )
        yield Outcome(
            f"{name}: label changes",
            MAXIMUM_CHANGES_PER_MINUTE,
            ours.streaming.label_changes.per_minute,
            "a minute",
        )
    agent = reports[System.AGENT].end_of_speech
    best = agent and agent.best()
    for percent, maximum in MAXIMUM_LATENCY_MILLISECONDS.items():
        latency = 1000 * best.endings.latency_seconds(percent) if best else math.nan
        what = f"{name}: end of speech, P{percent:g} at {MAXIMUM_CUT_IN_PERCENT:g} % false cut-ins"
        yield Outcome(what, maximum, latency, "ms")


def _beside(name: str, ours: ErrorRates, peer: ErrorRates | None, maximum: float) -> Outcome:
    """Our DER in percent of the peer's, on the same recordings."""
    what = f"{name}: DER, of the peer's"
    if peer is None:
        return Outcome(what, 100 * maximum, math.nan, "%")
    errors = [[one.error_seconds for one in rates.recordings] for rates in (ours, peer)]
    ratio = 100 * ours.pooled.der_percent / peer.pooled.der_percent
    return Outcome(what, 100 * maximum, ratio, "%", pooled_interval(*errors))
