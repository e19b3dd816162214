"""How much a gate gives a model: fixed for loading, in proportion to the audio for running."""

from __future__ import annotations

from typing import Final

from voiceflow.artifact import SAMPLE_RATE_HERTZ, Manifest
from voiceflow.package import MODEL_FILE
from voiceflow.validation.sandbox import Limits, address_space_bytes
from voiceflow.validation.values import Baseline, Candidate

LOADING_CPU_SECONDS: Final = 5.0
MAXIMUM_CPU_SECONDS: Final = 300.0
"""Of a process that runs a model, however much audio it is given."""

_WALL_FACTOR: Final = 4.0
"""Of a processor's time: other processes want it too."""
_WALL_SECONDS: Final = 10.0


def to_load(version: Candidate | Baseline) -> Limits:
    """For looking at a graph."""
    return _limits(version, LOADING_CPU_SECONDS, 1024**2)


def to_run(
    version: Candidate | Baseline,
    audio_seconds: float,
    *,
    maximum_cpu_seconds: float = MAXIMUM_CPU_SECONDS,
    reply_bytes: int = 4 * 1024**2,
) -> Limits:
    """For running a model: a core must keep up with the audio."""
    cpu_seconds = min(LOADING_CPU_SECONDS + audio_seconds, maximum_cpu_seconds)
    return _limits(version, cpu_seconds, reply_bytes)


def call_seconds(manifest: Manifest) -> float:
    """Audio that one row of a call hears."""
    samples = manifest.window_samples or max(manifest.hop_samples.values())
    return samples / SAMPLE_RATE_HERTZ


def _limits(version: Candidate | Baseline, cpu_seconds: float, reply_bytes: int) -> Limits:
    return Limits(
        cpu_seconds=cpu_seconds,
        wall_seconds=_WALL_SECONDS + _WALL_FACTOR * cpu_seconds,
        address_space_bytes=address_space_bytes((version.folder / MODEL_FILE).stat().st_size),
        reply_bytes=reply_bytes,
    )
