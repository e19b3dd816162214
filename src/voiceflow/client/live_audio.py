"""Audio that is coming in now: bytes on a pipe, and the microphone.

Both are fed by a thread of their own (a blocked read on a pipe cannot be interrupted, and sound
drivers call back on their own thread) into a queue that the event loop reads.
"""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

from voiceflow.client.audio import (
    AudioSource,
    check_format,
    chosen_channel,
    chosen_format,
    piece_frames,
)
from voiceflow.client.config import AudioFormat, Encoding
from voiceflow.errors import InvalidInput, LimitExceeded, NotFound

_QUEUE_PIECES = 8
_MICROPHONE_QUEUE_SECONDS = 30.0

_WAVE_PCM, _WAVE_FLOAT, _WAVE_ALAW, _WAVE_MULAW, _WAVE_EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_WAVE_ENCODINGS = {
    (_WAVE_PCM, 16): Encoding.PCM16,
    (_WAVE_FLOAT, 32): Encoding.FLOAT32,
    (_WAVE_ALAW, 8): Encoding.ALAW,
    (_WAVE_MULAW, 8): Encoding.MULAW,
}
_CONTAINERS = {b"fLaC": "FLAC", b"OggS": "Ogg", b"ID3": "MP3", b"\xff\xfb": "MP3"}


class Pipe(Protocol):
    """What bytes are read from: unbuffered, such as `open(0, "rb", buffering=0)`.

    A buffered reader would wait for whole pieces, and its lock, held by the thread that reads,
    would abort the interpreter when it ends.
    """

    def read(self, size: int, /) -> bytes | None:
        """Waits for bytes and returns at most so many; none at the end."""


def open_pipe(pipe: Pipe, raw: AudioFormat | None, channel: int | None = None) -> AudioSource:
    """Bytes that somebody writes to a pipe.

    Args:
        pipe: Where to read.
        raw: The format of raw samples; None: a WAV header comes first and tells it.
        channel: The only channel to send, from 0; None: all, of which the mean is heard.

    Raises:
        InvalidInput: If there is no WAV header where one must be, or the format is not allowed.
    """
    audio_format = read_wave_header(pipe) if raw is None else raw
    check_format(audio_format.sample_rate_hertz, audio_format.channel_count, channel)
    audio_format = replace(audio_format, channel=channel)

    async def pieces(piece_seconds: float) -> AsyncIterator[bytes]:
        size = piece_frames(audio_format, piece_seconds) * audio_format.frame_bytes
        queue: asyncio.Queue[bytes] = asyncio.Queue(_QUEUE_PIECES)
        loop = asyncio.get_running_loop()

        def read() -> None:
            while True:
                piece = pipe.read(size) or b""
                try:
                    asyncio.run_coroutine_threadsafe(queue.put(piece), loop).result()
                except RuntimeError:  # the loop is closed: nobody listens any more
                    return
                if not piece:
                    return

        threading.Thread(target=read, name="audio-pipe", daemon=True).start()
        rest = b""
        while piece := await queue.get():
            rest += piece
            whole = len(rest) // audio_format.frame_bytes * audio_format.frame_bytes
            if whole:
                yield chosen_channel(rest[:whole], audio_format)
                rest = rest[whole:]

    return AudioSource("stdin", chosen_format(audio_format), pieces, None, repeatable=False)


def open_microphone(rate_hertz: int = 16_000, device: str | None = None) -> AudioSource:
    """The microphone, one channel.

    Args:
        rate_hertz: Samples a second.
        device: Its number or a part of its name; None: the system's default.

    Raises:
        NotFound: If the library, PortAudio or a microphone is missing.
    """
    try:
        import sounddevice  # noqa: PLC0415 - optional, and it looks for PortAudio when imported
    except ImportError:
        raise _no_microphone(
            "the microphone needs the package sounddevice: pip install 'voiceflow[mic]'"
        ) from None
    except OSError:
        raise _no_microphone(
            "the microphone needs the PortAudio library (Debian and Ubuntu: libportaudio2)"
        ) from None
    chosen = int(device) if device and device.isdigit() else device
    try:
        sounddevice.check_input_settings(device=chosen, channels=1, samplerate=rate_hertz)
    except (sounddevice.PortAudioError, ValueError) as error:
        raise _no_microphone(f"there is no usable microphone: {error}") from None
    audio_format = AudioFormat(Encoding.PCM16, rate_hertz)

    async def pieces(piece_seconds: float) -> AsyncIterator[bytes]:
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def take(data: Any, *_: object) -> None:  # the buffer is cffi's, which has no types
            loop.call_soon_threadsafe(queue.put_nowait, bytes(data))

        with sounddevice.RawInputStream(
            samplerate=rate_hertz,
            blocksize=piece_frames(audio_format, piece_seconds),
            device=chosen,
            channels=1,
            dtype="int16",
            callback=take,
        ):
            while True:
                piece = await queue.get()
                if queue.qsize() * piece_seconds > _MICROPHONE_QUEUE_SECONDS:
                    raise LimitExceeded(
                        f"the server is more than {_MICROPHONE_QUEUE_SECONDS:.0f} s behind "
                        "the microphone",
                        reason="MICROPHONE_OVERRUN",
                    )
                yield piece

    return AudioSource("microphone", audio_format, pieces, None, repeatable=False)


@dataclass(frozen=True, slots=True)
class _WaveFormat:
    tag: int
    channels: int
    rate_hertz: int
    bits: int


def read_wave_header(pipe: Pipe) -> AudioFormat:
    """Reads a WAV stream up to its first sample.

    Stated lengths are not believed: who writes to a pipe does not know them.

    Raises:
        InvalidInput: If it is no WAV, or its samples have a form that no server takes.
    """
    head = _read_exactly(pipe, 12)
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        kind = next((name for magic, name in _CONTAINERS.items() if head.startswith(magic)), None)
        what = f"{kind} on a pipe cannot be read" if kind else "no WAV header on stdin"
        raise InvalidInput(
            f"{what}: pipe WAV (such as that of `ffmpeg -i … -f wav -`), or raw samples with "
            "--encoding, --rate and --channels",
            reason="WAV_HEADER_MISSING",
            field="audio",
        )
    wave: _WaveFormat | None = None
    while True:
        name, size = struct.unpack("<4sI", _read_exactly(pipe, 8))
        if name == b"data" and wave is not None:
            break
        body = _read_exactly(pipe, size + size % 2)
        if name == b"fmt " and size >= 16:
            tag, channels, rate, _, _, bits = struct.unpack("<HHIIHH", body[:16])
            if tag == _WAVE_EXTENSIBLE and size >= 40:
                (tag,) = struct.unpack("<H", body[24:26])
            wave = _WaveFormat(tag, channels, rate, bits)
    encoding = _WAVE_ENCODINGS.get((wave.tag, wave.bits))
    if encoding is None:
        raise InvalidInput(
            f"WAV with {wave.bits}-bit samples of form {wave.tag} on a pipe; allowed are 16-bit "
            "integers, 32-bit floats, A-law and μ-law",
            reason="WAV_ENCODING_INVALID",
            field="audio",
        )
    return AudioFormat(encoding, wave.rate_hertz, wave.channels)


def _read_exactly(pipe: Pipe, size: int) -> bytes:
    if size > 1 << 20:
        raise InvalidInput(
            f"a WAV header of {size} bytes", reason="WAV_HEADER_INVALID", field="audio"
        )
    parts = b""
    while len(parts) < size:
        part = pipe.read(size - len(parts))
        if not part:
            raise InvalidInput(
                "the audio ends before its first sample",
                reason="WAV_HEADER_MISSING",
                field="audio",
            )
        parts += part
    return parts


def _no_microphone(message: str) -> NotFound:
    return NotFound(message, reason="MICROPHONE_MISSING", field="mic")
