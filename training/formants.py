"""Moves the formants of speech and leaves its pitch: another vocal tract, the same words.

The spectral envelope is the smooth part of the log spectrum (its lowest cepstral coefficients);
it is stretched along the frequency axis and put back under the fine structure.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import signal
from scipy.fft import irfft, rfft

Audio = npt.NDArray[np.float32]

_SAMPLE_RATE_HERTZ = 16_000
_WINDOW_SAMPLES = 512
_HOP_SAMPLES = 128
_COEFFICIENTS = 40  # of the envelope: finer than formants, coarser than the harmonics of a voice
_FLOOR = 1e-5


def moved_formants(audio: Audio, ratio: float) -> Audio:
    """The same recording with every formant at `ratio` times its frequency.

    Args:
        audio: (samples,) at 16 kHz.
        ratio: 0.8 to 1.25; above 1 the vocal tract is shorter.
    """
    padding = max(0, _WINDOW_SAMPLES - len(audio))
    transform = signal.ShortTimeFFT(
        signal.windows.hann(_WINDOW_SAMPLES, sym=False), _HOP_SAMPLES, _SAMPLE_RATE_HERTZ
    )
    spectrum = transform.stft(np.pad(audio, (0, padding)))  # (bins, frames)
    envelope = _envelope(np.log(np.abs(spectrum) + _FLOOR))
    bins = np.arange(len(envelope))
    source = np.minimum(bins / ratio, len(envelope) - 1)
    below = source.astype(int)
    above = np.minimum(below + 1, len(envelope) - 1)
    share = (source - below)[:, None]
    stretched = (1 - share) * envelope[below] + share * envelope[above]
    changed = transform.istft(spectrum * np.exp(stretched - envelope), k1=len(audio) + padding)
    return np.asarray(changed[: len(audio)], np.float32)


def _envelope(log_magnitude: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    cepstrum = irfft(log_magnitude, axis=0)
    cepstrum[_COEFFICIENTS : len(cepstrum) - _COEFFICIENTS + 1] = 0
    return np.asarray(rfft(cepstrum, axis=0).real)
