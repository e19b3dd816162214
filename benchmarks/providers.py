"""The same model on each provider that a service can be told to compute on: cpu, cuda, tensorrt.

    python -m benchmarks.providers [--batches 1 4 8 16] [--streams 1 64 512 4096] [--json PATH]

Bare calls of one hop of the default model and one window of the windowed one, by provider and
batch: median, P95 and P99, and how many streams the calls alone would keep up with. More streams
than a batch holds are computed in several calls: how long a hop of so many streams takes. A
provider that this machine or this build of ONNX Runtime does not have is named, with why, and is
not left out in silence.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from benchmarks.arguments import count
from benchmarks.bare import Bare
from benchmarks.parts import Run, Setup, part_main
from voiceflow.artifact import SAMPLE_RATE_HERTZ, LatencyMode
from voiceflow.bench.figures import percentiles
from voiceflow.errors import VoiceFlowError
from voiceflow.package import ModelPackage, load_package
from voiceflow.provider import PROVIDERS, Provider

NAME: Final = "providers"
BATCHES: Final = (1, 4, 8, 16)
STREAMS: Final = (1, 16, 64, 256, 1024, 4096)

_CALLS: Final = 200


def measure(setup: Setup) -> Run:
    """One run."""
    return {
        provider: {
            told: _on(setup, load_package(path), provider) for told, path in setup.models.items()
        }
        for provider in PROVIDERS
    }


def _on(setup: Setup, package: ModelPackage, provider: Provider) -> dict[str, Any]:
    try:
        bare = Bare(package, provider=provider)
    except VoiceFlowError as error:
        return {"absent": error.message}
    calls = setup.count(_CALLS, least=5)
    batches = {}
    for batch in setup.arguments.batches:
        taken = percentiles(bare.call_seconds(batch, calls))
        assert taken is not None  # noqa: S101 - there is at least one call
        batches[str(batch)] = asdict(taken)
    medians = {int(batch): one["p50_milliseconds"] for batch, one in batches.items()}
    largest = max(medians)
    hop_seconds = package.manifest.hop_samples[LatencyMode.DENSITY] / SAMPLE_RATE_HERTZ
    return {
        "calls": calls,
        "by_batch": batches,
        "by_streams": {
            str(streams): round(hop_milliseconds(streams, medians), 3)
            for streams in setup.arguments.streams
        },
        "keeps_up_with": int(hop_seconds * 1000 / max(1e-6, medians[largest])) * largest,
    }


def hop_milliseconds(streams: int, medians: Mapping[int, float]) -> float:
    """Reckoned for a hop of so many streams: one call if a batch holds them, else full ones.

    Args:
        streams: Whose hops are due.
        medians: Milliseconds of a call, by its batch size.
    """
    batch = min((size for size in medians if size >= streams), default=max(medians))
    return math.ceil(streams / batch) * medians[batch]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Of this part."""
    parser.add_argument("--batches", type=count, nargs="+", default=list(BATCHES))
    parser.add_argument("--streams", type=count, nargs="+", default=list(STREAMS))


if __name__ == "__main__":
    part_main(NAME, __doc__, measure, arguments)
