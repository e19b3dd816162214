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
LOCAL_SPEAKERS = 3
# Small beside the steps of 16-bit PCM, so that faint recordings keep their shape.
MEL_FLOOR = 1e-8
# Features are divided by this after the mean over the bands is taken out.
SHAPE_SCALE = 2.0
LEVEL_MEAN, LEVEL_SCALE = -8.0, 4.0

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Shape:
    """The sizes of a network; those of the stream by default.

    Attributes:
        window_frames: Of a network that hears windows as a whole; a stream has none.
    """

    channels: int = 176
    hidden: int = 464
    kernel: int = 5
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 1, 2, 4, 8, 16)
    head: int = 320
    embedding_dim: int = 128
    window_frames: int | None = None

    @property
    def activities(self) -> int:
        """What a frame is asked: speech and the tracks, or the local speakers of the window."""
        return LOCAL_SPEAKERS if self.window_frames else 1 + TRACKS

    @property
    def vectors(self) -> int:
        """Vectors of a frame: one for each track, or one that is pooled over the window."""
        return 1 if self.window_frames else TRACKS

    @property
    def context_frames(self) -> int:
        """Frames of the past that an answer rests on, itself included."""
        return 1 + (self.kernel - 1) * sum(self.dilations)


FAST_CNN_SHAPE = Shape(
    channels=256, hidden=512, dilations=2 * (1, 2, 4, 8), head=256, window_frames=75
)
"""Windows of 3 s."""


def zero_states(batch: int, shape: Shape | None = None) -> dict[str, Array]:
    """The memory at the start of a stream, by input name."""
    states = {"state.audio": np.zeros((batch, TAIL_SAMPLES), np.float32)}
    shape = shape or Shape()
    for index, dilation in enumerate(shape.dilations):
        past = (shape.kernel - 1) * dilation
        states[f"state.block{index}"] = np.zeros((batch, past, shape.channels), np.float32)
    return states
