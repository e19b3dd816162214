"""What every shape ends with: the outputs of contract diarization-window/1.0."""

from __future__ import annotations

from typing import Final

from benchmarks.shapes.graph import GraphBuilder

LOCAL_SPEAKERS: Final = 2
EMBEDDING_DIM: Final = 256

_ALIKE: Final = 8
"""ONNX Runtime rounds the last few elements of a Sigmoid otherwise than the rest: padded to whole
groups of so many frames, a window's answer does not depend on who stands beside it in the batch."""


def add_heads(graph: GraphBuilder, features: str, frames: int, width: int) -> None:
    """Adds `activity` and `embedding`.

    A local speaker's vector is made of the features of all frames, weighted by that speaker's
    activity.

    Args:
        graph: Gets the nodes.
        features: (batch, frames, width).
        frames: Of a window.
        width: Of a frame's features.
    """
    logits = graph.dense(features, width, LOCAL_SPEAKERS)
    padding = graph.integers(0, 0, 0, 0, -frames % _ALIKE, 0)
    padded = graph.add("Sigmoid", graph.add("Pad", logits, padding))
    bounds = (graph.integers(0), graph.integers(frames), graph.integers(1))
    activity = graph.add("Slice", padded, *bounds, output="activity")

    weights = graph.add("Transpose", activity, perm=[0, 2, 1])  # (batch, speakers, frames)
    shares = graph.add("Mul", weights, graph.number(1 / frames))
    pooled = graph.add("MatMul", shares, features)  # (batch, speakers, width)
    # A weight of its own for each speaker, or random ones would say nearly the same of both.
    apart = graph.add("Mul", pooled, graph.weight(LOCAL_SPEAKERS, width, deviation=1.0))
    vectors = graph.dense(apart, width, EMBEDDING_DIM)
    length = graph.add("ReduceL2", vectors, graph.integers(2), keepdims=1)
    graph.add("Div", vectors, length, output="embedding")
