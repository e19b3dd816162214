"""Golden vectors: inputs of the graph and the outputs that they must give."""

from __future__ import annotations

import io

import numpy as np
import onnxruntime

from training.corpus import SAMPLE_RATE_HERTZ, Audio
from training.shape import FRAME_SAMPLES, Array, Shape, zero_states
from voiceflow.onnx.runtime import open_session

TOLERANCE = 1e-4
SEED = 9

Cases = dict[str, dict[str, Array]]


def golden_vectors(model: bytes, shape: Shape) -> bytes:
    """The content of `golden.npz` for this graph.

    Of a window two cases: two windows together, and one. Of a stream three: its start, two streams
    in the middle of theirs, and a hop of the agent mode. The audio is made here and is nobody's
    voice.
    """
    session = open_session(model, threads=1)
    rng = np.random.default_rng(SEED)
    window = shape.window_frames
    cases = _of_windows(rng, window) if window else _of_streams(rng, session)
    arrays: dict[str, Array] = {"tolerance": np.asarray(TOLERANCE, np.float32)}
    for case, feeds in cases.items():
        tensors = feeds | _run(session, feeds)
        arrays |= {f"{case}/{name}": value for name, value in tensors.items()}
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    return content.getvalue()


def _of_windows(rng: np.random.Generator, frames: int) -> Cases:
    audio = _signal(rng, 3, frames)
    return {"together": {"audio": audio[:2]}, "alone": {"audio": audio[2:]}}


def _of_streams(rng: np.random.Generator, session: onnxruntime.InferenceSession) -> Cases:
    before = _run(session, {"audio": _signal(rng, 2, 75)} | zero_states(2))
    memory = {f"state.{name[5:]}": value for name, value in before.items() if name[:5] == "next."}
    return {
        "start": {"audio": _signal(rng, 1, 12)} | zero_states(1),
        "middle": {"audio": _signal(rng, 2, 12)} | memory,
        "agent": {"audio": _signal(rng, 1, 2)} | {k: v[:1] for k, v in memory.items()},
    }


def _run(session: onnxruntime.InferenceSession, feeds: dict[str, Array]) -> dict[str, Array]:
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def _signal(rng: np.random.Generator, batch: int, frames: int) -> Audio:
    """Something like voiced speech: harmonics of a moving pitch, in bursts, over noise."""
    samples = frames * FRAME_SAMPLES
    seconds = np.arange(samples) / SAMPLE_RATE_HERTZ
    rows = []
    for _ in range(batch):
        pitch = rng.uniform(90, 240) * (1 + 0.1 * np.sin(2 * np.pi * rng.uniform(0.5, 2) * seconds))
        phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE_HERTZ
        voiced = sum(np.sin(k * phase) / k for k in range(1, 25))
        bursts = np.clip(np.sin(2 * np.pi * rng.uniform(0.7, 1.5) * seconds) * 2, 0, 1)
        rows.append(0.05 * voiced * bursts + 0.002 * rng.standard_normal(samples))
    return np.stack(rows).astype(np.float32)
