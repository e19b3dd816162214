"""Audio from files, in the pieces that a stream sends; never all of it at once."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from voiceflow.client.config import AudioFormat, Encoding
from voiceflow.errors import InvalidInput, NotFound

MAXIMUM_RATE_HERTZ = 48_000
MINIMUM_RATE_HERTZ = 8_000
MAXIMUM_CHANNELS = 32

_PIECE_BYTES = 256 * 1024
_PCM16_SUBTYPES = {"PCM_16", "PCM_S8", "PCM_U8", "ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM"}
_RAW_SUBTYPES = {
    Encoding.PCM16: "PCM_16",
    Encoding.FLOAT32: "FLOAT",
    Encoding.MULAW: "ULAW",
    Encoding.ALAW: "ALAW",
}


@dataclass(frozen=True, slots=True)
class AudioSource:
    """Somewhere that audio comes from.

    Attributes:
        name: For people.
        audio_format: Of the pieces.
        pieces: Gives the audio from its beginning, piece by piece of at most so many seconds.
        duration_seconds: None: not known before the end.
        repeatable: Whether `pieces` may be called again.
    """

    name: str
    audio_format: AudioFormat
    pieces: Callable[[float], AsyncIterator[bytes]]
    duration_seconds: float | None
    repeatable: bool


def open_recording(path: Path, channel: int | None = None) -> AudioSource:
    """A WAV, FLAC, MP3, Ogg Vorbis or Opus file, or another that libsndfile reads.

    Samples of 16 bits and less are sent as they are, finer ones and those of lossy formats as
    floats. Rates above 48 kHz are brought down to it.

    Args:
        path: The file.
        channel: The only channel to send, from 0; None: all, of which the mean is heard.

    Raises:
        NotFound: If there is no such file.
        InvalidInput: If it cannot be read as audio, or has no such channel.
    """
    if not path.exists():
        raise NotFound(f"{path}: there is no such file", reason="FILE_MISSING", field="audio")
    try:
        info = soundfile.info(str(path))
    except (soundfile.LibsndfileError, OSError) as error:
        raise _unreadable(path, error) from None
    check_format(info.samplerate, info.channels, channel)
    encoding = Encoding.PCM16 if info.subtype in _PCM16_SUBTYPES else Encoding.FLOAT32
    rate = min(info.samplerate, MAXIMUM_RATE_HERTZ)
    if rate != info.samplerate:
        encoding = Encoding.FLOAT32
    audio_format = AudioFormat(encoding, rate, info.channels, channel)

    async def pieces(piece_seconds: float) -> AsyncIterator[bytes]:
        blocks = _blocks(path, audio_format, piece_seconds)
        while (piece := await asyncio.to_thread(next, blocks, None)) is not None:
            yield chosen_channel(piece, audio_format)

    return AudioSource(
        path.name,
        chosen_format(audio_format),
        pieces,
        info.frames / info.samplerate,
        repeatable=True,
    )


def chosen_format(audio_format: AudioFormat) -> AudioFormat:
    """The format of what `chosen_channel` leaves."""
    if audio_format.channel is None:
        return audio_format
    return AudioFormat(audio_format.encoding, audio_format.sample_rate_hertz)


def chosen_channel(piece: bytes, audio_format: AudioFormat) -> bytes:
    """The samples of the format's channel alone; all if it names none. The others stay here."""
    if audio_format.channel is None:
        return piece
    shape = (-1, audio_format.channel_count, audio_format.encoding.sample_bytes)
    return np.frombuffer(piece, np.uint8).reshape(shape)[:, audio_format.channel].tobytes()


def check_format(rate_hertz: int, channels: int, channel: int | None) -> None:
    """Refuses what no server takes, before anything is sent.

    Raises:
        InvalidInput: With what is allowed.
    """
    if rate_hertz < MINIMUM_RATE_HERTZ:
        raise InvalidInput(
            f"the audio has {rate_hertz} samples a second, at least {MINIMUM_RATE_HERTZ} "
            "are needed",
            reason="SAMPLE_RATE_INVALID",
            field="sample_rate_hertz",
        )
    if not 1 <= channels <= MAXIMUM_CHANNELS:
        raise InvalidInput(
            f"the audio has {channels} channels, 1 to {MAXIMUM_CHANNELS} are allowed",
            reason="CHANNEL_COUNT_INVALID",
            field="channel_count",
        )
    if channel is not None and not 0 <= channel < channels:
        raise InvalidInput(
            f"there is no channel {channel}, the audio has channels 0 to {channels - 1}",
            reason="CHANNEL_INVALID",
            field="channel",
        )


def piece_frames(audio_format: AudioFormat, piece_seconds: float) -> int:
    """Sample frames of one piece: at most so many seconds, and far below a message's limit."""
    return max(
        1,
        min(
            round(piece_seconds * audio_format.sample_rate_hertz),
            _PIECE_BYTES // audio_format.frame_bytes,
        ),
    )


def samples_of(piece: bytes, audio_format: AudioFormat) -> NDArray[np.float32]:
    """The samples that a server hears in a piece, for keeping a copy: (samples,), one channel."""
    frames, _ = soundfile.read(
        io.BytesIO(piece),
        dtype="float32",
        always_2d=True,
        samplerate=audio_format.sample_rate_hertz,
        channels=audio_format.channel_count,
        format="RAW",
        subtype=_RAW_SUBTYPES[audio_format.encoding],
        endian="LITTLE",
    )  # (frames, channels)
    if audio_format.channel is not None:
        return np.ascontiguousarray(frames[:, audio_format.channel], np.float32)
    return np.asarray(frames.mean(axis=1), np.float32)


class _ForwardFile(soundfile.SoundFile):  # type: ignore[misc] # the library has no types
    """A file that is only read onwards.

    soundfile seeks after every read of a file that can be sought in, and an MP3 decoder that seeks
    has lost the bits that it had kept for the next frame: sound would be missing at every piece.
    """

    def seekable(self) -> bool:
        """Not here."""
        return False


def _blocks(path: Path, audio_format: AudioFormat, piece_seconds: float) -> Iterator[bytes]:
    """Reads a file piece by piece, in the format's rate and encoding."""
    dtype = "int16" if audio_format.encoding is Encoding.PCM16 else "float32"
    frames = piece_frames(audio_format, piece_seconds)
    try:
        with _ForwardFile(str(path)) as file:
            resampler = None
            if file.samplerate != audio_format.sample_rate_hertz:
                resampler = soxr.ResampleStream(
                    file.samplerate, audio_format.sample_rate_hertz, file.channels, dtype
                )
            while len(read := file.read(frames, dtype, always_2d=True)):
                block = read if resampler is None else resampler.resample_chunk(read)
                yield block.astype(block.dtype.newbyteorder("<"), copy=False).tobytes()
            if resampler is not None:
                rest = np.zeros((0, file.channels), np.float32)
                yield resampler.resample_chunk(rest, last=True).tobytes()
    except (soundfile.LibsndfileError, OSError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> InvalidInput:
    return InvalidInput(
        f"{path}: cannot be read as audio: {getattr(error, 'error_string', error)}; known are WAV, "
        "FLAC, MP3, Ogg Vorbis and Opus",
        reason="AUDIO_UNREADABLE",
        field="audio",
    )
