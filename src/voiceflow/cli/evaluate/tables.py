"""Figures as Markdown tables, which read well on a terminal too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from voiceflow.cli.evaluate.end_of_speech import EndOfSpeech
from voiceflow.cli.evaluate.scores import ErrorRates
from voiceflow.evaluation import Score
from voiceflow.evaluation.endpoint import Endings
from voiceflow.evaluation.labelling import never, percentile
from voiceflow.evaluation.streaming import Errors, Streaming

ENDINGS_HEAD: Final = (
    "threshold and wait",
    "P50 ms",
    "P95 ms",
    "missed %",
    "false cut-ins %",
    "in speech a minute",
)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose columns line up: the first to the left, the others to the right."""
    cells = [head, *rows]
    widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [
        [row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]
        for row in (head, rule, *rows)
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float, decimals: int = 1) -> str:
    """A figure; a dash where there is none."""
    return f"{value:.{decimals}f}" if math.isfinite(value) else "-"


def rates_text(rates: ErrorRates, labels: str = "") -> str:
    """A row for each recording, and the pooled rates in a sentence.

    Args:
        rates: Those.
        labels: What was done to them, if anything.
    """
    head = ["", "speech s", "DER %", "missed", "false alarm", "confusion", "JER %", "speakers"]
    rows = [_row(score) for score in (*rates.recordings, rates.pooled)]
    what = f"collar_total_seconds {rates.collar_total_seconds:g}" + (labels and f", {labels}")
    return f"{what}\n\n{table(head, rows)}\n\n{pooled_line(rates)}"


def pooled_line(rates: ErrorRates) -> str:
    """The pooled DER with its interval and its parts."""
    pooled, interval = rates.pooled, rates.der_interval_percent
    return (
        f"DER {number(pooled.der_percent)} % (95 % interval {number(interval.low)} to"
        f" {number(interval.high)}): missed {number(pooled.missed_percent)}, false alarm"
        f" {number(pooled.false_alarm_percent)}, confusion {number(pooled.confusion_percent)};"
        f" JER {number(pooled.jer_percent)} %"
    )


def streaming_text(streaming: Streaming) -> str:
    """What was known when, over all recordings."""
    errors = ["DER %", "missed", "false alarm", "confusion"]
    by_delay = [
        [f"{delay:g} s later" if math.isfinite(delay) else "in the end", *_errors(known)]
        for delay, known in streaming.by_delay.items()
    ]
    starts = [*streaming.by_age, math.inf]
    by_age = [
        [age_name(start, end), number(known.reference_seconds), *_errors(known)]
        for (start, end), known in zip(pairwise(starts), streaming.by_age.values(), strict=True)
    ]
    parts = [
        table(["known", *errors], by_delay),
        table(["age of the stream", "speech s", *errors], by_age),
        _labels_text(streaming),
    ]
    return "\n\n".join(parts)


def end_of_speech_text(found: EndOfSpeech) -> str:
    """What was sent, the best point within the allowed false cut-ins, and the front."""
    best = found.best()
    named = [("as sent", found.as_sent), ("best within 10 %", best and best.endings)]
    rows = [[what, *endings_cells(endings)] for what, endings in named if endings]
    rows += [
        [
            f"over {point.threshold:g}, {1000 * point.wait_seconds:.0f} ms",
            *endings_cells(point.endings),
        ]
        for point in found.front()
    ]
    return "End of speech, latency from its true end:\n\n" + table(ENDINGS_HEAD, rows)


def endings_cells(endings: Endings) -> list[str]:
    """Under `ENDINGS_HEAD`."""
    return [
        number(1000 * endings.latency_seconds(50), 0),
        number(1000 * endings.latency_seconds(95), 0),
        number(endings.missed_percent),
        number(endings.cut_in_percent),
        number(endings.cut_ins_in_speech_per_minute),
    ]


def age_name(start_seconds: float, end_seconds: float) -> str:
    """Of a span of a stream's life; without an end, the rest of it."""
    if math.isfinite(end_seconds):
        return f"{start_seconds:g} to {end_seconds:g} s"
    return f"from {start_seconds:g} s on"


def _labels_text(streaming: Streaming) -> str:
    times, changes = streaming.label_times, streaming.label_changes
    rows = [
        [
            which,
            number(percentile(values, 50), 2),
            number(percentile(values, 95), 2),
            f"{never(values)} of {len(values)}",
        ]
        for which, values in (
            ("first label", times.first_seconds),
            ("correct label", times.correct_seconds),
        )
    ]
    speakers = streaming.speakers
    per_minute = number(changes.per_minute, 2)
    lines = [
        (
            f"{per_minute} label changes a minute of speech ({changes.replaced} in"
            f" {number(changes.speech_seconds)} s); {changes.named} named, {changes.withdrawn}"
            f" withdrawn, {changes.added} added later"
        ),
        (
            f"{speakers.found} speakers found of {speakers.true}, {speakers.invented} of them"
            f" invented; {speakers.miscounted} miscounted over the recordings"
        ),
    ]
    lines += [
        f"known again after {absence:g} s of silence: {number(one.recall_percent)} % of"
        f" {number(one.seconds)} s in {one.turns} turns"
        for absence, one in streaming.reentries.items()
    ]
    label_times = table(["from a turn's start to its", "P50 s", "P95 s", "never"], rows)
    return label_times + "\n\n" + "\n".join(f"- {line}" for line in lines)


def _row(score: Score) -> list[str]:
    rates = (
        score.der_percent,
        score.missed_percent,
        score.false_alarm_percent,
        score.confusion_percent,
        score.jer_percent,
    )
    figures = [number(score.reference_seconds), *(number(rate, 2) for rate in rates)]
    return [score.name, *figures, score.speakers]


def _errors(errors: Errors) -> list[str]:
    parts = (errors.missed_seconds, errors.false_alarm_seconds, errors.confusion_seconds)
    return [
        number(errors.der_percent, 2),
        *(number(errors.percent(seconds), 2) for seconds in parts),
    ]
