"""Accuracy through the service, beside a peer and baselines, on the same audio: `make evaluate`.

    python -m benchmarks.accuracy [--model FOLDER] [--data FOLDER]... [--out FOLDER]
        [--json PATH | --write] [--no-peer] [--measure-only]

Starts the service with the model, streams every labelled conversation through it in both modes,
has the baselines and the peer (`benchmarks/peers`) tell the same, writes what each of them said to
`--out` (rescore it with `python -m benchmarks.rescore`), and measures it all from there. The voice
vectors of both are tried in two-second verification. Writes JSON, a report beside it as Markdown,
and pictures: to `--out`, to `--json`, or, with `--write`, where what is published lies, and puts
the summary into the README and the model's card. `--measure-only` measures what a run has left.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.accuracy_curve import peer_curve
from benchmarks.accuracy_others import others_text
from benchmarks.accuracy_pages import RESULTS, check_unsigned, report_path, write_pages
from benchmarks.accuracy_plots import (
    Results,
    plot_by_age,
    plot_by_delay,
    plot_end_of_speech,
)
from benchmarks.accuracy_report import as_markdown
from benchmarks.accuracy_run import Run, begin
from benchmarks.accuracy_summary import targets_table
from benchmarks.accuracy_systems import (
    System,
    folder_of,
    left_by_model,
    left_by_peer,
    run_baselines,
    run_peer,
    run_service,
)
from benchmarks.accuracy_targets import outcomes
from benchmarks.accuracy_voices import left_rates, run_verification
from benchmarks.paths import DEFAULT_MODEL, ROOT, SPEECH
from benchmarks.provenance import provenance, write_report
from voiceflow.cli.evaluate.figures import finite
from voiceflow.cli.evaluate.report import measure
from voiceflow.errors import VoiceFlowError
from voiceflow.evaluation import PROTOCOL, EvaluationSet, scorer_version
from voiceflow.package import CARD_FILE, load_package

_Result = TypeVar("_Result")


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
        if arguments.write:
            check_unsigned(arguments.model)
        run = Run.read(arguments.out) if arguments.measure_only else _run(arguments, folders, sets)
        no_peer = run.no_peer or left_by_peer(sets, arguments.out)
        if arguments.no_peer:
            no_peer = "it was not asked for"
        unserved = {System.AGENT} - left_by_model(sets, arguments.out)
        left_out = {*unserved, *([System.PEER] if no_peer else [])}
        systems = [one for one in System if one not in left_out]
        results = _timed("measures", lambda: measured(arguments.out, sets, systems))
        report = _report(arguments.out, sets, results, run, no_peer)
        pages = write_pages(report, arguments.model) if arguments.write else []
        _write(arguments.json or report_path(arguments.model), results, report)
    except VoiceFlowError as error:
        sys.exit(f"{error.message} ({error.reason})")
    print(targets_table(report))
    for page in pages:
        print(f"{page} holds the summary")
    if arguments.write and arguments.model / CARD_FILE not in pages:
        print(f"{arguments.model / CARD_FILE} has no place for it and stays as it is")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL, help="model package")
    parser.add_argument("--data", type=Path, action="append", help="folder of conversations")
    parser.add_argument("--out", type=Path, default=ROOT / "var" / "accuracy")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--json", type=Path, help="default: accuracy.json in --out")
    where.add_argument("--write", action="store_true", help="to results, README and card")
    parser.add_argument("--no-peer", action="store_true", help="leave the peer out")
    parser.add_argument("--measure-only", action="store_true", help="run nothing")
    arguments = parser.parse_args()
    if arguments.write and arguments.data:
        parser.error("what is published is measured on all of the project's sets: no --data")
    arguments.data = arguments.data or [SPEECH / "simulated", SPEECH / "real"]
    if not arguments.write:
        arguments.json = arguments.json or arguments.out / "accuracy.json"
    return arguments


def _run(
    arguments: argparse.Namespace, folders: Mapping[str, Path], sets: list[EvaluationSet]
) -> Run:
    """Has every system tell of every set."""
    model, out = arguments.model, arguments.out
    package = load_package(model)
    origin = provenance(package, runs=1)
    begin(out)
    _timed("ours", lambda: run_service(model, sets, out))
    _timed("baselines", lambda: run_baselines(model, sets, out))
    no_peer: str | None = "it was not asked for"
    if not arguments.no_peer:
        no_peer = _timed("peer", lambda: run_peer(folders, sets, out))
    peer = no_peer is None
    no_rates = _timed("verification", lambda: run_verification(model, out, peer=peer))
    thresholds = package.manifest.operating_point.model_dump()
    run = Run(origin, thresholds, no_peer, no_rates)
    run.write(out)
    return run


def _report(
    out: Path, sets: Sequence[EvaluationSet], results: Results, run: Run, no_peer: str | None
) -> dict[str, Any]:
    """All of it, as JSON has it."""
    rates = left_rates(out, peer=no_peer is None)
    report = {
        "provenance": asdict(run.provenance),
        "operating_point": run.operating_point,
        "protocol": PROTOCOL,
        "scorer": scorer_version(),
        "no_peer": no_peer,
        "targets": [one.as_data() for one in outcomes(results, rates)],
        "equal_error_percent": rates,
        "no_peer_rates": run.no_peer_rates,
        "peer_curve": None if no_peer else peer_curve(out, sets),
        "sets": {
            name: {system: one.as_data() for system, one in reports.items()}
            for name, reports in results.items()
        },
    }
    return dict(finite(report))


def _write(path: Path, results: Results, report: Mapping[str, Any]) -> None:
    others = others_text(RESULTS, path.stem) if path.parent == RESULTS else ""
    write_report(path, report, as_markdown(results, report, path.stem, others))
    for name, plot in (
        ("by-delay", plot_by_delay),
        ("by-age", plot_by_age),
        ("end-of-speech", plot_end_of_speech),
    ):
        plot(results, path.with_name(f"{path.stem}-{name}.png"))


def _timed(what: str, act: Callable[[], _Result]) -> _Result:
    start = time.monotonic()
    result = act()
    print(f"{what}: {time.monotonic() - start:.0f} s", flush=True)
    return result


if __name__ == "__main__":
    main()
