"""Golden vectors: inputs of a graph, made from a seed, and the outputs that it gives for them.

The audio is made here and is nobody's voice.
"""

from __future__ import annotations

import io
from typing import Final

import numpy as np

from voiceflow.artifact import SAMPLE_RATE_HERTZ, LatencyMode, Manifest
from voiceflow.contract import STREAM_CONTRACT
from voiceflow.errors import PackageInvalid
from voiceflow.packing.graph import FloatArray, Graph

TOLERANCE: Final = 1e-4
"""How far another machine's outputs may be from these, unless something else is stated."""

_SEED: Final = 9
_WARM_UP_HOPS: Final = 6

_Case = dict[str, FloatArray]


def golden_vectors(graph: Graph, manifest: Manifest, *, tolerance: float = TOLERANCE) -> bytes:
    """The content of `golden.npz` for a graph: the same for the same graph and manifest.

    A stateful model is run from the start of a stream and from the middle of two; a windowed one on
    whole windows.

    Args:
        graph: The graph.
        manifest: Says how much audio a call covers; its files are not looked at.
        tolerance: To be stated with the vectors.

    Raises:
        PackageInvalid: GRAPH_FAILED, or GOLDEN_NOT_FINITE: the graph gives NaN or infinity.
    """
    rng = np.random.default_rng(_SEED)
    stateful = manifest.contract == STREAM_CONTRACT
    cases = _stream_cases(graph, manifest, rng) if stateful else _window_cases(manifest, rng)
    arrays: dict[str, FloatArray] = {"tolerance": np.asarray(tolerance, np.float32)}
    for case, feeds in cases.items():
        outputs = graph.run(feeds)
        for name, value in outputs.items():
            if not np.isfinite(value).all():
                raise PackageInvalid(
                    f"model.onnx: gives NaN or infinity in {name} for {case}; allowed are finite"
                    " numbers for any audio: mend the graph",
                    reason="GOLDEN_NOT_FINITE",
                    field="files.model.onnx",
                )
        arrays |= {f"{case}/{name}": value for name, value in (feeds | outputs).items()}
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    return content.getvalue()


def _stream_cases(graph: Graph, manifest: Manifest, rng: np.random.Generator) -> dict[str, _Case]:
    hop = manifest.hop_samples.get(LatencyMode.DENSITY) or max(manifest.hop_samples.values())
    shortest = min(manifest.hop_samples.values())
    before = graph.run({"audio": _voice(rng, 2, _WARM_UP_HOPS * hop)} | graph.zero_state(2))
    memory = {f"state.{name[5:]}": value for name, value in before.items() if name[:5] == "next."}
    one = {name: value[:1] for name, value in memory.items()}
    return {
        "silence": {"audio": np.zeros((1, hop), np.float32)} | graph.zero_state(1),
        "start": {"audio": _voice(rng, 1, hop)} | graph.zero_state(1),
        "middle": {"audio": _voice(rng, 2, hop)} | memory,
        "noise": {"audio": _noise(rng, 2, hop)} | memory,
        "ramp": {"audio": _ramp(hop)} | one,
        "shortest": {"audio": _voice(rng, 1, shortest)} | one,
    }


def _window_cases(manifest: Manifest, rng: np.random.Generator) -> dict[str, _Case]:
    window = manifest.window_samples or 0
    return {
        "silence": {"audio": np.zeros((1, window), np.float32)},
        "voice": {"audio": _voice(rng, 2, window)},
        "noise": {"audio": _noise(rng, 2, window)},
        "ramp": {"audio": _ramp(window)},
    }


def _voice(rng: np.random.Generator, batch: int, samples: int) -> FloatArray:
    """Something like voiced speech: harmonics of a moving pitch, in bursts, over noise."""
    seconds = np.arange(samples) / SAMPLE_RATE_HERTZ
    rows = []
    for _ in range(batch):
        pitch = rng.uniform(90, 240) * (1 + 0.1 * np.sin(2 * np.pi * rng.uniform(0.5, 2) * seconds))
        phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE_HERTZ
        voiced = np.sum([np.sin(k * phase) / k for k in range(1, 25)], axis=0)
        bursts = np.clip(np.sin(2 * np.pi * rng.uniform(0.7, 1.5) * seconds) * 2, 0, 1)
        rows.append(0.05 * voiced * bursts + 0.002 * rng.standard_normal(samples))
    return np.stack(rows).astype(np.float32)


def _noise(rng: np.random.Generator, batch: int, samples: int) -> FloatArray:
    """Loud noise, (batch, samples)."""
    return rng.uniform(-0.5, 0.5, (batch, samples)).astype(np.float32)


def _ramp(samples: int) -> FloatArray:
    """From one end of full scale to the other, (1, samples)."""
    return np.linspace(-1.0, 1.0, samples, dtype=np.float32)[None]
