"""What accuracy is to be reached, and whether it was: from `Report`s and equal error rates."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from benchmarks.accuracy_plots import MAXIMUM_LATENCY_MILLISECONDS, Results
from benchmarks.accuracy_systems import System
from voiceflow.cli.evaluate.end_of_speech import MAXIMUM_CUT_IN_PERCENT
from voiceflow.cli.evaluate.figures import finite
from voiceflow.cli.evaluate.report import Report
from voiceflow.cli.evaluate.scores import ErrorRates
from voiceflow.cli.evaluate.tables import number
from voiceflow.evaluation.bootstrap import Interval, pooled_interval
from voiceflow.evaluation.endpoint import Endings
from voiceflow.evaluation.streaming import FINAL, Streaming

LABEL_DELAY_SECONDS: Final = 1.0
MAXIMUM_LATER_POINTS: Final = 4.0
"""DER of what is known after `LABEL_DELAY_SECONDS`, above that in the end."""
MAXIMUM_CHANGES_PER_MINUTE: Final = 2.0
MAXIMUM_EQUAL_ERROR_PERCENT: Final = 8.0

PEER_THRESHOLD: Final = 0.5
PEER_WAIT_SECONDS: Final = 0.2
"""The end of speech as a pipeline of today takes it from Silero VAD."""

EqualErrors = Mapping[System, Mapping[str, float]]
"""Percent of two-second verification, by system and set, `pooled` among them."""


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
        peer: The same of the peer; NaN: it was not there, or this is no measure of it.
        peer_remark: What must be known to compare the two.
    """

    what: str
    maximum: float
    measured: float
    unit: str
    interval: Interval | None = None
    peer: float = math.nan
    peer_remark: str = ""

    @property
    def reached(self) -> bool | None:
        """None: not measured."""
        return None if math.isnan(self.measured) else self.measured <= self.maximum

    def as_data(self) -> dict[str, Any]:
        """As JSON has it; a figure that there is not, or that is infinite, is null."""
        return dict(finite(asdict(self) | {"reached": self.reached}))

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Outcome:
        """Of what `as_data` gave.

        A figure that is null was infinite where something else is known of it.
        """
        fields = dict(data)
        reached, interval = fields.pop("reached"), fields["interval"]
        if fields["measured"] is None:
            fields["measured"] = math.nan if reached is None else math.inf
        if fields["peer"] is None:
            fields["peer"] = math.inf if fields["peer_remark"] else math.nan
        return cls(**fields | {"interval": interval and Interval(**interval)})


def outcomes(results: Results, equal_errors: EqualErrors) -> list[Outcome]:
    """Of every target whose set was run.

    Args:
        results: By set and system.
        equal_errors: Of those whose embeddings were compared.
    """
    found = [
        outcome
        for name, reports in results.items()
        if name in SET_TARGETS
        for outcome in _of_set(name, reports, SET_TARGETS[name])
    ]
    ours, peer = (
        equal_errors.get(system, {}).get("pooled", math.nan)
        for system in (System.DENSITY, System.PEER)
    )
    verification = "two-second verification, pooled: equal error rate"
    return [*found, Outcome(verification, MAXIMUM_EQUAL_ERROR_PERCENT, ours, "%", peer=peer)]


def _of_set(name: str, reports: Mapping[System, Report], target: SetTarget) -> Iterator[Outcome]:
    ours, peer = reports[System.DENSITY], reports.get(System.PEER)
    rates, peers = ours.rates[0.0], peer.rates[0.0] if peer else None
    yield Outcome(
        f"{name}: DER",
        target.maximum_der_percent,
        rates.pooled.der_percent,
        "%",
        rates.der_interval_percent,
        peers.pooled.der_percent if peers else math.nan,
    )
    yield Outcome(
        f"{name}: confusion",
        target.maximum_confusion_percent,
        rates.pooled.confusion_percent,
        "%",
        peer=peers.pooled.confusion_percent if peers else math.nan,
    )
    yield _beside(name, rates, peers, target.maximum_ratio)
    if ours.streaming is not None:
        told = peer.streaming if peer else None
        yield Outcome(
            f"{name}: DER of what is known after {LABEL_DELAY_SECONDS:g} s, above that in the end",
            MAXIMUM_LATER_POINTS,
            _later(ours.streaming),
            "points",
            peer=_later(told) if told else math.nan,
        )
        yield Outcome(
            f"{name}: label changes",
            MAXIMUM_CHANGES_PER_MINUTE,
            ours.streaming.label_changes.per_minute,
            "a minute",
            peer=told.label_changes.per_minute if told else math.nan,
        )
    yield from _ends(name, reports)


def _ends(name: str, reports: Mapping[System, Report]) -> Iterator[Outcome]:
    """Ours at its best point; the peer's where pipelines have it, whatever that cuts in on."""
    agent = reports[System.AGENT].end_of_speech if System.AGENT in reports else None
    best = agent and agent.best()
    silero = reports[System.PEER].end_of_speech if System.PEER in reports else None
    peer = silero.at(PEER_THRESHOLD, PEER_WAIT_SECONDS).endings if silero else None
    remark = ""
    if peer:
        cut_ins = f"{number(peer.cut_in_percent, 0)} % cut-ins"
        remark = f"at {cut_ins}" if peer.pauses else "without pauses to cut in on"
    for percent, maximum in MAXIMUM_LATENCY_MILLISECONDS.items():
        yield Outcome(
            f"{name}: end of speech, P{percent:g} at {MAXIMUM_CUT_IN_PERCENT:g} % false cut-ins",
            maximum,
            _milliseconds(best.endings if best else None, percent),
            "ms",
            peer=_milliseconds(peer, percent),
            peer_remark=remark,
        )


def _later(streaming: Streaming) -> float:
    """DER of what is known soon, above that in the end, in points."""
    known = streaming.by_delay
    return known[LABEL_DELAY_SECONDS].der_percent - known[FINAL].der_percent


def _milliseconds(endings: Endings | None, percent: float) -> float:
    return 1000 * endings.latency_seconds(percent) if endings else math.nan


def _beside(name: str, ours: ErrorRates, peer: ErrorRates | None, maximum: float) -> Outcome:
    """Our DER in percent of the peer's, on the same recordings."""
    what = f"{name}: DER, of the peer's"
    if peer is None:
        return Outcome(what, 100 * maximum, math.nan, "%")
    errors = [[one.error_seconds for one in rates.recordings] for rates in (ours, peer)]
    ratio = 100 * ours.pooled.der_percent / peer.pooled.der_percent
    return Outcome(what, 100 * maximum, ratio, "%", pooled_interval(*errors))
