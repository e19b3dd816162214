"""A closed loop of 20 clients, beside what the model alone could do at most.

    python -m benchmarks.throughput [--window-model FOLDER] [--runs 3] [--json PATH]

In each run and for each model by turns: `InferenceSession.run` in a loop, with the threads that a
service uses, as many at once as the service has engines and as the machine has cores, at each batch
size; and the service under 20 clients, each of which sends 3 s of PCM16 a call and waits for the
answer: by `DiarizeFile`, and by `Diarize`. What a call makes the model compute is counted by the
service's own cutter of hops: windows, or hops with the part that the last one is.

Three ratios are given, all of rows (windows or hops) computed, service over the bare loop at its
best batch size:

- raw: a second of wall time of either;
- clients accounted: as raw, but each divided by the share of the machine's processor time that was
  left to it, which is all that neither clients nor other processes took meanwhile;
- by processor time: a second of processor time of either. What this misses are waits.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from benchmarks.bare import Bare, Throughput, rows_of
from benchmarks.machine import Processors
from benchmarks.model_call import BATCHES
from benchmarks.parts import Run, Setup, part_main
from voiceflow.bench.calls import CallLoad, Method, call
from voiceflow.package import load_package

NAME: Final = "throughput"
CLIENTS: Final = 20
AUDIO_SECONDS: Final = 3.0

_BARE_SECONDS: Final = 5.0
_SERVED_SECONDS: Final = 20.0


def measure(setup: Setup) -> Run:
    """One run."""
    return {told: _of_model(setup, path) for told, path in setup.models.items()}


def _of_model(setup: Setup, path: Path) -> dict[str, Any]:
    package = load_package(path)
    bare = Bare(package)
    cores = os.cpu_count() or 1
    callers = {"engines": setup.engines, "cores": cores}
    loops = {name: _bare(bare, setup, number) for name, number in callers.items()}
    rows = rows_of(package.manifest, AUDIO_SECONDS)
    found: dict[str, Any] = {"bare": loops, "rows_per_call": rows, "callers": callers}
    with setup.service(path, 2 * CLIENTS) as server:
        for method in Method:
            load = CallLoad(
                CLIENTS, setup.seconds(_SERVED_SECONDS, least=0.2), AUDIO_SECONDS, method
            )
            served = asdict(asyncio.run(call(server, load, setup.audio)))
            found[method.value] = {
                "served": served,
                "ratios": {name: ratios(served, rows, loop) for name, loop in loops.items()},
            }
    return found


def _bare(bare: Bare, setup: Setup, callers: int) -> dict[str, Any]:
    """The loop at each batch size; `others_percent` is of all of them together."""
    seconds = setup.seconds(_BARE_SECONDS, least=0.05)
    before = Processors.now([os.getpid()])
    found = {batch: bare.throughput(batch, seconds, callers) for batch in BATCHES}
    others = Processors.now([os.getpid()]).others_percent(before)
    best: Throughput = max(found.values(), key=lambda one: one.rows_per_second)
    return {
        "by_batch": {str(batch): asdict(one) for batch, one in found.items()},
        "best": asdict(best),
        "others_percent": others,
    }


def ratios(served: Run, rows_per_call: float, loop: Run) -> dict[str, float | None]:
    """The service over the bare loop; see the module.

    Args:
        served: `CallFigures`.
        rows_per_call: That the model computes for a call.
        loop: What `_bare` gives.
    """
    best = loop["best"]
    rate, accounted = best["rows_per_second"], served["calls_per_second_accounted"]
    left = max(0.01, 1 - loop["others_percent"] / 100)
    per_cpu = served["calls_per_server_cpu_second"]
    return {
        "raw": _ratio(served["calls_per_second"], rows_per_call / rate),
        "clients_accounted": _ratio(accounted, rows_per_call * left / rate),
        "by_processor_time": _ratio(per_cpu, rows_per_call / best["rows_per_cpu_second"]),
    }


def _ratio(calls: float | None, bare: float) -> float | None:
    return None if calls is None else round(calls * bare, 4)


if __name__ == "__main__":
    part_main(NAME, __doc__, measure)
