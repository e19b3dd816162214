"""Models far larger than the default one: alone, and through the service.

    python -m benchmarks.large_models [--calls 200] [--shapes wav2vec2-base …] [--json PATH]

For each shape of `benchmarks.shapes`: the model alone, one call after another on one thread, and
then one client that sends a recording of 3 s, a window, after another to a service of its own, by
`DiarizeFile`. A model is steady if the slowest call in a hundred takes little longer than the usual
one.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.alone import alone
from benchmarks.arguments import count
from benchmarks.audio import pcm16, talk
from benchmarks.machine import Processors
from benchmarks.peers.load import Call, cut
from benchmarks.peers.voiceflow.calls import connect
from benchmarks.process_tree import ProcessTree
from benchmarks.provenance import provenance, write_report
from benchmarks.service import Service, running_service
from benchmarks.shapes import SHAPES, write_package
from voiceflow.cli.evaluate.tables import number, table
from voiceflow.package import MODEL_FILE, ModelPackage, load_package

_AUDIO_SECONDS: Final = 60.0
_WARM_UP_CALLS: Final = 3
PATIENCE: Final = {"batch_limit": 4, "hang_seconds": 60.0, "load_seconds": 900.0}
"""Settings of the service, the same for each shape. A full batch of the usual 16 windows of 95 M
weights takes seconds, which the service would take for a call that hangs."""


@dataclass(frozen=True, slots=True)
class Times:
    """Of single calls, in milliseconds.

    Attributes:
        median: Of the calls.
        p95: Likewise.
        p99: Likewise.
        p99_to_median: How much longer the slowest in a hundred take.
        cpu_per_call: Processor time of the model, or of the service.
    """

    median: float
    p95: float
    p99: float
    p99_to_median: float
    cpu_per_call: float


@dataclass(frozen=True, slots=True)
class Large:
    """A shape.

    Attributes:
        name: Of it.
        digest: Of its `model.onnx`.
        parameters: Its weights, without the heads.
        published_parameters: What is said of them.
        source: Who says so.
        model_bytes: Of `model.onnx`.
        bare: The model alone.
        served: Through the service, seen by its client.
        resident_megabytes: Memory of the service at the end.
        others_percent: Share of the machine that went to other processes while it served.
    """

    name: str
    digest: str
    parameters: int
    published_parameters: int
    source: str
    model_bytes: int
    bare: Times
    served: Times
    resident_megabytes: float
    others_percent: float


def times(latencies: Sequence[float], cpu_seconds: float) -> Times:
    """Sums up calls.

    Args:
        latencies: In seconds.
        cpu_seconds: Of all of them.
    """
    median, p95, p99 = np.percentile(latencies, [50, 95, 99]) * 1000
    return Times(
        round(float(median), 2),
        round(float(p95), 2),
        round(float(p99), 2),
        round(float(p99 / median), 2),
        round(1000 * cpu_seconds / len(latencies), 2),
    )


def measure(name: str, windows: Sequence[bytes], calls: int, folder: Path) -> Large:
    """Makes a shape's package and measures it.

    Args:
        name: Of the shape.
        windows: Sent in turn.
        calls: Of each kind.
        folder: Of the package.
    """
    shape = SHAPES[name]
    built, packed = write_package(shape, folder)
    by_itself = alone(load_package(folder), calls=calls)
    with running_service(folder, log_level="warning", **PATIENCE) as service:
        taking_part = [service.process.pid, os.getpid()]
        before = Processors.now(taking_part)
        latencies, cpu_seconds = asyncio.run(_serve(service, windows, calls))
        others = Processors.now(taking_part).others_percent(before)
        resident = ProcessTree(service.process.pid).resident_bytes()
    return Large(
        name,
        packed.manifest.files[MODEL_FILE],
        built.trunk_parameters,
        shape.published_parameters,
        shape.source,
        packed.manifest.sizes[MODEL_FILE],
        times(by_itself.latencies, by_itself.cpu_seconds),
        times(latencies, cpu_seconds),
        round(resident / 1e6, 1),
        others,
    )


async def _serve(
    service: Service, windows: Sequence[bytes], calls: int
) -> tuple[list[float], float]:
    """Seconds of each call, and processor seconds of the service for all of them."""
    async with connect(service.address) as call:
        for number_of_call in range(_WARM_UP_CALLS):
            await call(windows[number_of_call % len(windows)])
        before = service.cpu_seconds()
        latencies = [await _seconds(call, windows[turn % len(windows)]) for turn in range(calls)]
        return latencies, service.cpu_seconds() - before


async def _seconds(call: Call, window: bytes) -> float:
    start = time.perf_counter()
    await call(window)
    return time.perf_counter() - start


def page(package: ModelPackage, calls: int, what: str, shapes: Sequence[Large]) -> str:
    """The report as Markdown."""
    rows = []
    for one in shapes:
        for how, seen in (("alone", one.bare), ("through the service", one.served)):
            rows.append(
                [
                    f"{one.name}, {how}",
                    *(number(value) for value in (seen.median, seen.p95, seen.p99)),
                    number(seen.p99_to_median, 2),
                    number(seen.cpu_per_call),
                ]
            )
    sizes = [
        [
            one.name,
            f"{one.parameters:,}",
            f"{one.published_parameters:,}",
            one.source,
            f"{one.model_bytes:,}",
            number(one.resident_megabytes, 0),
            number(one.others_percent),
        ]
        for one in shapes
    ]
    head = ["a window of 3 s", "median ms", "P95 ms", "P99 ms", "P99 / median", "CPU ms"]
    about = ["", "weights", "published", "by", "bytes", "service MB", "other processes %"]
    settings = ", ".join(f"{name} {value:g}" for name, value in PATIENCE.items())
    return "\n\n".join(
        [
            "# Large models through the service",
            f"Random weights; {calls} calls of each kind, one after another, one thread; {what}.",
            str(provenance(package, 1)),
            table(head, rows),
            table(about, sizes),
            "Weights are counted without the heads that the contract wants.",
            f"Settings of the service: {settings}.",
        ]
    )


def report(package: ModelPackage, calls: int, what: str, shapes: Sequence[Large]) -> dict[str, Any]:
    """All that is published; the provenance's model is the first shape's."""
    return {
        "provenance": asdict(provenance(package, 1)),
        "asked": {"calls": calls, "audio": what, "service": PATIENCE},
        "shapes": {one.name: asdict(one) for one in shapes},
    }


def main() -> None:
    """Prints the tables; writes JSON, and the tables beside it, where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=count, default=200, help="of each kind, for each shape")
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--json", type=Path, help="write here; the tables to the same name, .md")
    arguments = parser.parse_args()
    samples, what = talk(_AUDIO_SECONDS)
    windows = cut(pcm16(samples))
    with tempfile.TemporaryDirectory() as scratch:
        folders = {name: Path(scratch) / name for name in arguments.shapes}
        shapes = [
            measure(name, windows, arguments.calls, folder) for name, folder in folders.items()
        ]
        package = load_package(folders[arguments.shapes[0]])
    text = page(package, arguments.calls, what, shapes)
    print(text)
    if arguments.json:
        write_report(arguments.json, report(package, arguments.calls, what, shapes), text)


if __name__ == "__main__":
    main()
