"""Synthesises a short conversation between artificial voices, for trying the service out.

Nothing recorded is in it: each voice is a source (glottal pulses with its own pitch, jitter and
breath) and a filter (formants scaled by the length of its vocal tract), and says syllables without
meaning. The same code always gives the same samples. It is speech enough to be detected and told
apart; it is not a test of accuracy.

    python -m voiceflow.sample conversation.wav

Sources: the cascade of formant resonators is that of D. Klatt, "Software for a cascade/parallel
formant synthesizer", JASA 67 (1980); the pulse is A. Rosenberg's, JASA 49 (1971); vowel
formants are rounded from G. Peterson and H. Barney, JASA 24 (1952).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy import signal

from voiceflow.artifact import SAMPLE_RATE_HERTZ

Samples = NDArray[np.float64]

_BLOCK_SAMPLES = 80
"""Filters move once in 5 ms."""


@dataclass(frozen=True, slots=True)
class Voice:
    """What makes one artificial voice another than the next.

    Attributes:
        pitch_hertz: Middle of the pitch range.
        pitch_range: How far pitch moves, as a part of `pitch_hertz`.
        formant_scale: 1 for a tract of 17 cm; shorter tracts have higher formants.
        tilt: Coefficient of the one-pole low-pass on the source, 0 to 1; higher is duller.
        breath: Noise in the source, relative to the pulses.
        jitter: Spread of the length of single periods.
        syllable_seconds: Pace.
    """

    pitch_hertz: float
    pitch_range: float
    formant_scale: float
    tilt: float
    breath: float
    jitter: float
    syllable_seconds: float


@dataclass(frozen=True, slots=True)
class Line:
    """One phrase: who says it, how many syllables, and how long after the line before it begins.

    A negative gap is overlap.
    """

    voice: int
    syllables: int
    gap_seconds: float


VOICES = (
    Voice(98.0, 0.14, 0.90, 0.95, 0.015, 0.012, 0.20),
    Voice(225.0, 0.25, 1.24, 0.50, 0.10, 0.005, 0.17),
    Voice(148.0, 0.28, 1.06, 0.60, 0.04, 0.018, 0.155),
)

LINES = (
    Line(0, 13, 0.5),
    Line(0, 8, 0.35),
    Line(1, 15, 0.45),
    Line(1, 7, 0.3),
    Line(0, 10, -0.55),
    Line(2, 14, 0.5),
    Line(2, 10, 0.3),
    Line(1, 12, 0.4),
    Line(0, 12, 0.35),
    Line(2, 13, -0.6),
    Line(1, 9, 0.45),
)

_VOWELS = {
    "a": (730, 1090, 2440),
    "e": (530, 1840, 2480),
    "i": (270, 2290, 3010),
    "o": (570, 840, 2410),
    "u": (300, 870, 2240),
    "E": (660, 1720, 2410),
    "A": (490, 1350, 1690),
}
_VOICED = {  # consonants that are voiced throughout: formants and level
    "m": ((250, 1100, 2100), 0.35),
    "n": ((250, 1500, 2400), 0.35),
    "l": ((350, 1100, 2600), 0.5),
    "w": ((290, 650, 2200), 0.45),
    "j": ((270, 2150, 2950), 0.45),
}
_NOISY = {  # consonants of noise: band in hertz, seconds, level, whether a silence goes before it
    "s": ((4200, 7600), 0.10, 0.16, False),
    "S": ((2200, 5600), 0.10, 0.20, False),
    "f": ((1200, 7200), 0.08, 0.05, False),
    "t": ((3200, 7000), 0.03, 0.22, True),
    "k": ((1400, 3400), 0.035, 0.22, True),
    "p": ((500, 2400), 0.025, 0.18, True),
}
_BANDWIDTHS_HERTZ = (70.0, 95.0, 140.0, 220.0, 280.0)
_HIGHER_FORMANTS_HERTZ = (3500.0, 4500.0)


def conversation(seed: int = 1) -> NDArray[np.float32]:
    """Synthesises the conversation of `LINES`.

    Args:
        seed: Chooses the syllables and the small irregularities.

    Returns:
        (samples,) at 16 kHz, peak 0.7.
    """
    random = np.random.default_rng(seed)
    pieces: list[tuple[int, Samples]] = []
    end = 0
    for line in LINES:
        phrase = _phrase(VOICES[line.voice], line.syllables, random)
        start = max(0, end + round(line.gap_seconds * SAMPLE_RATE_HERTZ))
        pieces.append((start, phrase))
        end = start + len(phrase)
    mix = np.zeros(end + SAMPLE_RATE_HERTZ // 2)
    for start, phrase in pieces:
        mix[start : start + len(phrase)] += phrase
    mix = _room(mix, random)
    return np.asarray(0.7 * mix / np.max(np.abs(mix)), np.float32)


def write_sample(path: Path) -> None:
    """Writes the conversation as 16-bit WAV, making the folder if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, conversation(), SAMPLE_RATE_HERTZ, subtype="PCM_16")


def _phrase(voice: Voice, syllables: int, random: np.random.Generator) -> Samples:
    """One phrase: its pitch declines, its last syllable is longer and falls."""
    formants: list[tuple[float, float, float]] = []
    level: list[float] = []
    noise = np.zeros(0)
    for index in range(syllables):
        stress = 1.0 if random.random() < 0.4 else 0.72
        length = voice.syllable_seconds * random.uniform(0.8, 1.25)
        if index == syllables - 1:
            length *= 1.5
        noise = _syllable(formants, level, noise, length, stress, random)
    blocks = len(level)
    course = np.linspace(1.0, -1.0, blocks)
    wave = signal.lfilter([0.06], [1.0, -0.94], random.standard_normal(blocks))
    pitch = voice.pitch_hertz * (1.0 + voice.pitch_range * (0.55 * course + 0.9 * wave))
    pitch[-8:] *= np.linspace(1.0, 0.82, len(pitch[-8:]))
    loudness = _smooth(np.asarray(level), 7)
    source = _source(voice, np.maximum(pitch, 60.0), loudness, random)
    voiced = _filter(source, _smooth(np.asarray(formants), 9) * voice.formant_scale)
    voiced /= np.sqrt(np.mean(voiced**2)) + 1e-9
    phrase = 0.1 * voiced
    phrase[: len(noise)] += noise[: len(phrase)]
    return phrase * np.minimum(1.0, np.arange(len(phrase))[::-1] / 400.0)


def _syllable(
    formants: list[tuple[float, float, float]],
    level: list[float],
    noise: Samples,
    length_seconds: float,
    stress: float,
    random: np.random.Generator,
) -> Samples:
    """Appends one syllable to the tracks; returns the noise track, grown to their length."""
    vowel = _VOWELS[str(random.choice(list(_VOWELS)))]
    if random.random() < 0.5:
        target, consonant_level = _VOICED[str(random.choice(list(_VOICED)))]
        _hold(formants, level, target, 0.06, consonant_level * stress)
    else:
        band, seconds, loudness, stop = _NOISY[str(random.choice(list(_NOISY)))]
        if stop:
            _hold(formants, level, vowel, 0.045, 0.0)
        start = len(level) * _BLOCK_SAMPLES
        _hold(formants, level, vowel, seconds, 0.0)
        burst = _noise(band, len(level) * _BLOCK_SAMPLES - start, random) * loudness * stress
        noise = np.concatenate([noise, np.zeros(max(0, start - len(noise))), burst])
    _hold(formants, level, vowel, length_seconds * 0.7, stress)
    return noise


def _hold(
    formants: list[tuple[float, float, float]],
    level: list[float],
    target: tuple[float, float, float],
    seconds: float,
    loudness: float,
) -> None:
    blocks = max(1, round(seconds * SAMPLE_RATE_HERTZ / _BLOCK_SAMPLES))
    formants.extend([target] * blocks)
    level.extend([loudness] * blocks)


def _noise(band: tuple[int, int], samples: int, random: np.random.Generator) -> Samples:
    sections = signal.butter(2, band, "bandpass", fs=SAMPLE_RATE_HERTZ, output="sos")
    shaped = signal.sosfilt(sections, random.standard_normal(samples))
    return np.asarray(shaped * signal.windows.tukey(samples, 0.5))


def _source(
    voice: Voice, pitch: Samples, loudness: Samples, random: np.random.Generator
) -> Samples:
    """Glottal pulses and breath, before the tract.

    Args:
        voice: Whose.
        pitch: (blocks,) in hertz.
        loudness: (blocks,).
        random: For jitter and breath.

    Returns:
        (blocks * _BLOCK_SAMPLES,).
    """
    samples = len(pitch) * _BLOCK_SAMPLES
    pulses = np.zeros(samples)
    at = 0.0
    while at < samples - 2:
        period = SAMPLE_RATE_HERTZ / pitch[int(at) // _BLOCK_SAMPLES]
        period *= 1.0 + voice.jitter * random.standard_normal()
        opening, closing = 0.40 * period, 0.16 * period
        first = int(np.ceil(at))
        phase = np.arange(first, min(samples, int(at + opening + closing) + 1)) - at
        rising = 0.5 * (1.0 - np.cos(np.pi * phase / opening))
        falling = np.cos(0.5 * np.pi * np.clip((phase - opening) / closing, 0.0, 1.0))
        shimmer = 1.0 + 0.05 * random.standard_normal()
        pulses[first : first + len(phase)] = shimmer * np.where(phase < opening, rising, falling)
        at += period
    flow = np.diff(pulses, prepend=0.0)
    breath = voice.breath * random.standard_normal(samples) * (0.3 + pulses)
    dulled = signal.lfilter([1.0 - voice.tilt * 0.5], [1.0, -voice.tilt * 0.5], flow + breath)
    envelope = np.interp(np.arange(samples), np.arange(len(loudness)) * _BLOCK_SAMPLES, loudness)
    return np.asarray(dulled * envelope)


def _filter(source: Samples, formants: Samples) -> Samples:
    """The tract: a cascade of resonators that move once a block.

    Args:
        source: (blocks * _BLOCK_SAMPLES,).
        formants: (blocks, 3) in hertz.
    """
    higher = np.broadcast_to(_HIGHER_FORMANTS_HERTZ, (len(formants), 2))
    centres = np.minimum(np.concatenate([formants, higher], axis=1), 7400.0)  # (blocks, 5)
    radius = np.exp(-np.pi * np.asarray(_BANDWIDTHS_HERTZ) / SAMPLE_RATE_HERTZ)  # (5,)
    feedback = -2.0 * radius * np.cos(2.0 * np.pi * centres / SAMPLE_RATE_HERTZ)  # (blocks, 5)
    sections = np.zeros((5, 6))
    sections[:, 3] = 1.0
    sections[:, 5] = radius**2
    state = np.zeros((5, 2))
    out = np.empty_like(source)
    for block, coefficients in enumerate(feedback):
        sections[:, 4] = coefficients
        sections[:, 0] = 1.0 + coefficients + radius**2  # gain 1 at 0 Hz
        span = slice(block * _BLOCK_SAMPLES, (block + 1) * _BLOCK_SAMPLES)
        out[span], state = signal.sosfilt(sections, source[span], zi=state)
    return out


def _smooth(track: Samples, blocks: int) -> Samples:
    """Moving average along the first axis, so that targets become movements."""
    window = signal.windows.hann(blocks + 2)[1:-1]
    padding = [(blocks // 2, blocks // 2)] + [(0, 0)] * (track.ndim - 1)
    padded = np.pad(track, padding, mode="edge")
    shape = (blocks,) + (1,) * (track.ndim - 1)
    smoothed = signal.convolve(padded, (window / window.sum()).reshape(shape), mode="valid")
    return np.asarray(smoothed)


def _room(dry: Samples, random: np.random.Generator) -> Samples:
    """A small room (reverberation of about a quarter of a second) and its faint noise."""
    tail = random.standard_normal(4000) * np.exp(-np.arange(4000) / 580.0)
    tail[:90] = 0.0
    wet = signal.fftconvolve(dry, 0.03 * tail)[: len(dry)]
    return dry + wet + 0.0008 * random.standard_normal(len(dry))


if __name__ == "__main__":
    write_sample(Path(sys.argv[1] if len(sys.argv) > 1 else "conversation.wav"))
