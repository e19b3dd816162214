"""Runs a loaded model until it is warm, and measures on the way what a stream costs."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from voiceflow.artifact import SAMPLE_RATE_HERTZ, LatencyMode, Manifest
from voiceflow.contract import STREAM_CONTRACT
from voiceflow.pipeline.diarizer import StreamDiarizer
from voiceflow.pipeline.model import BoundModel, Frames, empty_state


@dataclass(frozen=True, slots=True)
class HopCost:
    """What one hop of one stream costs.

    Attributes:
        hop_seconds: Audio in it.
        engine_seconds: In the model, at the batch size where it is cheapest.
        pipeline_seconds: From frames to turns.
    """

    hop_seconds: float
    engine_seconds: float
    pipeline_seconds: float


def warm_up(model: BoundModel, batch_limit: int) -> dict[LatencyMode, HopCost]:
    """Runs every batch size of every latency mode.

    Returns:
        What a hop of each mode costs on this machine now.
    """
    return {
        mode: HopCost(
            samples / SAMPLE_RATE_HERTZ,
            min(_engine_seconds(model, samples, batch) for batch in range(1, batch_limit + 1)),
            _pipeline_seconds(model.manifest, samples // model.manifest.frame_samples),
        )
        for mode, samples in model.manifest.hop_samples.items()
    }


def joined_hops(model: BoundModel, most: int) -> int:
    """How many hops in one call it answers to, to the bit, as it does one by one: `most`, or 1.

    Of a windowed model each hop is a call.
    """
    manifest = model.manifest
    joins = manifest.contract == STREAM_CONTRACT and all(
        _joins(model, samples, hops)
        for samples in manifest.hop_samples.values()
        for hops in range(2, most + 1)
    )
    return max(1, most) if joins else 1


def streams_within(cost: HopCost, cores: int) -> float:
    """How many live streams the machine can carry.

    The engine and the event loop each have a thread; with one core they share it. Half of each is
    left for the transport, whose cost depends on how clients cut their audio, and for bursts.
    """
    if cores > 1:
        busiest = max(cost.engine_seconds, cost.pipeline_seconds)
    else:
        busiest = cost.engine_seconds + cost.pipeline_seconds
    return _USABLE_SHARE * cost.hop_seconds / busiest


def streams_at_once(costs: Mapping[LatencyMode, HopCost], cores: int) -> int:
    """Live streams of the cheapest mode that the machine can carry, one at least."""
    return max(1, int(max(streams_within(cost, cores) for cost in costs.values())))


def stream_costs(costs: Mapping[LatencyMode, HopCost], cores: int) -> dict[LatencyMode, float]:
    """Places that a stream of each mode takes: 1 for the cheapest."""
    most = max(streams_within(cost, cores) for cost in costs.values())
    return {mode: most / streams_within(cost, cores) for mode, cost in costs.items()}


def usable_cores(processes: int = 1) -> int:
    """Cores that each of so many processes like this one may count on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (cores or 1) // processes)


_USABLE_SHARE: Final = 0.5
_REPEATS: Final = 3
_PIPELINE_HOPS: Final = 50


def _engine_seconds(model: BoundModel, samples: int, batch: int) -> float:
    """Of one stream's hop in a batch of that size; the best of a few calls."""
    audio = np.random.default_rng(batch).uniform(-0.1, 0.1, (batch, samples)).astype(np.float32)
    state = empty_state(model, batch)
    taken = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        _, state = model.run(audio, state)
        taken.append(time.perf_counter() - started)
    return min(taken) / batch


def _joins(model: BoundModel, samples: int, hops: int) -> bool:
    """Of hops of one length, so many, of a stream that has heard as many before."""
    noise = np.random.default_rng(hops).uniform(-0.3, 0.3, (1, 2 * hops * samples))
    before, audio = np.split(noise.astype(np.float32), 2, axis=1)
    _, state = model.run(before, empty_state(model, 1))
    whole, whole_state = model.run(audio, state)
    parts = []
    for part in np.split(audio, hops, axis=1):
        frames, state = model.run(part, state)
        parts.append(frames)
    one_by_one = Frames.joined(parts)
    pairs = [
        (whole.speech, one_by_one.speech),
        (whole.activity, one_by_one.activity),
        (whole.embedding, one_by_one.embedding),
        *((whole_state[name], array) for name, array in state.items()),
    ]
    return all(np.array_equal(one, other) for one, other in pairs)


def _pipeline_seconds(manifest: Manifest, frames: int) -> float:
    """Of one hop, on average over a conversation of two voices; the best of a few runs."""
    rng = np.random.default_rng(0)
    voices = rng.standard_normal((2, manifest.embedding_dim))
    hops = []
    for hop in range(_PIPELINE_HOPS):
        noise = 0.1 * rng.standard_normal((frames, manifest.tracks, manifest.embedding_dim))
        embedding = voices[hop // 8 % 2] + noise  # (frames, tracks, dim)
        embedding /= np.linalg.norm(embedding, axis=2, keepdims=True)
        activity = np.zeros((frames, manifest.tracks), np.float32)
        activity[:, 0] = 0.9
        hops.append(
            Frames(np.full(frames, 0.9, np.float32), activity, embedding.astype(np.float32))
        )
    taken = []
    for _ in range(_REPEATS):
        diarizer = StreamDiarizer(manifest)
        started = time.perf_counter()
        for frames_of_hop in hops:
            diarizer.push(frames_of_hop)
        taken.append(time.perf_counter() - started)
    return min(taken) / len(hops)
