"""Audio from files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from voiceflow.client import AudioFormat, Encoding
from voiceflow.client.audio import AudioSource, open_recording, piece_frames, samples_of
from voiceflow.errors import InvalidInput, NotFound

RATE = 16_000


def tone(seconds: float, rate: int = RATE, channels: int = 1) -> np.ndarray:
    """A tone whose pitch differs by channel, (samples, channels)."""
    time = np.arange(round(seconds * rate)) / rate
    return np.stack([0.5 * np.sin(2 * np.pi * 300 * (c + 1) * time) for c in range(channels)], 1)


def written(path: Path, rate: int = RATE, channels: int = 1, **options: Any) -> Path:
    """A file of 1.3 seconds."""
    soundfile.write(path, tone(1.3, rate, channels), rate, **options)
    return path


async def heard(source: AudioSource, piece_seconds: float = 0.1) -> np.ndarray:
    """What a server would hear of a source."""
    pieces = [
        samples_of(piece, source.audio_format) async for piece in source.pieces(piece_seconds)
    ]
    return np.concatenate(pieces)


@pytest.mark.parametrize(
    ("name", "options", "encoding"),
    [
        ("a.wav", {"subtype": "PCM_16"}, Encoding.PCM16),
        ("a.wav", {"subtype": "FLOAT"}, Encoding.FLOAT32),
        ("a.wav", {"subtype": "PCM_24"}, Encoding.FLOAT32),
        ("a.wav", {"subtype": "ULAW"}, Encoding.PCM16),
        ("a.flac", {}, Encoding.PCM16),
        ("a.mp3", {}, Encoding.FLOAT32),
        ("a.ogg", {"subtype": "VORBIS"}, Encoding.FLOAT32),
        ("a.opus", {"format": "OGG", "subtype": "OPUS"}, Encoding.FLOAT32),
    ],
    ids=["wav16", "wav-float", "wav24", "wav-mulaw", "flac", "mp3", "vorbis", "opus"],
)
async def test_every_named_format_is_heard_as_it_was_written(
    tmp_path: Path, name: str, options: dict[str, Any], encoding: Encoding
) -> None:
    """The samples come back; what is finer than 16 bits is not cut down to them."""
    source = open_recording(written(tmp_path / name, **options))
    assert source.audio_format == AudioFormat(encoding, RATE, 1, None)
    samples = await heard(source)
    assert len(samples) == pytest.approx(1.3 * RATE, abs=2400)
    spectrum = np.abs(np.fft.rfft(samples))
    assert np.argmax(spectrum) * RATE / len(samples) == pytest.approx(300, abs=2)
    middle = samples[len(samples) // 4 : -len(samples) // 4]  # lossy codecs pad and overshoot
    assert np.std(middle) == pytest.approx(0.5 / np.sqrt(2), abs=0.02)


async def test_pieces_do_not_depend_on_their_length(tmp_path: Path) -> None:
    """However a file is cut, the same samples are sent."""
    source = open_recording(written(tmp_path / "a.wav", rate=44_100))
    assert np.array_equal(await heard(source, 0.013), await heard(source, 5.0))


async def test_only_the_chosen_channel_leaves(tmp_path: Path) -> None:
    """The others are not sent; without a choice all are, and their mean is heard."""
    path = written(tmp_path / "a.wav", channels=2)
    first, second = tone(1.3, channels=2).T
    assert open_recording(path, 1).audio_format.channel_count == 1
    assert np.allclose(await heard(open_recording(path, 1)), second, atol=1e-4)
    assert np.allclose(await heard(open_recording(path)), (first + second) / 2, atol=1e-4)


async def test_a_rate_above_what_servers_take_is_brought_down(tmp_path: Path) -> None:
    """96 kHz becomes 48 kHz, of the same length and pitch."""
    source = open_recording(written(tmp_path / "a.wav", rate=96_000))
    assert source.audio_format.sample_rate_hertz == 48_000
    samples = await heard(source)
    assert len(samples) == round(1.3 * 48_000)
    assert np.argmax(np.abs(np.fft.rfft(samples))) * 48_000 / len(samples) == pytest.approx(300)


@pytest.mark.parametrize(
    ("rate", "channels", "channel", "reason"),
    [
        (4000, 1, None, "SAMPLE_RATE_INVALID"),
        (RATE, 40, None, "CHANNEL_COUNT_INVALID"),
        (RATE, 2, 2, "CHANNEL_INVALID"),
    ],
)
def test_what_no_server_takes_is_refused_before_anything_is_sent(
    tmp_path: Path, rate: int, channels: int, channel: int | None, reason: str
) -> None:
    """With what was seen and what is allowed."""
    path = written(tmp_path / "a.wav", rate, channels)
    with pytest.raises(InvalidInput) as caught:
        open_recording(path, channel)
    assert caught.value.reason == reason


def test_a_missing_file_and_one_that_is_no_audio_are_told_apart(tmp_path: Path) -> None:
    """So are an empty file and a folder."""
    with pytest.raises(NotFound):
        open_recording(tmp_path / "none.wav")
    text = tmp_path / "notes.wav"
    text.write_text("not audio at all")
    empty = tmp_path / "empty.wav"
    empty.touch()
    for path in (text, empty, tmp_path):
        with pytest.raises(InvalidInput) as caught:
            open_recording(path)
        assert caught.value.reason == "AUDIO_UNREADABLE"


async def test_a_file_that_breaks_in_the_middle_is_unreadable_not_short(tmp_path: Path) -> None:
    """Damage is told, not taken for the end of the recording."""
    path = written(tmp_path / "a.flac")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"a\.flac"):
        await heard(open_recording(path))


@pytest.mark.parametrize("channels", [1, 2, 32])
def test_a_piece_stays_below_the_message_limit(channels: int) -> None:
    """However many seconds are asked for; and it is never empty."""
    audio_format = AudioFormat(Encoding.FLOAT32, 48_000, channels)
    assert piece_frames(audio_format, 60.0) * audio_format.frame_bytes <= 1024 * 1024
    assert piece_frames(audio_format, 0.0) == 1


@pytest.mark.parametrize("encoding", list(Encoding))
def test_every_encoding_is_kept_as_it_sounds(encoding: Encoding) -> None:
    """The report's copy has the samples of the server, for G.711 too."""
    subtypes = {"pcm16": "PCM_16", "float32": "FLOAT", "mulaw": "ULAW", "alaw": "ALAW"}
    raw = io.BytesIO()
    with soundfile.SoundFile(raw, "w", 8000, 1, subtypes[encoding], "LITTLE", "RAW") as file:
        file.write(tone(0.2, 8000))
    samples = samples_of(raw.getvalue(), AudioFormat(encoding, 8000))
    assert np.allclose(samples, tone(0.2, 8000)[:, 0], atol=0.03)
