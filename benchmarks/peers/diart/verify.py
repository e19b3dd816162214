"""Equal error rate of Resemblyzer's encoder on our two-second stretches of speech.

    python -m benchmarks.peers.diart.verify STRETCHES.npz [--json PATH]

Runs in the peer's environment on what `stretches.py` writes. A trial compares two stretches of one
set; the rate is that of one threshold over all trials of the set, pooled: over all trials of all
sets.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_curve

from benchmarks.peers.diart.speech import FloatArray
from benchmarks.peers.diart.voices import embed


def equal_error_percent(same: npt.NDArray[np.bool_], score: FloatArray) -> float:
    """Where as many pairs of one speaker are refused as pairs of two are taken for one."""
    taken, found, _ = roc_curve(same, score, drop_intermediate=False)
    at = int(np.argmin(np.abs(taken - (1 - found))))
    return float(50 * (taken[at] + 1 - found[at]))


def main() -> None:
    """Prints the rate per set, and pooled."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("stretches", type=Path)
    parser.add_argument("--json", type=Path, help="write the rates here as well")
    arguments = parser.parse_args()
    with np.load(arguments.stretches) as held:
        groups, voices, audio = held["set"], held["voice"], held["audio"]
    vectors = embed(list(audio))
    trials: dict[str, tuple[npt.NDArray[np.bool_], FloatArray]] = {}
    for group in sorted(set(groups.tolist())):
        rows = np.flatnonzero(groups == group)
        upper = np.triu_indices(len(rows), 1)
        same = (voices[rows][:, None] == voices[rows][None, :])[upper]
        trials[group] = same, (vectors[rows] @ vectors[rows].T)[upper]
    pooled = (np.concatenate(parts) for parts in zip(*trials.values(), strict=True))
    trials["pooled"] = next(pooled), next(pooled)
    rates = {group: round(equal_error_percent(*pairs), 2) for group, pairs in trials.items()}
    for group, rate in rates.items():
        print(f"{group}: equal error rate {rate:.1f} %")
    if arguments.json:
        arguments.json.write_text(json.dumps(rates, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
