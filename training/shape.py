"""The sizes of the network and of its features, and the memory at the start of a stream."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FRAME_SAMPLES = 640
WINDOW_SAMPLES = 400
HOP_SAMPLES = 160
TAIL_SAMPLES = WINDOW_SAMPLES - HOP_SAMPLES
MEL_BANDS = 64
STACKED = FRAME_SAMPLES // HOP_SAMPLES
LOOK_AHEAD_FRAMES = 12
TRACKS = 2
# Small beside the steps of 16-bit PCM, so that faint recordings keep their shape.
MEL_FLOOR = 1e-8
# Features are divided by this after the mean over the bands is taken out.
SHAPE_SCALE = 2.0
LEVEL_MEAN, LEVEL_SCALE = -8.0, 4.0

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Shape:
    """The sizes of the trunk."""

    channels: int = 176
    hidden: int = 352
    kernel: int = 5
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 1, 2, 4, 8, 16)
    head: int = 256
    embedding_dim: int = 128

    @property
    def context_frames(self) -> int:
        """Frames of the past that an answer rests on, itself included."""
        return 1 + (self.kernel - 1) * sum(self.dilations)


def zero_states(batch: int, shape: Shape | None = None) -> dict[str, Array]:
    """The memory at the start of a stream, by input name."""
    states = {"state.audio": np.zeros((batch, TAIL_SAMPLES), np.float32)}
    shape = shape or Shape()
    for index, dilation in enumerate(shape.dilations):
        past = (shape.kernel - 1) * dilation
        states[f"state.block{index}"] = np.zeros((batch, past, shape.channels), np.float32)
    return states
