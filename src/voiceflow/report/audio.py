"""Keeps the audio of a stream for the report: one channel, compressed, and its envelope."""

from __future__ import annotations

import io
import tempfile
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import numpy as np
import soundfile
import soxr

from voiceflow.client.audio import samples_of
from voiceflow.client.config import AudioFormat
from voiceflow.pipeline.model import FloatArray

PAGE_RATE_HERTZ: Final = 16_000
ENVELOPE_HERTZ: Final = 50

_LOUD: Final = 0.5
"""What the loud passages are brought to; what is louder is bent towards 1."""

_LOUD_PERCENTILE: Final = 98.0
_LARGEST_GAIN: Final = 200.0
_BLOCK_SAMPLES: Final = PAGE_RATE_HERTZ * 30


@dataclass(frozen=True, slots=True)
class PageAudio:
    """Audio as a page carries it.

    Attributes:
        mp3: The recording, brought to a common loudness.
        envelope: Peak of each 20 ms as a byte, 255 for the loudest.
        duration_seconds: Of the recording.
    """

    mp3: bytes
    envelope: bytes
    duration_seconds: float


class AudioKeeper:
    """Takes the pieces of a stream as they go out; uses disk, not memory.

    Args:
        audio_format: Of the pieces; its channel is the one that is kept.
    """

    def __init__(self, audio_format: AudioFormat) -> None:
        self._format = audio_format

    def __enter__(self) -> Self:
        self._file = tempfile.TemporaryFile(suffix=".wav")
        self.restart()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()
        self._file.close()

    def restart(self) -> None:
        """Forgets what was kept: the audio begins again."""
        self._file.seek(0)
        self._writer = soundfile.SoundFile(
            self._file, "w", PAGE_RATE_HERTZ, 1, "PCM_16", format="WAV"
        )
        self._resampler = soxr.ResampleStream(
            self._format.sample_rate_hertz, PAGE_RATE_HERTZ, 1, "float32"
        )
        self._peaks: list[FloatArray] = []
        self._samples = 0

    def keep(self, piece: bytes) -> None:
        """Takes the next piece."""
        if piece:
            self._write(self._resampler.resample_chunk(samples_of(piece, self._format)))

    def finish(self) -> PageAudio:
        """Compresses what was kept; nothing may be kept afterwards."""
        self._write(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))
        self._writer.flush()
        self._file.seek(0)
        gain = _gain(self._peaks)
        out = io.BytesIO()
        envelope = bytearray()
        with (
            soundfile.SoundFile(self._file) as reader,
            soundfile.SoundFile(out, "w", PAGE_RATE_HERTZ, 1, format="MP3") as writer,
        ):
            for block in reader.blocks(_BLOCK_SAMPLES, dtype="float32"):
                louder = np.tanh(block * gain)
                writer.write(louder)
                envelope += (255.0 * _peaks_of(louder)).astype(np.uint8).tobytes()
        return PageAudio(out.getvalue(), bytes(envelope), self._samples / PAGE_RATE_HERTZ)

    def _write(self, samples: FloatArray) -> None:
        if len(samples):
            self._peaks.append(_peaks_of(samples))
            self._samples += len(samples)
            self._writer.write(samples)


def _peaks_of(samples: FloatArray) -> FloatArray:
    """Peak of each 20 ms; the last may be shorter."""
    step = PAGE_RATE_HERTZ // ENVELOPE_HERTZ
    padded = np.pad(np.abs(samples), (0, -len(samples) % step))
    return np.asarray(padded.reshape(-1, step).max(axis=1), np.float32)


def _gain(peaks: list[FloatArray]) -> float:
    loud = float(np.percentile(np.concatenate(peaks), _LOUD_PERCENTILE)) if peaks else 0.0
    return min(_LOUD / loud, _LARGEST_GAIN) if loud else 1.0
