"""What both networks have in common: residual blocks over log-mel features, channels-last.

In a stream a block looks back alone, so that an answer depends on the past alone; in a window it
looks as far ahead as back.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.shape import (
    LEVEL_MEAN,
    LEVEL_SCALE,
    MEL_BANDS,
    SHAPE_SCALE,
    STACKED,
    Shape,
)

DROPOUT = 0.1


class _CausalDepthwise(torch.autograd.Function):
    """Depthwise convolution over the past; the library's own backward is several times slower."""

    @staticmethod
    def forward(ctx: Any, trunk: Tensor, kernel: Tensor, dilation: int) -> Tensor:
        ctx.save_for_backward(trunk, kernel)
        ctx.dilation = dilation
        return _convolve(
            functional.pad(trunk, (0, 0, (len(kernel) - 1) * dilation, 0)), kernel, dilation
        )

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        trunk, kernel = ctx.saved_tensors
        gradient, dilation = gradients[0].contiguous(), ctx.dilation
        past = (len(kernel) - 1) * dilation
        of_trunk = _convolve(functional.pad(gradient, (0, 0, 0, past)), kernel.flip(0), dilation)
        frames, taps = trunk.shape[1], []
        for tap in range(len(kernel)):
            delay = past - tap * dilation
            if delay < frames:
                product = gradient[:, delay:] * trunk[:, : frames - delay]
                taps.append(product.sum(dim=(0, 1), dtype=torch.float32))
            else:
                taps.append(torch.zeros(trunk.shape[2]))
        return of_trunk, torch.stack(taps), None


def _convolve(padded: Tensor, kernel: Tensor, dilation: int) -> Tensor:
    weight = kernel.t()[:, None, None, :].to(padded.dtype)
    across = padded.transpose(1, 2).unsqueeze(2)
    mixed = functional.conv2d(across, weight, groups=len(weight), dilation=(1, dilation))
    return mixed.squeeze(2).transpose(1, 2)


class Block(nn.Module):
    """A residual block: depthwise convolution over time, then two dense layers."""

    def __init__(self, shape: Shape, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        span = (shape.kernel - 1) * dilation
        self.ahead = span // 2 if shape.window_frames else 0
        self.past = span - self.ahead
        self.depthwise = nn.Parameter(torch.randn(shape.kernel, shape.channels) * 0.3)
        self.norm = nn.LayerNorm(shape.channels)
        self.widen = nn.Linear(shape.channels, shape.hidden)
        self.narrow = nn.Linear(shape.hidden, shape.channels)
        nn.init.normal_(self.narrow.weight, std=0.5 / math.sqrt(shape.hidden))
        nn.init.zeros_(self.narrow.bias)

    def forward(self, trunk: Tensor) -> Tensor:  # (batch, frames, channels), the same
        """The trunk with this block's contribution added."""
        heard = functional.pad(trunk, (0, 0, 0, self.ahead)) if self.ahead else trunk
        mixed: Tensor = _CausalDepthwise.apply(heard, self.depthwise, self.dilation)  # type: ignore[no-untyped-call]
        mixed = mixed[:, self.ahead :]
        seen = self.norm(mixed)
        wide = functional.dropout(functional.relu(self.widen(seen)), DROPOUT, self.training)
        added: Tensor = self.narrow(wide)
        return trunk + added


class Trunk(nn.Module):
    """From log-mel features to what the heads answer from."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.enter = nn.Linear(STACKED * (MEL_BANDS + 1), shape.channels)
        self.blocks = nn.ModuleList(Block(shape, dilation) for dilation in shape.dilations)
        self.norm = nn.LayerNorm(shape.channels)
        self.activity = nn.Linear(shape.channels, shape.activities)
        self.embedding_hidden = nn.Linear(shape.channels, shape.head)
        self.embedding = nn.Linear(shape.head, shape.vectors * shape.embedding_dim)

    def inner_layers(self) -> list[nn.Linear]:
        """The dense layers between the first and the heads."""
        blocks = [cast("Block", block) for block in self.blocks]
        return [layer for block in blocks for layer in (block.widen, block.narrow)]

    def frames(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """What the heads say of every frame.

        Args:
            features: (batch, 4 * frames, 64) from `log_mel`.

        Returns:
            Logits (batch, frames, activities) and vectors (batch, frames, vectors, dim), of any
            length.
        """
        level = features.mean(dim=2, keepdim=True)
        shape = (features - level) / SHAPE_SCALE
        entry = torch.cat([shape, (level - LEVEL_MEAN) / LEVEL_SCALE], dim=2)
        stacked = entry.reshape(entry.shape[0], entry.shape[1] // STACKED, -1)
        trunk = self.enter(stacked)
        for block in self.blocks:
            trunk = block(trunk)
        seen = self.norm(trunk)
        vectors = self.embedding(functional.relu(self.embedding_hidden(seen))).float()
        vectors = vectors.unflatten(2, (self.shape.vectors, self.shape.embedding_dim))
        return self.activity(seen), vectors
