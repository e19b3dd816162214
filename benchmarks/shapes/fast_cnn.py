"""A plain convolutional network over the waveform: 2.3 M weights, a vector every 40 ms."""

from __future__ import annotations

from typing import Final

from benchmarks.shapes.graph import GraphBuilder

FRAME_SAMPLES: Final = 640
WIDTH: Final = 512

LAYERS: Final = (
    # inputs, outputs, kernel, stride, padding before and after
    (1, 64, 20, 10, (5, 5)),
    (64, 128, 8, 8, (0, 0)),
    (128, 256, 4, 4, (0, 0)),
    (256, 256, 4, 2, (1, 1)),
    (256, 512, 3, 1, (1, 1)),
    (512, 512, 3, 1, (1, 1)),
    (512, 512, 1, 1, (0, 0)),
    (512, 512, 1, 1, (0, 0)),
)


def add_trunk(graph: GraphBuilder, audio: str) -> str:
    """Adds the network without its heads.

    Args:
        graph: Gets the nodes.
        audio: (batch, window_samples).

    Returns:
        Features, (batch, frames, WIDTH).
    """
    value = graph.add("Unsqueeze", audio, graph.integers(1))
    for inputs, outputs, kernel, stride, pads in LAYERS:
        value = graph.conv(value, inputs, outputs, kernel, stride=stride, pads=pads)
        value = graph.add("Relu", value)
    return graph.add("Transpose", value, perm=[0, 2, 1])
