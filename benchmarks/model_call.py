"""One model call: bare `session.run` on one thread, alone and beside a service under load.

    python -m benchmarks.model_call [--window-model FOLDER] [--runs 3] [--json PATH]

For the windowed and the default model: median, P95 and P99 of at least 200 calls after warm-up, by
batch; for the default model also for a second of audio. Then the windowed model again, one window
a call, while a service of the same package on the same machine serves 20 paced clients, each of
which sends 3 s twice a second.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any, Final

from benchmarks.background import background
from benchmarks.bare import Bare
from benchmarks.parts import Run, Setup, part_main
from voiceflow.artifact import SAMPLE_RATE_HERTZ
from voiceflow.bench.figures import percentiles
from voiceflow.package import load_package

NAME: Final = "model_call"
BATCHES: Final = (1, 4, 8, 16)
CLIENTS: Final = 20

_CALLS: Final = 200
_SERVED_SECONDS: Final = 30.0
_PAUSE_SECONDS: Final = 0.02
_ENDING_SECONDS: Final = 0.5


def measure(setup: Setup) -> Run:
    """One run."""
    calls = setup.count(_CALLS, least=5)
    found: Run = {"calls": calls}
    for told, path in setup.models.items():
        bare = Bare(load_package(path))
        found[told] = {str(batch): _called(bare, batch, calls) for batch in BATCHES}
    found["default_model_megabytes"] = len(load_package(setup.model).model_bytes) / 1e6
    found["served"] = _beside_service(setup)
    return found


def _called(bare: Bare, batch: int, calls: int) -> dict[str, Any]:
    taken = percentiles(bare.call_seconds(batch, calls))
    assert taken is not None  # noqa: S101 - there is at least one call
    audio_seconds = batch * bare.row_samples / SAMPLE_RATE_HERTZ
    per_second = round(taken.p50_milliseconds / audio_seconds, 4)
    return {"call": asdict(taken), "milliseconds_per_audio_second": per_second}


def _beside_service(setup: Setup) -> dict[str, Any]:
    seconds = setup.seconds(_SERVED_SECONDS)
    windowed = setup.models["windowed"]
    bare = Bare(load_package(windowed))
    paced = ("calls", "--clients", str(CLIENTS), "--every", "0.5", "--seconds", str(seconds))
    with (
        setup.service(windowed, 2 * CLIENTS) as server,
        background(server, *paced) as load,
    ):
        taken = bare.seconds_while(lambda: load.running, _PAUSE_SECONDS)
        end = time.perf_counter() - _ENDING_SECONDS
        clients = load.figures()
    # The load begins a while after its process.
    found = percentiles(one.seconds for one in taken if end - seconds < one.at < end)
    return {"call": found and asdict(found), "clients": clients}


if __name__ == "__main__":
    part_main(NAME, __doc__, measure)
