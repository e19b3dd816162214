"""The accuracy of all systems side by side, as Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

from benchmarks.accuracy_curve import curve_text
from benchmarks.accuracy_plots import Results
from benchmarks.accuracy_summary import summary
from benchmarks.accuracy_systems import WHAT, System
from benchmarks.accuracy_targets import PEER_THRESHOLD, PEER_WAIT_SECONDS
from voiceflow.cli.evaluate.end_of_speech import MAXIMUM_CUT_IN_PERCENT
from voiceflow.cli.evaluate.report import Report
from voiceflow.cli.evaluate.scores import NIST_COLLAR_TOTAL_SECONDS, ErrorRates
from voiceflow.cli.evaluate.tables import ENDINGS_HEAD, age_name, endings_cells, number, table
from voiceflow.evaluation.endpoint import OperatingPoint
from voiceflow.evaluation.labelling import never, percentile
from voiceflow.evaluation.streaming import Streaming

PLOTS: Final[Mapping[str, str]] = {
    "by-delay": "DER of what is known so long after the audio",
    "by-age": "DER by the age of the stream",
    "end-of-speech": "End of speech: latency against false cut-ins",
}
"""The pictures beside the report, `<report>-<name>.png`, and what they show."""

Reports = Mapping[System, Report]


def as_markdown(results: Results, report: Mapping[str, Any], stem: str, others: str) -> str:
    """The whole report.

    Args:
        results: By set and system.
        report: The same as JSON has it, with all that is not of one set.
        stem: Of the pictures' names.
        others: What is known of other models; may be empty.
    """
    parts = ["# Accuracy", summary(report), "Delays are audio, not computing."]
    for name, reports in results.items():
        parts += [f"## {name}", _set_text(reports)]
    if report["peer_curve"]:
        parts += ["## The peer, set otherwise", curve_text(report["peer_curve"])]
    if others:
        parts += ["## Other models", others]
    parts += [f"![{what}]({stem}-{name}.png)" for name, what in PLOTS.items()]
    return "\n\n".join(parts)


def _set_text(reports: Reports) -> str:
    told = {
        WHAT[system]: report.streaming
        for system, report in reports.items()
        if report.streaming is not None
    }
    parts = [_rates(reports)]
    if told:
        some = next(iter(told.values()))
        delays = [f"{d:g} s later" if math.isfinite(d) else "in the end" for d in some.by_delay]
        ages = [age_name(*span) for span in pairwise([*some.by_age, math.inf])]
        parts += [
            "DER, %, of what is known so long after the audio:",
            table(
                ["", *delays],
                [
                    [what, *(number(one.der_percent) for one in streaming.by_delay.values())]
                    for what, streaming in told.items()
                ],
            ),
            "DER, %, in the end, by the age of the stream:",
            table(
                ["", *ages],
                [
                    [what, *(number(one.der_percent) for one in streaming.by_age.values())]
                    for what, streaming in told.items()
                ],
            ),
            "Labels:",
            _labels(told),
        ]
    if ends := _ends(reports):
        parts += ["End of speech: latency from its true end, and cut-ins:", ends]
    return "\n\n".join(parts)


def _rates(reports: Reports) -> str:
    head = ["", "DER %", "95 % interval", "missed", "false alarm", "confusion", "JER %"]
    head += ["DER ±0.25 s", "DER, merged labels as one"]
    rows = []
    for system, report in reports.items():
        strict, interval = report.rates[0.0].pooled, report.rates[0.0].der_interval_percent
        rows.append(
            [
                WHAT[system],
                number(strict.der_percent),
                f"{number(interval.low)} to {number(interval.high)}",
                number(strict.missed_percent),
                number(strict.false_alarm_percent),
                number(strict.confusion_percent),
                number(strict.jer_percent),
                _der(report.rates[NIST_COLLAR_TOTAL_SECONDS]),
                _der(report.aliased),
            ]
        )
    return table(head, rows)


def _der(rates: ErrorRates | None) -> str:
    return number(rates.pooled.der_percent) if rates else "-"


def _labels(told: Mapping[str, Streaming]) -> str:
    columns = [_label_figures(streaming) for streaming in told.values()]
    rows = [[what, *(column[what] for column in columns)] for what in columns[0]]
    return table(["", *told], rows)


def _label_figures(streaming: Streaming) -> dict[str, str]:
    times, speakers = streaming.label_times, streaming.speakers
    figures = {}
    for which, values in (("first", times.first_seconds), ("correct", times.correct_seconds)):
        spread = " / ".join(number(percentile(values, share), 2) for share in (50, 95))
        figures[f"{which} label after a turn's start, P50 / P95, s"] = spread
        figures[f"turns that never get a {which} label"] = f"{never(values)} of {len(values)}"
    figures["label changes a minute of speech"] = number(streaming.label_changes.per_minute, 2)
    figures["speakers found of those there are"] = f"{speakers.found} of {speakers.true}"
    figures["speakers invented"] = str(speakers.invented)
    for absence, one in streaming.reentries.items():
        figures[f"known again after {absence:g} s of silence"] = (
            f"{number(one.recall_percent)} % of {number(one.seconds)} s"
        )
    return figures


def _ends(reports: Reports) -> str:
    rows = []
    for system, report in reports.items():
        if (found := report.end_of_speech) is None or system is System.DENSITY:
            continue
        named = []
        if found.as_sent is not None:
            named.append(("as sent", found.as_sent))
        if system is System.PEER:
            point = found.at(PEER_THRESHOLD, PEER_WAIT_SECONDS)
            named.append((_point_name(point), point.endings))
        if best := found.best():
            what = f"{_point_name(best)}: the best within {MAXIMUM_CUT_IN_PERCENT:g} %"
            named.append((what, best.endings))
        rows += [[f"{WHAT[system]}, {how}", *endings_cells(one)] for how, one in named]
    return table(ENDINGS_HEAD, rows) if rows else ""


def _point_name(point: OperatingPoint) -> str:
    return f"over {point.threshold:g}, {1000 * point.wait_seconds:.0f} ms"
