"""Log-mel features, as the graphs compute them inside."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import fft

from training.corpus import SAMPLE_RATE_HERTZ, Audio
from training.shape import HOP_SAMPLES, MEL_FLOOR, TAIL_SAMPLES, WINDOW_SAMPLES

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
