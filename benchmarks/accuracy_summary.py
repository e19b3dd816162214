"""What was measured in short: the targets, reached or not, with the peer beside them, as Markdown.

It is made of the JSON report alone, so that whoever shows it can be held against that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from benchmarks.accuracy_systems import WHAT, System
from benchmarks.accuracy_targets import PEER_THRESHOLD, PEER_WAIT_SECONDS, Outcome
from benchmarks.provenance import Provenance
from voiceflow.cli.evaluate.tables import number, table


def summary(report: Mapping[str, Any]) -> str:
    """What a reader has to know of it: the targets beside the peer, and where that comes from.

    Args:
        report: As JSON has it.
    """
    parts = [
        f"Through the service, as live streams; {report['protocol']}; {report['scorer']}.",
        targets_table(report),
        _peer(report["no_peer"]),
        _verification(report),
        f"{Provenance(**report['provenance'])}.",
    ]
    return "\n\n".join(part for part in parts if part)


def targets_table(report: Mapping[str, Any]) -> str:
    """A row for each target."""
    words = {True: "reached", False: "not reached", None: "not measured"}
    rows = []
    for one in map(Outcome.from_data, report["targets"]):
        peer = "-" if math.isnan(one.peer) else f"{_figure(one, one.peer)} {one.peer_remark}"
        target = f"at most {one.maximum:g} {one.unit}"
        rows.append([one.what, target, _measured(one), peer.strip(), words[one.reached]])
    return table(["", "target", "ours", "the peer", ""], rows)


def _peer(no_peer: str | None) -> str:
    if no_peer is not None:
        return f"**There is no {WHAT[System.PEER]} beside it: {no_peer}.**"
    return (
        f"The peer: {WHAT[System.PEER]}, tuned on the conversations that ours was tuned on, on the "
        f"same audio in the same run. Its end of speech is Silero's, over {PEER_THRESHOLD:g} and "
        f"{1000 * PEER_WAIT_SECONDS:.0f} ms of wait, whatever that cuts in on."
    )


def _verification(report: Mapping[str, Any]) -> str:
    """Equal error rates of each set; nothing, where there are none."""
    rates: Mapping[str, Mapping[str, float]] = report["equal_error_percent"]
    if not rates:
        return ""
    sets = list(dict.fromkeys(name for by_set in rates.values() for name in by_set))
    rows = [
        [_ENCODERS[System(whose)], *(number(by_set.get(name, math.nan)) for name in sets)]
        for whose, by_set in rates.items()
    ]
    what = "Two seconds of speech against two seconds, same set, unseen speakers: equal error rates"
    parts = [f"{what}, %.", table(["", *sets], rows)]
    if report["no_peer_rates"]:
        parts.append(f"**The peer's encoder failed: {report['no_peer_rates']}.**")
    return "\n\n".join(parts)


def _measured(one: Outcome) -> str:
    if one.reached is None:
        return "-"
    if one.interval is None:
        return _figure(one, one.measured)
    interval = f"({number(one.interval.low)} to {number(one.interval.high)})"
    return f"{_figure(one, one.measured)} {interval}"


def _figure(one: Outcome, value: float) -> str:
    if math.isinf(value):
        return "too many missed"
    return f"{number(value, 0 if one.unit == 'ms' else 1)} {one.unit}"


_ENCODERS: Final[Mapping[System, str]] = {
    System.DENSITY: "ours",
    System.PEER: "Resemblyzer's encoder",
}
