"""Formants move, and pitch does not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from training.formants import moved_formants

RATE = 16_000


def vowel(pitch_hertz: int, formants_hertz: tuple[int, ...]) -> np.ndarray:
    """A second of pulses through resonances."""
    audio = np.zeros(RATE)
    audio[:: RATE // pitch_hertz] = 1.0
    for hertz in formants_hertz:
        zeros, poles = signal.iirpeak(hertz, 6, RATE)
        audio = audio + 4 * signal.lfilter(zeros, poles, audio)
    return (audio / np.abs(audio).max()).astype(np.float32)


def spectrum(audio: np.ndarray) -> np.ndarray:
    """Power in steps of one hertz."""
    return np.square(np.abs(np.fft.rfft(audio[:RATE])))


@pytest.mark.parametrize("ratio", [0.87, 1.15])
def test_the_peak_of_the_envelope_moves_by_the_ratio(ratio: float) -> None:
    """A resonance at 1 kHz is then at its multiple."""
    moved = spectrum(moved_formants(vowel(125, (1000,)), ratio))
    smooth = np.convolve(moved, np.ones(250), "same")
    assert np.argmax(smooth[500:2000]) + 500 == pytest.approx(1000 * ratio, rel=0.06)


@pytest.mark.parametrize("ratio", [0.87, 1.15])
def test_harmonics_stay_where_they_are(ratio: float) -> None:
    """Nearly all power is at multiples of the pitch, before and after."""
    moved = spectrum(moved_formants(vowel(125, (1000,)), ratio))
    near = np.abs((np.arange(len(moved)) + 62) % 125 - 62) <= 6
    assert moved[near].sum() > 0.9 * moved.sum()


@pytest.mark.parametrize("samples", [1, 300, 16_001])
def test_a_recording_keeps_its_length(samples: int) -> None:
    """Also one that is shorter than a window."""
    rng = np.random.default_rng(0)
    assert moved_formants(rng.standard_normal(samples).astype(np.float32), 1.1).shape == (samples,)
