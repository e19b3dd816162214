"""Measures as JSON has them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

from voiceflow.cli.evaluate.end_of_speech import EndOfSpeech
from voiceflow.evaluation.endpoint import Endings, OperatingPoint
from voiceflow.evaluation.labelling import never, percentile
from voiceflow.evaluation.streaming import Errors, Streaming


def streaming_data(streaming: Streaming) -> dict[str, Any]:
    """The streaming measures; the delay after which all is said is `final`."""
    times, changes = streaming.label_times, streaming.label_changes
    starts = [*streaming.by_age, math.inf]
    return {
        "by_delay": [
            {"delay_seconds": delay if math.isfinite(delay) else "final"} | _errors(errors)
            for delay, errors in streaming.by_delay.items()
        ],
        "by_age": [
            {"from_seconds": start, "to_seconds": end} | _errors(errors)
            for (start, end), errors in zip(
                pairwise(starts), streaming.by_age.values(), strict=True
            )
        ],
        "first_label": _times(times.first_seconds),
        "correct_label": _times(times.correct_seconds),
        "label_changes": asdict(changes) | {"per_minute": changes.per_minute},
        "speakers": asdict(streaming.speakers),
        "reentry": [
            {"absence_seconds": absence, "recall_percent": one.recall_percent} | asdict(one)
            for absence, one in streaming.reentries.items()
        ],
    }


def end_of_speech_data(found: EndOfSpeech) -> dict[str, Any]:
    """The whole trade-off; where most ends were missed, a percentile is null."""
    best = found.best()
    return {
        "as_sent": found.as_sent and _endings(found.as_sent),
        "best": best and _point(best),
        "front": [_point(point) for point in found.front()],
        "curve": [_point(point) for point in found.curve],
    }


def finite(data: Any) -> Any:
    """The same with figures rounded to four decimals, and null for those that there are not."""
    match data:
        case float():
            return round(data, 4) if math.isfinite(data) else None
        case Mapping():
            return {key: finite(value) for key, value in data.items()}
        case list() | tuple():
            return [finite(value) for value in data]
        case _:
            return data


def _errors(errors: Errors) -> dict[str, float]:
    return {
        "reference_seconds": errors.reference_seconds,
        "der_percent": errors.der_percent,
        "missed_percent": errors.percent(errors.missed_seconds),
        "false_alarm_percent": errors.percent(errors.false_alarm_seconds),
        "confusion_percent": errors.percent(errors.confusion_seconds),
    }


def _point(point: OperatingPoint) -> dict[str, float]:
    times = {"threshold": point.threshold, "wait_seconds": point.wait_seconds}
    return times | _endings(point.endings)


def _endings(endings: Endings) -> dict[str, float]:
    return {
        "ends": len(endings.latencies_seconds),
        "p50_seconds": endings.latency_seconds(50),
        "p95_seconds": endings.latency_seconds(95),
        "missed_percent": endings.missed_percent,
        "pauses": endings.pauses,
        "cut_in_percent": endings.cut_in_percent,
        "false_percent": endings.false_percent,
        "cut_ins_in_speech_per_minute": endings.cut_ins_in_speech_per_minute,
    }


def _times(values: Sequence[float]) -> dict[str, float | int]:
    return {
        "turns": len(values),
        "p50_seconds": percentile(values, 50),
        "p95_seconds": percentile(values, 95),
        "never": never(values),
    }
