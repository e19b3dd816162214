"""Live streams at real pace against the service, on one machine: `voiceflow bench streams`, kept.

    python -m benchmarks.streams --streams 200 --seconds 60 [--mode agent] [--runs 3] [--json PATH]

The same load, made by the same code (`voiceflow.bench`), with speech of ../shared where that is
there; each run has a service of its own. Writes what is published: figures with their provenance,
as JSON and as a table.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.arguments import count
from benchmarks.audio import pcm16, talk
from benchmarks.paths import DEFAULT_MODEL
from benchmarks.provenance import provenance, write_report
from benchmarks.service import running_service
from voiceflow.artifact import LatencyMode
from voiceflow.bench.figures import StreamFigures
from voiceflow.bench.live import Load, Server, speak
from voiceflow.bench.usage import allow_connections
from voiceflow.package import ModelPackage, load_package

TALK_SECONDS = 600.0


@contextmanager
def loaded_service(model: Path, room: int, **settings: float | str | Path) -> Iterator[Server]:
    """A service that lets in all that comes, for as long as it is put under load.

    Its own estimate of what this machine can carry is set aside: that is what is to be seen.

    Args:
        model: Package.
        room: For so many streams, and recordings.
        settings: More of them.
    """
    allow_connections()
    rooms = ("streams", "streams_per_principal", "files", "files_per_principal")
    admit_all = {"admission_lag_seconds": 1e6, "admission_real_time_factor": 1.0}
    fixed: dict[str, Any] = {**dict.fromkeys(rooms, room), **admit_all, "log_level": "warning"}
    with running_service(model, **fixed | settings) as service:
        yield Server.at(service.address)


def run(load: Load, model: Path, audio: bytes) -> StreamFigures:
    """Starts a service, loads it, ends it."""
    with loaded_service(model, 2 * load.streams) as server:
        return asyncio.run(speak(server, load, audio))


def report(
    package: ModelPackage, load: Load, what: str, runs: list[StreamFigures]
) -> dict[str, object]:
    """All that is published."""
    return {
        "provenance": asdict(provenance(package, len(runs))),
        "load": asdict(load) | {"audio": what, "at": time.strftime("%H:%M:%SZ", time.gmtime())},
        "runs": [asdict(figures_of_run) for figures_of_run in runs],
    }


def table(package: ModelPackage, load: Load, what: str, runs: list[StreamFigures]) -> str:
    """The same for people, as Markdown."""
    flat = [_flat(one) for one in runs]
    asked = (
        f"{load.streams} live streams of {load.seconds:g} s in {load.mode} mode, messages of"
        f" {load.message_milliseconds} ms, {what}; service and load generator on the same cores."
    )
    lines = [
        asked,
        "",
        f"{provenance(package, len(runs))}",
        "",
        "| |" + "".join(f" run {number} |" for number in range(1, len(runs) + 1)),
        "|---|" + "---:|" * len(runs),
    ]
    for name in flat[0]:
        values = "".join(f" {'-' if one[name] is None else f'{one[name]:g}'} |" for one in flat)
        lines.append(f"| {name.replace('_', ' ')} |{values}")
    reasons = sorted({reason for one in runs for reason in one.reasons})
    return "\n".join([*lines, *([f"\nFailed with: {', '.join(reasons)}"] if reasons else [])])


def _flat(figures: StreamFigures) -> dict[str, float | None]:
    told = asdict(figures)
    latency = told.pop("latency") or {}
    del told["reasons"], told["streams"], told["seconds"]
    return {f"latency_{name}": value for name, value in latency.items()} | told


def main() -> None:
    """Prints the table; writes JSON, and the table beside it, where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--streams", type=count, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--mode", type=LatencyMode, default=LatencyMode.DENSITY)
    parser.add_argument("--message-milliseconds", type=count, default=80)
    parser.add_argument("--runs", type=count, default=1)
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL, help="model package")
    parser.add_argument("--json", type=Path, help="write here; the table to the same name, .md")
    arguments = parser.parse_args()
    package = load_package(arguments.model)
    load = Load(
        streams=arguments.streams,
        seconds=arguments.seconds,
        mode=arguments.mode,
        message_milliseconds=arguments.message_milliseconds,
    )
    samples, what = talk(max(TALK_SECONDS, load.seconds))
    audio = pcm16(samples)
    runs = [run(load, arguments.model, audio) for _ in range(arguments.runs)]
    text = table(package, load, what, runs)
    print(text)
    if arguments.json:
        write_report(arguments.json, report(package, load, what, runs), text)


if __name__ == "__main__":
    main()
