"""The network: log-mel features and a causal convolutional trunk with three heads.

Everything is channels-last, and nothing reaches across the batch or forward in time, so a
stream's answer depends on its own past alone. `export.py` writes the same computation as an ONNX
graph, with the memory of every layer going in and out.
"""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from scipy import fft
from torch import Tensor, nn
from torch.nn import functional

from training.corpus import SAMPLE_RATE_HERTZ, Audio
from training.shape import (
    HOP_SAMPLES,
    LEVEL_MEAN,
    LEVEL_SCALE,
    MEL_BANDS,
    MEL_FLOOR,
    SHAPE_SCALE,
    STACKED,
    TAIL_SAMPLES,
    TRACKS,
    WINDOW_SAMPLES,
    Shape,
)

DROPOUT = 0.1

Features = npt.NDArray[np.float32]  # (batch, 4 * frames, MEL_BANDS)


def transform_bins() -> npt.NDArray[np.int64]:
    """The bins of the 400-point transform in use: 40 Hz apart to 2 kHz, then 80 Hz.

    Mel bands above 2 kHz are wide beside 80 Hz, so the bins left out carry nothing they need.
    """
    return np.concatenate([np.arange(1, 51), np.arange(52, 191, 2)])


def analysis_window() -> npt.NDArray[np.float64]:
    """The Hann window of 25 ms."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW_SAMPLES) / WINDOW_SAMPLES)


def mel_filters() -> Features:
    """Triangular filters over `transform_bins`, of shape (bins, MEL_BANDS)."""
    hertz = transform_bins() * SAMPLE_RATE_HERTZ / WINDOW_SAMPLES
    mel = 2595 * np.log10(1 + hertz / 700)
    edges = np.linspace(2595 * np.log10(1 + 20 / 700), 2595 * np.log10(1 + 7600 / 700), 66)
    rise = (mel[:, None] - edges[None, :-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[None, 2:] - mel[:, None]) / (edges[2:] - edges[1:-1])
    filters = np.maximum(np.minimum(rise, fall), 0)
    weight = np.where(hertz > 2000, 2.0, 1.0)[:, None]
    filters = filters * weight
    for band in np.flatnonzero(filters.sum(axis=0) < 0.3):
        centre = int(np.argmin(np.abs(mel - edges[band + 1])))
        filters[centre, band] = 1.0  # the lowest bands are narrower than the bins are apart
    return filters.astype(np.float32)


def log_mel(audio: Audio) -> Features:
    """Log-mel energies of audio that starts from silence.

    Args:
        audio: (batch, samples), samples a multiple of 640, -1 to 1.

    Returns:
        (batch, samples / 160, 64), natural logarithm.
    """
    window, bins, filters = analysis_window().astype(np.float32), transform_bins(), mel_filters()
    rows = []
    for row in np.pad(audio, ((0, 0), (TAIL_SAMPLES, 0))):  # one by one: it stays in the cache
        windows = np.lib.stride_tricks.sliding_window_view(row, WINDOW_SAMPLES)[::HOP_SAMPLES]
        spectrum = fft.rfft(windows * window, axis=-1)[:, bins]
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        rows.append(np.log(power @ filters + np.float32(MEL_FLOOR)))
    return np.stack(rows)


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
    """A residual block: depthwise causal convolution over time, then two dense layers."""

    def __init__(self, shape: Shape, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.past = (shape.kernel - 1) * dilation
        self.depthwise = nn.Parameter(torch.randn(shape.kernel, shape.channels) * 0.3)
        self.norm = nn.LayerNorm(shape.channels)
        self.widen = nn.Linear(shape.channels, shape.hidden)
        self.narrow = nn.Linear(shape.hidden, shape.channels)
        nn.init.normal_(self.narrow.weight, std=0.5 / math.sqrt(shape.hidden))
        nn.init.zeros_(self.narrow.bias)

    def forward(self, trunk: Tensor) -> Tensor:  # (batch, frames, channels), the same
        """The trunk with this block's contribution added."""
        mixed: Tensor = _CausalDepthwise.apply(trunk, self.depthwise, self.dilation)  # type: ignore[no-untyped-call]
        seen = self.norm(mixed)
        wide = functional.dropout(functional.relu(self.widen(seen)), DROPOUT, self.training)
        added: Tensor = self.narrow(wide)
        return trunk + added


class Network(nn.Module):
    """From log-mel features to speech, activity and embeddings."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.enter = nn.Linear(STACKED * (MEL_BANDS + 1), shape.channels)
        self.blocks = nn.ModuleList(Block(shape, dilation) for dilation in shape.dilations)
        self.norm = nn.LayerNorm(shape.channels)
        self.activity = nn.Linear(shape.channels, 1 + TRACKS)  # speech, then the tracks
        self.embedding_hidden = nn.Linear(shape.channels, shape.head)
        self.embedding = nn.Linear(shape.head, TRACKS * shape.embedding_dim)

    def inner_layers(self) -> list[nn.Linear]:
        """The dense layers between the first and the heads."""
        blocks = [cast("Block", block) for block in self.blocks]
        return [layer for block in blocks for layer in (block.widen, block.narrow)]

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and embeddings of every frame.

        Args:
            features: (batch, 4 * frames, 64) from `log_mel`.

        Returns:
            Logits of speech and of the two tracks, (batch, frames, 3), and embeddings,
            (batch, frames, 2, dim), unit length. Tracks and embeddings speak of the frame
            `LOOK_AHEAD_FRAMES` before.
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
        vectors = vectors.unflatten(2, (TRACKS, self.shape.embedding_dim))
        return self.activity(seen).float(), functional.normalize(vectors, dim=3)
