"""The two networks: one that follows a stream, and one that hears a window as a whole.

`export.py` writes the same computations as ONNX graphs, that of the stream with the memory of every
layer going in and out. Nothing reaches across the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from training.shape import Shape
from training.trunk import Trunk

CLEAR = 0.9
"""How much less a frame counts for one speaker of a window where another speaks for certain."""
LEAST_WEIGHT = 1e-3


class StreamNetwork(Trunk):
    """Hears the past alone: speech, two tracks, and a vector for each."""

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and embeddings of every frame.

        Args:
            features: (batch, 4 * frames, 64) from `log_mel`.

        Returns:
            Logits of speech and of the two tracks, (batch, frames, 3), and embeddings,
            (batch, frames, 2, dim), unit length. Tracks and embeddings speak of the frame
            `LOOK_AHEAD_FRAMES` before.
        """
        logits, vectors = self.frames(features)
        return logits, functional.normalize(vectors, dim=3)


class WindowNetwork(Trunk):
    """Hears a window: its local speakers, and a vector for each from where it speaks alone."""

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of every frame and embeddings of the window.

        Args:
            features: (batch, 4 * frames, 64) from `log_mel`.

        Returns:
            Logits of the local speakers, (batch, frames, speakers), and embeddings,
            (batch, speakers, dim), unit length.
        """
        logits, vectors = self.frames(features)
        heard = torch.sigmoid(logits.detach())
        silent = 1 - CLEAR * heard
        alone = heard * silent.prod(dim=2, keepdim=True) / silent + LEAST_WEIGHT
        pooled = alone.transpose(1, 2) @ vectors[:, :, 0]
        return logits, functional.normalize(pooled, dim=2)


def make_network(shape: Shape) -> StreamNetwork | WindowNetwork:
    """An untrained network of this shape."""
    return WindowNetwork(shape) if shape.window_frames else StreamNetwork(shape)
