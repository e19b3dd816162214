"""From bytes to 16 kHz mono samples, one stream at a time.

The samples that come out depend on the bytes alone and never on how they were cut into messages:
decoding works sample by sample, and the resampler is fed in blocks of fixed length.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

import numpy as np
import soxr
from numpy.typing import NDArray

from voiceflow.artifact import SAMPLE_RATE_HERTZ
from voiceflow.errors import InvalidInput

FloatArray = NDArray[np.float32]


class AudioEncoding(StrEnum):
    """How a sample is written."""

    PCM16 = "pcm16"
    FLOAT32 = "float32"
    MULAW = "mulaw"
    ALAW = "alaw"


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """What the bytes of a stream are.

    Attributes:
        encoding: How a sample is written.
        sample_rate_hertz: Samples per second and channel.
        channel_count: Channels, interleaved.
        channel: The one to listen to, from 0; None: the mean of all.
    """

    encoding: AudioEncoding
    sample_rate_hertz: int
    channel_count: int = 1
    channel: int | None = None

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of every channel."""
        return _SAMPLE_BYTES[self.encoding] * self.channel_count


class AudioDecoder:
    """Decodes one stream.

    Args:
        audio_format: What its bytes are.
    """

    def __init__(self, audio_format: AudioFormat) -> None:
        self._format = audio_format
        rate = audio_format.sample_rate_hertz
        self._resampler = _Resampler(rate) if rate != SAMPLE_RATE_HERTZ else None

    def push(self, data: bytes | memoryview) -> FloatArray:
        """Takes the next bytes.

        Args:
            data: Whole sample frames, any number of them.

        Returns:
            The 16 kHz samples in -1 to 1 that they complete.

        Raises:
            InvalidInput: A part of a sample frame, or a sample that is no finite number.
        """
        samples = _mono(_decoded(data, self._format), self._format)
        return samples if self._resampler is None else self._resampler.push(samples)

    def finish(self) -> FloatArray:
        """The samples that the resampler still held, at the end of the stream."""
        return _NO_SAMPLES if self._resampler is None else self._resampler.finish()


@lru_cache(maxsize=256)
def resampler_delay_samples(sample_rate_hertz: int) -> int:
    """How much audio, in 16 kHz samples, must follow a sample at most before it comes out.

    Measured on the resampler itself, whose filter works in blocks that drift against the seconds;
    deterministic.
    """
    if sample_rate_hertz == SAMPLE_RATE_HERTZ:
        return 0
    resampler = _Resampler(sample_rate_hertz)
    silence = np.zeros(resampler.block_samples, np.float32)
    fed = produced = worst = 0
    while fed < _DELAY_SECONDS * sample_rate_hertz:
        fed += len(silence)
        worst = max(worst, -(-fed * SAMPLE_RATE_HERTZ // sample_rate_hertz) - produced)
        produced += len(resampler.push(silence))
    return worst


class _Resampler:
    """A streaming resampler to 16 kHz whose output does not depend on the lengths pushed."""

    def __init__(self, sample_rate_hertz: int) -> None:
        self._stream = soxr.ResampleStream(
            sample_rate_hertz, SAMPLE_RATE_HERTZ, 1, dtype="float32", quality="HQ"
        )
        self.block_samples = sample_rate_hertz // _BLOCKS_PER_SECOND
        self._block = np.zeros(self.block_samples, np.float32)
        self._filled_samples = 0

    def push(self, samples: FloatArray) -> FloatArray:
        produced = []
        while len(samples):
            taken = min(self.block_samples - self._filled_samples, len(samples))
            self._block[self._filled_samples : self._filled_samples + taken] = samples[:taken]
            self._filled_samples += taken
            samples = samples[taken:]
            if self._filled_samples == self.block_samples:
                produced.append(self._stream.resample_chunk(self._block))
                self._filled_samples = 0
        return _clipped(np.concatenate(produced)) if produced else _NO_SAMPLES

    def finish(self) -> FloatArray:
        rest = self._block[: self._filled_samples]
        return _clipped(self._stream.resample_chunk(rest, last=True))


_BLOCKS_PER_SECOND: Final = 50
_DELAY_SECONDS: Final = 20
_NO_SAMPLES: Final[FloatArray] = np.zeros(0, np.float32)
_SAMPLE_BYTES: Final = {
    AudioEncoding.PCM16: 2,
    AudioEncoding.FLOAT32: 4,
    AudioEncoding.MULAW: 1,
    AudioEncoding.ALAW: 1,
}


def _mulaw_table() -> FloatArray:
    """Decoder of ITU-T G.711, table 2b, scaled to full scale 1."""
    code = ~np.arange(256, dtype=np.uint8)
    segment, step = (code >> 4 & 7).astype(np.int32), (code & 15).astype(np.int32)
    magnitude = ((2 * step + 33) << segment + 2) - 132  # 14 bits, left-aligned in 16
    return _signed(magnitude, negative=code & 128 != 0)


def _alaw_table() -> FloatArray:
    """Decoder of ITU-T G.711, table 1b, scaled to full scale 1; even bits come inverted."""
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    segment, step = (code >> 4 & 7).astype(np.int32), (code & 15).astype(np.int32)
    linear = np.where(segment == 0, 2 * step + 1, (2 * step + 33) << np.maximum(segment - 1, 0))
    return _signed(linear * 8, negative=code & 128 == 0)  # 13 bits, left-aligned in 16


def _signed(magnitude: NDArray[np.int32], negative: NDArray[np.bool_]) -> FloatArray:
    return (np.where(negative, -magnitude, magnitude) / 32768).astype(np.float32)


_TABLES: Final = {AudioEncoding.MULAW: _mulaw_table(), AudioEncoding.ALAW: _alaw_table()}


def _decoded(data: bytes | memoryview, audio_format: AudioFormat) -> FloatArray:
    """Samples in -1 to 1, (sample frames, channels)."""
    if len(data) % audio_format.frame_bytes:
        raise InvalidInput(
            f"{len(data)} bytes are no whole number of sample frames of"
            f" {audio_format.frame_bytes} bytes ({audio_format.encoding} x"
            f" {audio_format.channel_count} channels)",
            reason="AUDIO_PARTIAL_FRAME",
            field="audio",
        )
    samples: FloatArray
    if audio_format.encoding is AudioEncoding.PCM16:
        samples = np.frombuffer(data, "<i2").astype(np.float32)
        samples *= np.float32(1 / 32768)  # a power of two: exact
    elif audio_format.encoding is AudioEncoding.FLOAT32:
        samples = np.frombuffer(data, "<f4").astype(np.float32)
        if not np.isfinite(samples).all():
            raise InvalidInput(
                "a sample is NaN or infinite; finite numbers are allowed",
                reason="AUDIO_NOT_FINITE",
                field="audio",
            )
        samples = _clipped(samples)
    else:
        samples = _TABLES[audio_format.encoding][np.frombuffer(data, np.uint8)]
    return samples.reshape(-1, audio_format.channel_count)


def _mono(samples: FloatArray, audio_format: AudioFormat) -> FloatArray:
    """(sample frames, channels) to (sample frames,)."""
    if audio_format.channel is not None:
        return samples[:, audio_format.channel]
    if audio_format.channel_count == 1:
        return samples[:, 0]
    total = samples[:, 0].copy()
    for channel in range(1, audio_format.channel_count):  # in an order that no shape can change
        total += samples[:, channel]
    return total / np.float32(audio_format.channel_count)


def _clipped(samples: FloatArray) -> FloatArray:
    return np.clip(samples, np.float32(-1), np.float32(1))
