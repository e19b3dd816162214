"""Accuracy through the service, beside a peer and baselines, on the same audio: `make evaluate`.

    python -m benchmarks.accuracy [--model FOLDER] [--data FOLDER]... [--out FOLDER] [--json PATH]
        [--equal-error NAME=PATH]... [--no-peer] [--measure-only]

Starts the service with the model, streams every labelled conversation through it in both modes,
has the baselines and the peer (`benchmarks/peers`) tell the same, writes what each of them said to
`--out` (rescore it with `python -m benchmarks.rescore`), and measures it all from there. Writes
JSON, a report beside it as Markdown, and pictures. `--measure-only` measures what an earlier run
left. `--equal-error` adds rates of speaker verification: a JSON object of percent by set, `pooled`
among them; those named `ours` are held against the target.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from benchmarks.accuracy_plots import (
    Results,
    plot_by_age,
    plot_by_delay,
    plot_end_of_speech,
)
from benchmarks.accuracy_report import as_markdown, targets_table
from benchmarks.accuracy_systems import (
    WHAT,
    System,
    folder_of,
    left_by_peer,
    run_baselines,
    run_peer,
    run_service,
)
from benchmarks.accuracy_targets import Outcome, outcomes
from benchmarks.der import DEFAULT_MODEL, SPEECH
from benchmarks.provenance import ROOT, provenance, write_report
from voiceflow.cli.evaluate.figures import finite
from voiceflow.cli.evaluate.report import measure
from voiceflow.errors import VoiceFlowError
from voiceflow.evaluation import PROTOCOL, EvaluationSet, scorer_version
from voiceflow.package import load_package

_Result = TypeVar("_Result")

EqualErrors = dict[str, dict[str, float]]
"""Percent, by whose embeddings and by set."""


def measured(out: Path, sets: Sequence[EvaluationSet], systems: Sequence[System]) -> Results:
    """Measures what each system said of each set."""
    return {
        labelled.name: {
            system: measure(folder_of(out, system, labelled), labelled) for system in systems
        }
        for labelled in sets
    }


def main() -> None:
    """Runs, measures, and writes the report."""
    arguments = _arguments()
    folders = {folder.resolve().name: folder for folder in arguments.data}
    try:
        sets = [EvaluationSet.open(folder) for folder in folders.values()]
        equal_errors = dict(map(_equal_error, arguments.equal_error))
        if not arguments.measure_only:
            _timed("ours", lambda: run_service(arguments.model, sets, arguments.out))
            _timed("baselines", lambda: run_baselines(arguments.model, sets, arguments.out))
        if arguments.no_peer:
            no_peer: str | None = "it was not asked for"
        elif arguments.measure_only:
            no_peer = left_by_peer(sets, arguments.out)
        else:
            no_peer = _timed("peer", lambda: run_peer(folders, sets, arguments.out))
        systems = [one for one in System if one is not System.PEER or no_peer is None]
        results = _timed("measures", lambda: measured(arguments.out, sets, systems))
    except VoiceFlowError as error:
        sys.exit(f"{error.message} ({error.reason})")
    found = outcomes(results, equal_errors.get("ours", {}).get("pooled"))
    _write(arguments, results, found, equal_errors, no_peer)
    print(targets_table(found))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL, help="model package")
    parser.add_argument("--data", type=Path, action="append", help="folder of conversations")
    parser.add_argument("--out", type=Path, default=ROOT / "var" / "accuracy")
    parser.add_argument(
        "--json", type=Path, default=ROOT / "benchmarks" / "results" / "accuracy.json"
    )
    parser.add_argument("--equal-error", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--no-peer", action="store_true", help="leave the peer out")
    parser.add_argument("--measure-only", action="store_true", help="run nothing")
    arguments = parser.parse_args()
    arguments.data = arguments.data or [SPEECH / "simulated", SPEECH / "real"]
    return arguments


def _write(
    arguments: argparse.Namespace,
    results: Results,
    found: Sequence[Outcome],
    equal_errors: EqualErrors,
    no_peer: str | None,
) -> None:
    origin = provenance(load_package(arguments.model), runs=1)
    remarks = [f"{origin}.", f"{PROTOCOL}; {scorer_version()}. Delays are audio, not computing."]
    if no_peer is not None:
        remarks.append(f"**There is no {WHAT[System.PEER]} beside it: {no_peer}.**")
    report = {
        "provenance": asdict(origin),
        "protocol": PROTOCOL,
        "no_peer": no_peer,
        "targets": [asdict(one) | {"reached": one.reached} for one in found],
        "equal_error_percent": equal_errors,
        "sets": {
            name: {system: report.as_data() for system, report in reports.items()}
            for name, reports in results.items()
        },
    }
    stem = arguments.json.stem
    write_report(
        arguments.json, finite(report), as_markdown(results, found, equal_errors, remarks, stem)
    )
    for name, plot in (
        ("by-delay", plot_by_delay),
        ("by-age", plot_by_age),
        ("end-of-speech", plot_end_of_speech),
    ):
        plot(results, arguments.json.with_name(f"{stem}-{name}.png"))


def _equal_error(text: str) -> tuple[str, dict[str, float]]:
    name, _, path = text.partition("=")
    try:
        rates = json.loads(Path(path).read_text("utf-8"))
        return name, {group: float(rate) for group, rate in rates.items()}
    except (OSError, AttributeError, TypeError, ValueError) as error:
        sys.exit(f"--equal-error {text}: NAME=PATH of a JSON object of percent by set: {error}")


def _timed(what: str, act: Callable[[], _Result]) -> _Result:
    start = time.monotonic()
    result = act()
    print(f"{what}: {time.monotonic() - start:.0f} s", flush=True)
    return result


if __name__ == "__main__":
    main()
