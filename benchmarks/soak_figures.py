"""What a soak of reload comes to: every stream compared with what it should be, memory, latency."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from benchmarks.artefacts import Artefact, Shelf
from benchmarks.callers import Call, latencies_between
from benchmarks.goldens import GoneOn, expected_regions
from benchmarks.provenance import Provenance
from benchmarks.zeros import not_zero
from voiceflow.artifact import SAMPLE_RATE_HERTZ, LatencyMode
from voiceflow.client import Moved
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow.pipeline.model import BoundModel

ALLOWED_GROWTH_PERCENT = 5.0
_EARLY_SWAPS = 10
_ROUNDS = 3
"""Of all artefacts, over which memory is measured: each leaves its own mark on it."""


@dataclass(slots=True)
class Seen:
    """What was measured besides the calls.

    Attributes:
        swap_seconds: How long each swap took.
        resident_bytes: Memory of the server after each, at rest.
        began: First moment of the first swap, on the event loop's clock.
        ended: Last moment of the last.
        others_percent: Of the machine, used by who takes no part.
    """

    swap_seconds: list[float]
    resident_bytes: list[int]
    began: float = 0.0
    ended: float = 0.0
    others_percent: float = 0.0


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one soak.

    Attributes:
        swaps: Versions after the first that came to serve.
        conversations: Held.
        carried: Moves of a stream with the model's memory.
        replayed: Moves with the last audio heard again.
        resumed: Streams that were told to go and went on in another one.
        streams_dropped: Conversations that did not end with a complete Summary.
        audio_lost_milliseconds: That no final region tells of, or that two do.
        labels_broken: Conversations told otherwise than the pipeline alone says.
        latency_p50_milliseconds: From the last sample of a hop until its result is there.
        latency_p99_milliseconds: Likewise.
        swap_p50_seconds: From a version in the folder until all streams have come to it.
        swap_max_seconds: Likewise.
        resident_early_megabytes: Memory of the server with one version loaded: the median of the
            readings after each of the twelve swaps that follow the tenth.
        resident_late_megabytes: Likewise, of the last twelve.
        growth_percent: Late over early.
        other_processes_percent: Share of the machine that went to processes that take no part.
        reasons: Why streams were dropped, each once.
    """

    swaps: int
    conversations: int
    carried: int
    replayed: int
    resumed: int
    streams_dropped: int
    audio_lost_milliseconds: float
    labels_broken: int
    latency_p50_milliseconds: float
    latency_p99_milliseconds: float
    swap_p50_seconds: float
    swap_max_seconds: float
    resident_early_megabytes: float
    resident_late_megabytes: float
    growth_percent: float
    other_processes_percent: float
    reasons: tuple[str, ...]

    def faults(self) -> list[str]:
        """What may not be; empty: it went as it should."""
        found = not_zero(self, ("streams_dropped", "audio_lost_milliseconds", "labels_broken"))
        if self.growth_percent > ALLOWED_GROWTH_PERCENT:
            found.append(f"memory has grown by {self.growth_percent} %")
        return found


def figures(
    calls: Sequence[Call],
    seen: Seen,
    shelf: Shelf,
    *,
    resume_context_seconds: float,
    processes: int,
) -> Figures:
    """What a soak comes to.

    Args:
        calls: That were made.
        seen: Besides them.
        shelf: Holds the versions that were served.
        resume_context_seconds: Audio that streams which resume were heard again with.
        processes: That compare.
    """
    done = [call for call in calls if not call.failure]
    steps = [step for call in calls for step in call.way]
    moves = Counter(step.how for step in steps if isinstance(step, Moved))
    packages = {one: shelf.package(one) for one in Artefact}
    judge = partial(_as_expected, packages, shelf.of_version, resume_context_seconds)
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        right = list(pool.map(judge, done, chunksize=4))
    latencies = 1000 * np.asarray(latencies_between(calls, seen.began, seen.ended))
    measured = _ROUNDS * len(Artefact)
    early = float(np.median(seen.resident_bytes[_EARLY_SWAPS:][:measured] or seen.resident_bytes))
    late = float(np.median(seen.resident_bytes[-measured:]))
    return Figures(
        swaps=len(seen.swap_seconds),
        conversations=len(calls),
        carried=moves["carried"],
        replayed=moves["replayed"],
        resumed=sum(isinstance(step, GoneOn) for step in steps),
        streams_dropped=len(calls) - len(done),
        audio_lost_milliseconds=sum(call.lost_samples() for call in done)
        * 1000
        / SAMPLE_RATE_HERTZ,
        labels_broken=right.count(False),
        latency_p50_milliseconds=round(float(np.percentile(latencies, 50)), 2),
        latency_p99_milliseconds=round(float(np.percentile(latencies, 99)), 2),
        swap_p50_seconds=round(float(np.percentile(seen.swap_seconds, 50)), 2),
        swap_max_seconds=round(max(seen.swap_seconds), 2),
        resident_early_megabytes=round(early / 1e6, 1),
        resident_late_megabytes=round(late / 1e6, 1),
        growth_percent=round(100 * (late / early - 1), 2),
        other_processes_percent=seen.others_percent,
        reasons=tuple(sorted({call.failure for call in calls} - {""})),
    )


def table(asked: str, origin: Provenance, found: Figures) -> str:
    """All of it for people, as Markdown.

    Args:
        asked: What was done, in words.
        origin: Of the figures.
        found: Those.
    """
    lines = [asked, "", f"{origin}", "", "| | |", "|---|---:|"]
    for name, value in asdict(found).items():
        if name != "reasons":
            lines.append(f"| {name.replace('_', ' ')} | {value:g} |")
    return "\n".join(
        [*lines, *([f"\nDropped with: {'; '.join(found.reasons)}"] * bool(found.reasons))]
    )


_MODELS: dict[Path, BoundModel] = {}
"""Of a process that compares."""


def _as_expected(
    packages: dict[Artefact, Path],
    of_version: dict[str, Artefact],
    resume_context_seconds: float,
    call: Call,
) -> bool:
    """Whether a conversation was told as the pipeline alone says."""
    versions = {call.first_version, *(step.model_version for step in call.way)}
    models = {}
    for version in versions:
        package = packages[of_version[version]]
        if package not in _MODELS:
            _MODELS[package] = bind(load_package(package))
        models[version] = _MODELS[package]
    try:
        expected = expected_regions(
            call.audio,
            call.first_version,
            call.way,
            models,
            LatencyMode.DENSITY,
            resume_context_seconds=resume_context_seconds,
        )
    except ValueError:
        return False
    return expected == call.partition()
