"""Speed and scale, all of it, and one report: `make bench`.

    python -m benchmarks.bench [--only PART ...] [--report-only] [--write] [--out FOLDER]
        [--model FOLDER] [--window-model FOLDER] [--runs N] [--scale X] [--set NAME=VALUE ...]

Runs every part in a process of its own, and makes a report of what they have written: a part can be
run again alone, and the report made anew with --report-only. JSON, Markdown and pictures go to
--out or, with --write, where what is published lies; the summary then goes into the README, and the
table of pods and cost into docs/capacity.md. A part that fails is named and left out; the exit code
is 1 then.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from benchmarks import (
    cost,
    density,
    growth,
    latency,
    lifecycle,
    long_run,
    model_call,
    overhead,
    providers,
    throughput,
)
from benchmarks.arguments import count
from benchmarks.bench_plots import plot
from benchmarks.bench_report import (
    Beside,
    as_markdown,
    capacity,
    of_other_models,
    stand_ins,
    summary,
)
from benchmarks.bench_rows import Documents, Row, rows, shape_rows
from benchmarks.blocks import block_of, with_block
from benchmarks.parts import OUT
from benchmarks.paths import ROOT
from benchmarks.provenance import write_report

PARTS: Final = tuple(
    part.NAME
    for part in (
        model_call,
        latency,
        throughput,
        overhead,
        density,
        growth,
        lifecycle,
        providers,
        cost,
    )
)
BY_HAND: Final = (long_run.NAME,)
"""Parts that take hours, and are run when somebody asks for them."""

BESIDE: Final = ("peers", "large-models", "workers")
"""What other commands publish by these names, and `Beside` holds."""

RESULTS: Final = ROOT / "benchmarks" / "results"
README: Final = ROOT / "README.md"
CAPACITY: Final = ROOT / "docs" / "capacity.md"

_PASSED_ON: Final = ("model", "window_model", "runs", "scale")


def main() -> None:
    """Runs the parts and writes the report."""
    arguments = _arguments()
    failed = []
    if not arguments.report_only:
        arguments.out.mkdir(parents=True, exist_ok=True)
        failed = [part for part in arguments.only or PARTS if not _run(part, arguments)]
    documents = read_documents(arguments.out)
    if not documents:
        sys.exit(f"{arguments.out} holds nothing that a part has written")
    if arguments.write and (parts := stand_ins(documents)):
        sys.exit(f"not to be published, without --window-model: {', '.join(parts)}")
    if arguments.write and (told := of_other_models(documents)):
        sys.exit(f"not to be published, parts tell of different models: {told}")
    where = RESULTS if arguments.write else arguments.out
    beside = Beside(*(read_published(RESULTS / f"{name}.json") for name in BESIDE))
    text = write(documents, where, beside)
    if arguments.write:
        write_block(README, "speed", summary(documents, all_rows(documents, beside), beside))
        if planned := capacity(documents):
            write_block(CAPACITY, "capacity", planned)
    print(text)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def read_documents(folder: Path) -> dict[str, dict[str, Any]]:
    """What parts have left in a folder, by the name of the file, in the order of the report."""
    order = [*PARTS, *BY_HAND]
    found = {path.stem: path for path in sorted(folder.glob("*.json"))}
    names = [name for name in order if name in found]
    return {name: json.loads(found[name].read_text("utf-8")) for name in names}


def read_published(path: Path) -> dict[str, Any]:
    """What another command has published; empty: it did not."""
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def all_rows(documents: Documents, beside: Beside) -> list[Row]:
    """Targets, and what large models took."""
    return [*rows(documents), *shape_rows(beside.large_models.get("shapes", {}))]


def write(documents: Documents, folder: Path, beside: Beside) -> str:
    """Writes the report as `bench.json`, `bench.md` and pictures; gives its text."""
    told = all_rows(documents, beside)
    text = as_markdown(documents, told, beside)
    report = {"rows": [row.as_data() for row in told], "parts": documents, **asdict(beside)}
    write_report(folder / "bench.json", report, text)
    plot(documents, folder)
    return text


def write_block(page: Path, name: str, text: str) -> None:
    """Puts a text between the marks of this name.

    Raises:
        ValueError: They are not there.
    """
    before = page.read_text("utf-8")
    if block_of(before, name) is None:
        raise ValueError(f"{page} has no marks for {name}")
    page.write_text(with_block(before, name, text), "utf-8")


def _run(part: str, arguments: argparse.Namespace) -> bool:
    """Runs a part, and leaves nothing of an earlier run; False: it failed."""
    left = arguments.out / f"{part}.json"
    left.unlink(missing_ok=True)
    command = [sys.executable, "-m", f"benchmarks.{part}", "--json", left]
    if part == cost.NAME:
        command += ["--density", arguments.out / f"{density.NAME}.json", *arguments.cost]
    else:
        for name in _PASSED_ON:
            value = getattr(arguments, name)
            command += [] if value is None else [f"--{name.replace('_', '-')}", value]
        command += [word for one in arguments.set for word in ("--set", one)]
    print(f"{part} …", flush=True)
    return subprocess.run([*map(str, command)], check=False, cwd=ROOT).returncode == 0  # noqa: S603


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=[*PARTS, *BY_HAND], help="run these alone")
    parser.add_argument("--report-only", action="store_true", help="run nothing")
    parser.add_argument("--write", action="store_true", help="to results, README and docs")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--model", type=Path, help="streaming package")
    parser.add_argument("--window-model", type=Path, help="windowed package")
    parser.add_argument("--runs", type=count, help="of each part; unset: as each has it")
    parser.add_argument("--scale", type=float, help="of how long everything lasts")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument(
        "--cost", nargs=argparse.REMAINDER, default=[], help="last: options of benchmarks.cost"
    )
    arguments = parser.parse_args()
    arguments.out = arguments.out.resolve()
    return arguments


if __name__ == "__main__":
    main()
