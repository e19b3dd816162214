"""Wav2Vec2-base and DistilHuBERT, as published: seven convolutions, then transformer layers.

Baevski et al. 2020 (wav2vec 2.0), Chang et al. 2022 (DistilHuBERT): the layers of the latter are
those of the former, two of them. Masks and weight norms, which only training needs, are left out.
"""

from __future__ import annotations

from typing import Final

from benchmarks.shapes.graph import GraphBuilder

FRAME_SAMPLES: Final = 320
WIDTH: Final = 768

_CHANNELS: Final = 512
_KERNELS: Final = ((10, 5), (3, 2), (3, 2), (3, 2), (3, 2), (2, 2), (2, 2))
"""Of each convolution: its length and its stride; 320 samples and a receptive field of 400."""
_HEADS: Final = 12
_INNER: Final = 3072
_POSITION_KERNEL: Final = 128
_POSITION_GROUPS: Final = 16


def add_trunk(graph: GraphBuilder, audio: str, layers: int) -> str:
    """Adds the network without its heads.

    Args:
        graph: Gets the nodes.
        audio: (batch, window_samples).
        layers: Of the transformer.

    Returns:
        Features, (batch, frames, WIDTH).
    """
    value = _extract(graph, audio)
    value = graph.layer_norm(value, _CHANNELS)
    value = graph.dense(value, _CHANNELS, WIDTH)
    value = graph.layer_norm(graph.add("Add", value, _positions(graph, value)), WIDTH)
    for _ in range(layers):
        value = graph.layer_norm(graph.add("Add", value, _attend(graph, value)), WIDTH)
        inner = graph.add("Gelu", graph.dense(value, WIDTH, _INNER))
        value = graph.layer_norm(graph.add("Add", value, graph.dense(inner, _INNER, WIDTH)), WIDTH)
    return value


def _extract(graph: GraphBuilder, audio: str) -> str:
    """(batch, window_samples) to (batch, frames, channels)."""
    # 80 samples more than the window, so that it holds whole frames: 150 instead of 149.
    beyond = graph.add("Pad", audio, graph.integers(0, 40, 0, 40))
    value = graph.add("Unsqueeze", beyond, graph.integers(1))
    inputs = 1
    for kernel, stride in _KERNELS:
        value = graph.conv(value, inputs, _CHANNELS, kernel, stride=stride, bias=False)
        if inputs == 1:  # the first alone is normalised, each channel over time
            gain, bias = graph.ones(_CHANNELS), graph.weight(_CHANNELS, deviation=0.02)
            value = graph.add("InstanceNormalization", value, gain, bias, epsilon=1e-5)
        value = graph.add("Gelu", value)
        inputs = _CHANNELS
    return graph.add("Transpose", value, perm=[0, 2, 1])


def _positions(graph: GraphBuilder, value: str) -> str:
    """Where in the window each frame is, by a long convolution over its neighbours."""
    half = _POSITION_KERNEL // 2
    across = graph.add("Transpose", value, perm=[0, 2, 1])
    near = graph.conv(
        across, WIDTH, WIDTH, _POSITION_KERNEL, pads=(half, half - 1), groups=_POSITION_GROUPS
    )
    return graph.add("Transpose", graph.add("Gelu", near), perm=[0, 2, 1])


def _attend(graph: GraphBuilder, value: str) -> str:
    """Self-attention: (batch, frames, WIDTH) to the same."""
    queries, keys, values = (_split(graph, graph.dense(value, WIDTH, WIDTH)) for _ in range(3))
    scaled = graph.add("Mul", queries, graph.number((WIDTH // _HEADS) ** -0.5))
    scores = graph.add("MatMul", scaled, graph.add("Transpose", keys, perm=[0, 1, 3, 2]))
    heard = graph.add("MatMul", graph.add("Softmax", scores, axis=-1), values)
    together = graph.add("Transpose", heard, perm=[0, 2, 1, 3])
    joined = graph.add("Reshape", together, graph.integers(0, 0, WIDTH))
    return graph.dense(joined, WIDTH, WIDTH)


def _split(graph: GraphBuilder, value: str) -> str:
    """(batch, frames, WIDTH) to (batch, heads, frames, WIDTH / heads)."""
    parts = graph.add("Reshape", value, graph.integers(0, 0, _HEADS, WIDTH // _HEADS))
    return graph.add("Transpose", parts, perm=[0, 2, 1, 3])
