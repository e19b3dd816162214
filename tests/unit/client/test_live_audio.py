"""Audio on a pipe, and the microphone."""

from __future__ import annotations

import io
import os
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import pytest

from voiceflow.client import AudioFormat, Encoding
from voiceflow.client.live_audio import open_microphone, open_pipe, read_wave_header
from voiceflow.errors import InvalidInput, NotFound

RAW = AudioFormat(Encoding.PCM16, 8000)


def wave(
    tag: int = 1,
    bits: int = 16,
    channels: int = 1,
    rate: int = 16_000,
    before: bytes = b"",
    extra: bytes = b"",
) -> bytes:
    """A WAV header whose lengths are those of a writer that does not know them."""
    frame = channels * bits // 8
    body = struct.pack("<HHIIHH", tag, channels, rate, rate * frame, frame, bits) + extra
    fmt = b"fmt " + struct.pack("<I", len(body)) + body
    return b"RIFF\xff\xff\xff\xffWAVE" + before + fmt + b"data\xff\xff\xff\xff"


@contextmanager
def pipe_of(content: bytes) -> Iterator[io.FileIO]:
    """A real pipe, written and closed."""
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    with io.FileIO(reading) as pipe:
        yield pipe


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (wave(), AudioFormat(Encoding.PCM16, 16_000)),
        (wave(3, 32, 2, 44_100), AudioFormat(Encoding.FLOAT32, 44_100, 2)),
        (wave(7, 8, 1, 8000), AudioFormat(Encoding.MULAW, 8000)),
        (wave(6, 8, 1, 8000), AudioFormat(Encoding.ALAW, 8000)),
        (wave(before=b"LIST\x03\x00\x00\x00abc\x00"), AudioFormat(Encoding.PCM16, 16_000)),
        (
            wave(0xFFFE, extra=struct.pack("<HHIH14x", 22, 16, 4, 1)),
            AudioFormat(Encoding.PCM16, 16_000),
        ),
    ],
    ids=["pcm", "float", "mulaw", "alaw", "other chunk first", "extensible"],
)
def test_a_wav_header_on_a_pipe_tells_the_format(header: bytes, expected: AudioFormat) -> None:
    """And leaves the pipe at the first sample."""
    pipe = io.BytesIO(header + b"samples")
    assert read_wave_header(pipe) == expected
    assert pipe.read() == b"samples"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "WAV_HEADER_MISSING"),
        (b"fLaC" + bytes(40), "WAV_HEADER_MISSING"),
        (bytes(64), "WAV_HEADER_MISSING"),
        (wave()[:30], "WAV_HEADER_MISSING"),
        (wave(1, 24), "WAV_ENCODING_INVALID"),
        (wave(before=b"LIST\xff\xff\xff\x7f"), "WAV_HEADER_INVALID"),
    ],
    ids=["empty", "flac", "raw", "cut", "24 bits", "monstrous chunk"],
)
def test_what_cannot_be_read_from_a_pipe_is_said(content: bytes, reason: str) -> None:
    """Rather than heard as noise."""
    with pytest.raises(InvalidInput) as caught:
        open_pipe(io.BytesIO(content), None)
    assert caught.value.reason == reason


async def test_a_pipe_gives_whole_sample_frames_only() -> None:
    """Bytes that come in odd portions are put together; half a sample at the end is left out."""
    with pipe_of(bytes(range(101))) as pipe:
        pieces = [piece async for piece in open_pipe(pipe, RAW).pieces(0.001)]
    assert all(piece and len(piece) % 2 == 0 for piece in pieces)
    assert b"".join(pieces) == bytes(range(100))


async def test_a_wav_on_a_pipe_is_heard_from_its_first_sample() -> None:
    """What follows the header is audio, to the end of the pipe."""
    with pipe_of(wave() + b"\x01\x00\x02\x00") as pipe:
        source = open_pipe(pipe, None, 0)
        assert source.audio_format == AudioFormat(Encoding.PCM16, 16_000)
        assert b"".join([piece async for piece in source.pieces(0.1)]) == b"\x01\x00\x02\x00"


async def test_only_the_chosen_channel_of_a_pipe_leaves() -> None:
    """Of samples of any size."""
    for encoding in Encoding:
        raw = AudioFormat(encoding, 8000, 3)
        size = encoding.sample_bytes
        sample_frames = [b"a" * size + b"b" * size + b"c" * size] * 50
        with pipe_of(b"".join(sample_frames)) as pipe:
            source = open_pipe(pipe, raw, 1)
            assert source.audio_format == AudioFormat(encoding, 8000)
            assert b"".join([piece async for piece in source.pieces(0.01)]) == b"b" * 50 * size


def test_a_raw_format_that_no_server_takes_is_refused() -> None:
    """Before anything is read."""
    with pytest.raises(InvalidInput):
        open_pipe(io.BytesIO(), AudioFormat(Encoding.PCM16, 100))


def test_a_missing_microphone_library_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The package is optional."""
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(NotFound, match=r"voiceflow\[mic\]"):
        open_microphone()


def test_a_machine_without_microphone_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the library's own error, without its traceback."""
    library = ModuleType("sounddevice")

    class PortAudioError(Exception):
        pass

    def check_input_settings(**_: object) -> None:
        raise PortAudioError("Error querying device -1")

    vars(library).update(PortAudioError=PortAudioError, check_input_settings=check_input_settings)
    monkeypatch.setitem(sys.modules, "sounddevice", library)
    with pytest.raises(NotFound, match="querying device"):
        open_microphone()
