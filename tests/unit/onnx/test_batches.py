"""Batching must not change answers: a stream's outputs are the same bits in any company."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.paths import DEFAULT_MODEL
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow.pipeline.model import BoundModel, FloatArray, empty_state

STREAMS = 32
HOPS = 3


@pytest.fixture(scope="module", params=["default", "tiny stream", "tiny window"])
def model(request: pytest.FixtureRequest, stream_package: Path, window_package: Path) -> BoundModel:
    """The committed model, and a tiny one of each contract."""
    folders = {
        "default": DEFAULT_MODEL,
        "tiny stream": stream_package,
        "tiny window": window_package,
    }
    return bind(load_package(folders[request.param]))


@pytest.fixture(scope="module")
def voices() -> FloatArray:
    """A different noise for each stream, at speech-like levels, (streams, samples)."""
    random = np.random.default_rng(7)
    levels = random.uniform(0.01, 0.5, (STREAMS, 1))
    samples = random.standard_normal((STREAMS, HOPS * 7680)) * levels
    return samples.clip(-1, 1).astype(np.float32)


def heard(model: BoundModel, voices: FloatArray, hop_frames: int) -> list[list[bytes]]:
    """All that a model says of streams that run together.

    Returns:
        For each stream, for each hop, the bits of every output and of the memory.
    """
    hop_samples = hop_frames * model.manifest.frame_samples
    state = empty_state(model, len(voices))
    said: list[list[bytes]] = [[] for _ in voices]
    for hop in range(HOPS):
        audio = voices[:, hop * hop_samples : (hop + 1) * hop_samples]
        frames, state = model.run(np.ascontiguousarray(audio), state)
        outputs = [frames.speech, frames.activity, frames.embedding, *state.values()]
        for stream, words in enumerate(said):
            words.append(b"".join(output[stream].tobytes() for output in outputs))
    return said


@pytest.mark.parametrize("hop_frames", [12, 2, 1])
def test_every_batch_size_gives_the_same_bits(
    model: BoundModel, voices: FloatArray, hop_frames: int
) -> None:
    """Hops of both latency modes and the shortest there is, 1 to 32 streams together."""
    alone = [heard(model, voices[n : n + 1], hop_frames)[0] for n in range(STREAMS)]
    for batch in range(1, STREAMS + 1):
        assert heard(model, voices[:batch], hop_frames) == alone[:batch], f"batch of {batch}"


@pytest.mark.parametrize("hop_frames", [12, 2])
def test_the_place_in_the_batch_gives_the_same_bits(
    model: BoundModel, voices: FloatArray, hop_frames: int
) -> None:
    """A stream may stand anywhere among the others."""
    ordered = heard(model, voices, hop_frames)
    order = np.random.default_rng(3).permutation(STREAMS)
    shuffled = heard(model, voices[order], hop_frames)
    assert shuffled == [ordered[n] for n in order]
