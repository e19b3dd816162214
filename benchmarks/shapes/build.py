"""The shapes, and how a package is made of one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from onnx import ModelProto

from benchmarks.shapes import fast_cnn, transformer
from benchmarks.shapes.graph import GraphBuilder
from benchmarks.shapes.heads import EMBEDDING_DIM, LOCAL_SPEAKERS, add_heads
from voiceflow.artifact import SAMPLE_RATE_HERTZ, LatencyMode
from voiceflow.packing import Packed, pack

WINDOW_SECONDS: Final = 3
_WINDOW_SAMPLES: Final = WINDOW_SECONDS * SAMPLE_RATE_HERTZ
_SEED: Final = 20


@dataclass(frozen=True, slots=True)
class Shape:
    """A network that others have published, or claimed figures of.

    Attributes:
        name: `fast-cnn`.
        what: In words.
        published_parameters: What is said of its number of weights.
        source: Who says so.
        frame_samples: Audio of one output step.
        width: Of a step's features.
        trunk: Adds all but the heads to a graph.
    """

    name: str
    what: str
    published_parameters: int
    source: str
    frame_samples: int
    width: int
    trunk: Callable[[GraphBuilder, str], str]


@dataclass(frozen=True, slots=True)
class Built:
    """A graph.

    Attributes:
        model: Contract diarization-window/1.0.
        trunk_parameters: Weights without the heads, which are ours.
        parameters: All of them.
    """

    model: ModelProto
    trunk_parameters: int
    parameters: int


SHAPES: Final[Mapping[str, Shape]] = {
    shape.name: shape
    for shape in (
        Shape(
            "fast-cnn",
            "a plain convolutional network over the waveform",
            2_300_000,
            "the figure that the speed targets name",
            fast_cnn.FRAME_SAMPLES,
            fast_cnn.WIDTH,
            fast_cnn.add_trunk,
        ),
        Shape(
            "distilhubert",
            "DistilHuBERT: seven convolutions, two transformer layers",
            23_490_000,
            "Chang et al. 2022, table 1",
            transformer.FRAME_SAMPLES,
            transformer.WIDTH,
            partial(transformer.add_trunk, layers=2),
        ),
        Shape(
            "wav2vec2-base",
            "Wav2Vec2-base: seven convolutions, twelve transformer layers",
            95_040_000,
            "Yang et al. 2021 (SUPERB), table 1, with what only pre-training needs",
            transformer.FRAME_SAMPLES,
            transformer.WIDTH,
            partial(transformer.add_trunk, layers=12),
        ),
    )
}


def build(shape: Shape) -> Built:
    """The graph of a shape, the same bytes each time."""
    graph = GraphBuilder(_SEED)
    features = shape.trunk(graph, "audio")
    trunk_parameters = graph.parameters
    frames = _WINDOW_SAMPLES // shape.frame_samples
    add_heads(graph, features, frames, shape.width)
    model = graph.model(
        shape.name,
        {"audio": ("batch", _WINDOW_SAMPLES)},
        {
            "activity": ("batch", frames, LOCAL_SPEAKERS),
            "embedding": ("batch", LOCAL_SPEAKERS, EMBEDDING_DIM),
        },
    )
    return Built(model, trunk_parameters, graph.parameters)


def write_package(
    shape: Shape, folder: Path, *, hop_seconds: float = WINDOW_SECONDS
) -> tuple[Built, Packed]:
    """Writes a model package with random weights.

    Args:
        shape: Of the network.
        folder: Is made if it is not there; a package of the same shape in it is replaced.
        hop_seconds: Audio between two windows, in whole frames. By default a window, so that
            a recording of 3 s is one call of the model.

    Raises:
        PackageInvalid: The hop is not of whole frames or longer than a window, or the folder
            holds something else or cannot be written.
    """
    built = build(shape)
    stated = {
        "model": shape.name,
        "version": "1.0.0",
        "licence": "Apache-2.0",
        "look_ahead_frames": 0,
        "hop_samples": {LatencyMode.DENSITY.value: round(hop_seconds * SAMPLE_RATE_HERTZ)},
    }
    with tempfile.TemporaryDirectory() as scratch:
        graph, card = Path(scratch) / "model.onnx", Path(scratch) / "README.md"
        graph.write_bytes(built.model.SerializeToString())
        card.write_text(_card(shape, built), "utf-8")
        return built, pack(graph, stated, folder=folder, card=card)


def _card(shape: Shape, built: Built) -> str:
    return f"""\
# {shape.name}

The shape of {shape.what}, with random weights: for measuring speed. It has learnt nothing, and
what it says of audio means nothing.

{built.trunk_parameters:,} weights, and {built.parameters - built.trunk_parameters:,} in its heads;
published: {shape.published_parameters:,} ({shape.source}).
"""
