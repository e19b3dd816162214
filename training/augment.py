"""Rooms, noise, telephone lines and levels: what lies between a voice and the recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import fft

from training.corpus import SAMPLE_RATE_HERTZ, Audio, read_audio

ROOM_SAMPLES = 6_400
PLACES = 5
_SPEED_OF_SOUND = 343.0  # metres a second
FLOOR = 1e-5

Rooms = npt.NDArray[np.float32]  # (rooms, places, ROOM_SAMPLES)


def make_rooms(rng: np.random.Generator, rooms: int) -> Rooms:
    """Responses of shoebox rooms by image sources (Allen and Berkley, 1979), unit energy.

    Reverberation times of 0.1-0.7 s; the direct sound is at sample 0, so labels need no shift.
    """
    return np.stack([_room(rng) for _ in range(rooms)])


def measured_rooms(speech_root: Path) -> Rooms:
    """The recorded room responses, each as a room of equal places."""
    found = []
    for path in sorted((speech_root / "rir").glob("*.flac")):
        response = read_audio(path)
        response = response[int(np.argmax(np.abs(response))) :][:ROOM_SAMPLES]
        response = np.pad(response, (0, ROOM_SAMPLES - len(response)))
        found.append(np.tile(response / np.linalg.norm(response), (PLACES, 1)))
    return np.stack(found).astype(np.float32)


def reverberate(audio: Audio, responses: Audio) -> Audio:
    """Each row of audio as heard through the same row of responses, cut to its length."""
    samples = audio.shape[-1]
    size = fft.next_fast_len(samples + responses.shape[-1] - 1, real=True)
    spectrum = fft.rfft(audio, size, axis=-1)
    spectrum *= fft.rfft(responses, size, axis=-1)
    heard = fft.irfft(spectrum, size, axis=-1)[..., :samples]
    return np.asarray(heard, np.float32)


def background(rng: np.random.Generator, samples: int, clips: list[Audio]) -> Audio:
    """Noise of unit RMS: recorded clips joined, or noise of a random spectral slope."""
    if rng.random() < 0.5:
        slope = rng.uniform(0.0, 1.2)
        spectrum = fft.rfft(rng.standard_normal(samples, np.float32))
        spectrum[1:] /= np.arange(1, len(spectrum), dtype=np.float32) ** np.float32(slope)
        spectrum[: max(1, samples // 400)] = 0  # below 40 Hz
        noise = fft.irfft(spectrum, samples).astype(np.float32)
    else:
        clip = clips[int(rng.integers(len(clips)))]
        start = int(rng.integers(len(clip)))
        noise = np.take(clip, np.arange(start, start + samples), mode="wrap")
    return noise / np.float32(np.sqrt(np.mean(np.square(noise))) + 1e-6)


def transients(rng: np.random.Generator, samples: int) -> Audio:
    """Knocks, breaths and scrapes: bursts of noise in a band of their own, of an RMS up to one."""
    heard = np.zeros(samples, np.float32)
    a_second = rng.uniform(0.1, 1.0)
    for _ in range(rng.poisson(a_second * samples / SAMPLE_RATE_HERTZ)):
        burst = _burst(rng, int(SAMPLE_RATE_HERTZ * np.exp(rng.uniform(np.log(0.02), np.log(0.8)))))
        burst *= np.float32(10 ** (rng.uniform(-30, 0) / 20))
        start = int(rng.integers(samples))
        heard[start : start + len(burst)] += burst[: samples - start]
    return heard


def telephone(audio: Audio) -> Audio:
    """A telephone line: 300-3400 Hz and mu-law of eight bits, along the last axis."""
    samples = audio.shape[-1]
    hertz = np.linspace(0, SAMPLE_RATE_HERTZ / 2, samples // 2 + 1)
    band = ((hertz > 300) & (hertz < 3_400)).astype(np.float32)
    narrow = fft.irfft(fft.rfft(audio, axis=-1) * band, samples, axis=-1).astype(np.float32)
    peak = np.abs(narrow).max(axis=-1, keepdims=True) + np.float32(1e-6)
    ratio = narrow / peak
    compressed = np.sign(ratio) * np.log1p(255 * np.abs(ratio)) / np.log(256)
    coarse = np.round(compressed * 127) / 127
    expanded = np.sign(coarse) * np.expm1(np.abs(coarse) * np.log(256)) / 255
    return np.asarray(expanded * peak, np.float32)


def record(
    rng: np.random.Generator,
    audio: Audio,
    speech_rms: float,
    level_dbfs: float,
    floor_rms: float = FLOOR,
) -> Audio:
    """The audio at this level of its speech, over a faint floor, in steps of 16-bit PCM."""
    gain = np.float32(10 ** (level_dbfs / 20) / max(speech_rms, 1e-4))
    floor = rng.standard_normal(audio.shape[-1], np.float32) * np.float32(floor_rms)
    return np.round(np.clip(audio * gain + floor, -1, 1) * 32_767) / np.float32(32_768)


def _burst(rng: np.random.Generator, samples: int) -> Audio:
    hertz = np.linspace(20, SAMPLE_RATE_HERTZ / 2, samples // 2 + 1)
    centre = np.exp(rng.uniform(np.log(150), np.log(6_000)))
    band = np.exp(-0.5 * np.square(np.log2(hertz / centre) / rng.uniform(0.3, 2)))
    noise = fft.irfft(fft.rfft(rng.standard_normal(samples)) * band, samples)
    rise = rng.uniform(0.01, 0.5)
    share = np.linspace(0, 1, samples)
    noise *= np.minimum(share / rise, (1 - share) / (1 - rise))
    return (noise / np.sqrt(np.mean(np.square(noise)))).astype(np.float32)


def _room(rng: np.random.Generator) -> Rooms:
    size = rng.uniform((2.5, 2.5, 2.2), (9.0, 7.0, 3.6))  # metres
    seconds = float(np.exp(rng.uniform(np.log(0.1), np.log(0.7))))
    volume = size.prod()
    surface = 2 * (size[0] * size[1] + size[1] * size[2] + size[0] * size[2])
    absorption = min(0.161 * volume / (surface * seconds), 0.95)  # Sabine
    reflection = np.sqrt(1 - absorption)
    microphone = rng.uniform(0.2 * size, 0.8 * size)
    places = []
    for _ in range(PLACES):
        place = rng.uniform(0.1 * size, 0.9 * size)
        places.append(_response(rng, size, microphone, place, reflection, min(seconds, 0.4)))
    return np.stack(places)


def _response(
    rng: np.random.Generator,
    size: npt.NDArray[np.float64],
    microphone: npt.NDArray[np.float64],
    place: npt.NDArray[np.float64],
    reflection: float,
    seconds: float,
) -> Audio:
    order = np.minimum(np.ceil(seconds * _SPEED_OF_SOUND / (2 * size)).astype(int), 10)
    squares, bounces = [], []
    for axis in range(3):
        n = np.arange(-order[axis], order[axis] + 1)
        images = np.concatenate(
            [2 * n * size[axis] + place[axis], 2 * n * size[axis] - place[axis]]
        )
        squares.append(np.square(images - microphone[axis]))
        bounces.append(np.concatenate([np.abs(2 * n), np.abs(2 * n - 1)]))
    distance = np.sqrt(
        squares[0][:, None, None] + squares[1][None, :, None] + squares[2][None, None, :]
    ).ravel()
    count = (
        bounces[0][:, None, None] + bounces[1][None, :, None] + bounces[2][None, None, :]
    ).ravel()
    # A little disorder of the walls keeps the late echoes from ringing.
    jitter = 1 + 0.01 * rng.standard_normal(len(distance)) * (count > 0)
    delay = (distance * jitter - distance.min()) / _SPEED_OF_SOUND * SAMPLE_RATE_HERTZ
    index = np.round(np.maximum(delay, 0)).astype(int)
    kept = index < ROOM_SAMPLES
    response = np.zeros(ROOM_SAMPLES)
    np.add.at(response, index[kept], (reflection**count / np.maximum(distance, 0.3))[kept])
    return (response / np.linalg.norm(response)).astype(np.float32)
