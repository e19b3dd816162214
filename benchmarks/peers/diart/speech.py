"""Where speech is: Silero VAD, at a level that it can hear."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
import torch
from silero_vad import VADIterator, load_silero_vad

from benchmarks.peers.diart.settings import SAMPLE_RATE_HERTZ, Settings
from benchmarks.peers.diart.telling import Stretch

FRAME_SAMPLES: Final = 512
"""Silero gives one probability for each 32 ms."""
LOUD_SHARE: Final = 0.3
"""Of a recording's frames, the loudest; speech fills more than that of a conversation."""
AUDIO_SUFFIXES: Final = (".flac", ".opus", ".wav")

FloatArray = npt.NDArray[np.float32]


def recordings(folder: Path) -> list[Path]:
    """The audio files of a folder, by name."""
    found = sorted(path for path in folder.iterdir() if path.suffix in AUDIO_SUFFIXES)
    if not found:
        raise SystemExit(f"{folder} holds no audio; allowed is {', '.join(AUDIO_SUFFIXES)}")
    return found


def read_audio(path: Path) -> FloatArray:
    """The first channel of a recording at 16 kHz, (samples,)."""
    audio, rate_hertz = soundfile.read(path, dtype="float32", always_2d=True)
    mono = audio[:, 0]
    if rate_hertz != SAMPLE_RATE_HERTZ:
        mono = soxr.resample(mono, rate_hertz, SAMPLE_RATE_HERTZ)
    return np.ascontiguousarray(mono, np.float32)


def levelled(audio: FloatArray, level_dbfs: float | None) -> FloatArray:
    """A recording with its loudest frames scaled to a level, in dB below full scale.

    The whole recording is looked at beforehand, which no live system can do: it is in the peer's
    favour.
    """
    frames = audio[: len(audio) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    if level_dbfs is None or not len(frames):
        return audio
    power = np.sort(np.mean(np.square(frames.astype(np.float64)), axis=1))
    loud = np.mean(power[-max(1, round(LOUD_SHARE * len(power))) :])
    return audio * np.float32(10 ** (level_dbfs / 20) / np.sqrt(max(loud, 1e-12)))


def speech_probabilities(audio: FloatArray) -> FloatArray:
    """Silero's probability of speech in each whole 32 ms, (frames,)."""
    whole = len(audio) // FRAME_SAMPLES * FRAME_SAMPLES
    probabilities: FloatArray = _model().audio_forward(audio[:whole])
    return probabilities


def stretches(probabilities: FloatArray, samples: int, settings: Settings) -> list[Stretch]:
    """What Silero's own streaming iterator says of these probabilities.

    Args:
        probabilities: (frames,).
        samples: Of the recording.
        settings: Threshold, pause and padding.
    """
    iterator = VADIterator(
        _Replay(probabilities),
        threshold=settings.threshold,
        sampling_rate=SAMPLE_RATE_HERTZ,
        min_silence_duration_ms=round(1000 * settings.silence_seconds),
        speech_pad_ms=round(1000 * settings.pad_seconds),
    )
    frame = torch.zeros(FRAME_SAMPLES)
    found: list[Stretch] = []
    opened: tuple[int, int] | None = None
    for number in range(len(probabilities)):
        event = iterator(frame)
        heard = (number + 1) * FRAME_SAMPLES
        if event is not None and "start" in event:
            opened = event["start"], heard
        elif event is not None and opened is not None:
            found.append(Stretch(opened[0], min(event["end"], heard), opened[1], heard))
            opened = None
    if opened is not None:
        found.append(Stretch(opened[0], samples, opened[1], None))
    return found


class _Replay:
    """Stands in for Silero's model and gives probabilities that are already known."""

    def __init__(self, probabilities: FloatArray) -> None:
        self._values = torch.from_numpy(probabilities)
        self._next = 0

    def reset_states(self) -> None:
        self._next = 0

    def __call__(self, _audio: torch.Tensor, _rate_hertz: int) -> torch.Tensor:
        self._next += 1
        return self._values[self._next - 1]


@cache
def _model() -> Any:
    """Silero's ONNX model that takes many frames at once, and says the same of each to the bit."""
    return load_silero_vad(sequence=True)
