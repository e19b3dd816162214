"""What the peer would have given with another `delta_new`, the setting that matters most to it.

It runs with the value that was tuned on conversations that nothing else is measured on. Where the
measured sets would have liked another one better, that is hindsight, and is called so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.accuracy_systems import DELTAS_NEW, System, folder_of
from benchmarks.peers.diart.settings import TUNED, delta_name, read_tuned
from voiceflow.cli.evaluate.scores import error_rates, read_hypotheses
from voiceflow.cli.evaluate.tables import number, table
from voiceflow.evaluation import EvaluationSet


def delta_folder(out: Path, labelled: EvaluationSet, delta_new: float) -> Path:
    """Where the peer's hypotheses with another `delta_new` lie."""
    return folder_of(out, System.PEER, labelled) / delta_name(delta_new)


def peer_curve(out: Path, sets: Sequence[EvaluationSet]) -> dict[str, Any] | None:
    """DER of the peer in percent, by `delta_new` and set, as JSON has it.

    Args:
        out: Where hypotheses lie.
        sets: That were heard.

    Returns:
        None: the peer was not asked for it.
    """
    if not all(delta_folder(out, one, delta).is_dir() for one in sets for delta in DELTAS_NEW):
        return None
    return {
        "tuned": read_tuned().delta_new,
        "tuning": _on_tuning(),
        "points": [
            {"delta_new": delta, "der_percent": {one.name: _der(out, one, delta) for one in sets}}
            for delta in DELTAS_NEW
        ],
    }


def curve_text(curve: Mapping[str, Any]) -> str:
    """A row for each value; the best of each measured set is marked as known only afterwards."""
    points = curve["points"]
    sets = list(points[0]["der_percent"])
    best = {name: _best(points, name, curve["tuned"]) for name in sets}
    rows = []
    for point in points:
        delta, rates = point["delta_new"], point["der_percent"]
        tuned = " (tuned)" if delta == curve["tuned"] else ""
        tuning = curve["tuning"].get(f"{delta:g}")
        row = [f"{delta:g}{tuned}", "-" if tuning is None else number(tuning)]
        for name in sets:
            hindsight = " (best in hindsight)" if delta == best[name] else ""
            row.append(f"{number(rates[name])}{hindsight}")
        rows.append(row)
    what = (
        "DER, %, of the peer by `delta_new`, all else as it was tuned. On the tuning conversations"
        " it was chosen before `latency_seconds` was."
    )
    return f"{what}\n\n{table(['delta_new', 'tuning conversations', *sets], rows)}"


def _best(points: Sequence[Mapping[str, Any]], name: str, tuned: float) -> float:
    """The `delta_new` with the least DER on a set; of several the tuned one, else the first."""
    ranked = [(one["der_percent"][name], one["delta_new"] != tuned, one) for one in points]
    least = min(ranked, key=lambda one: one[:2])[2]
    return float(least["delta_new"])


def _der(out: Path, labelled: EvaluationSet, delta_new: float) -> float:
    hypotheses = read_hypotheses(delta_folder(out, labelled, delta_new), labelled)
    return round(error_rates(hypotheses, labelled).pooled.der_percent, 4)


def _on_tuning() -> dict[str, float]:
    """By `delta_new`, of the last stage that tried it, all else as that stage chose."""
    stages = json.loads(TUNED.read_text("utf-8"))["stages"]
    stage = next(one for one in reversed(stages) if "delta_new" in one["tried"])
    *others, last = stage["tried"]
    if last != "delta_new":
        raise ValueError(f"{TUNED.name}: delta_new is not the last of {stage['tried']}")
    chosen = "".join(f"{value}, " for value in stage["chosen"][: len(others)])
    return {
        f"{float(key.removeprefix(chosen)):g}": error
        for key, error in stage["error_percent"].items()
        if key.startswith(chosen)
    }
