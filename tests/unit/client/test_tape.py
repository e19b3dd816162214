"""What is kept of a conversation's audio, and what is sent of it once more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceflow.client import AudioFormat, Encoding, Flush
from voiceflow.client.tape import Playback, Tape
from voiceflow.errors import Unavailable

FORMAT = AudioFormat(Encoding.PCM16, 16_000)
LONG = 1e3
FLUSH = Flush()


def tape_of(*pieces: bytes | Flush, seconds: float = LONG) -> Tape:
    """A tape with these on it."""
    tape = Tape(FORMAT, seconds)
    for piece in pieces:
        tape.add(piece)
    return tape


def played(playback: Playback) -> list[bytes | Flush]:
    """All that there is for now."""
    return list(iter(playback.next, None))


@given(
    pieces=st.lists(st.binary(max_size=9), max_size=9),
    drop=st.integers(0, 40),
    start=st.integers(0, 40),
    size=st.integers(2, 9),
)
def test_what_is_kept_comes_back_in_order(
    pieces: list[bytes], drop: int, start: int, size: int
) -> None:
    """From any place that is still there, in pieces of whole sample frames up to a size."""
    tape = tape_of(*pieces)
    tape.drop_before(drop)
    whole = b"".join(pieces)
    assert tape.end == len(whole)
    start = max(start, tape.start)
    came = played(tape.playback(start, flushes_after=0, piece_bytes=size))
    assert b"".join(piece for piece in came if isinstance(piece, bytes)) == whole[start:]
    assert all(isinstance(piece, bytes) and len(piece) <= size for piece in came)
    assert all(isinstance(piece, bytes) and len(piece) % 2 == 0 for piece in came[:-1])


def test_flushes_come_back_at_their_places() -> None:
    """Those after a place; two at one place are one."""
    tape = tape_of(FLUSH, b"aaaa", FLUSH, b"bb", FLUSH, FLUSH, b"cc", FLUSH)
    came = played(tape.playback(2, flushes_after=4, piece_bytes=64))
    assert came == [b"aabb", FLUSH, b"cc", FLUSH]


def test_what_is_added_meanwhile_comes_too() -> None:
    """Nothing is lost between what was kept and what comes."""
    tape = tape_of(b"aa")
    playback = tape.playback(0, flushes_after=0, piece_bytes=64)
    assert played(playback) == [b"aa"]
    tape.add(b"bb")
    tape.add(FLUSH)
    assert played(playback) == [b"bb", FLUSH]
    assert played(playback) == []


def test_who_falls_behind_what_is_kept_is_told() -> None:
    """Rather than to go on with a gap."""
    tape = tape_of(b"a" * 20_000, seconds=1.0)
    playback = tape.playback(0, flushes_after=0, piece_bytes=10_000)
    assert playback.next() == b"a" * 10_000
    tape.add(b"b" * 30_000)
    with pytest.raises(Unavailable) as caught:
        playback.next()
    assert caught.value.reason == "STREAM_CUT"


def test_no_more_is_kept_than_allowed() -> None:
    """The oldest goes, and its flushes with it; a second of PCM16 at 16 kHz is 32,000 bytes."""
    tape = tape_of(b"a" * 20_000, FLUSH, b"b" * 40_000, seconds=1.0)
    assert (tape.start, tape.end) == (28_000, 60_000)
    assert played(tape.playback(28_000, flushes_after=0, piece_bytes=10**6)) == [b"b" * 32_000]


def test_pieces_without_audio_leave_nothing() -> None:
    """A source may send them for ever, to keep a stream from being idle."""
    tape = tape_of()
    for _ in range(1000):
        tape.add(b"")
        tape.add(FLUSH)
    assert played(tape.playback(0, flushes_after=-1, piece_bytes=64)) == [FLUSH]
    assert len(tape._flushes) == 1


@pytest.mark.parametrize(
    ("audio_format", "place"),
    [
        (FORMAT, 3200),
        (AudioFormat(Encoding.MULAW, 8000), 800),
        (AudioFormat(Encoding.FLOAT32, 44_100, 2), 4410 * 8),
    ],
)
def test_a_place_is_that_of_the_audio_that_is_sent(audio_format: AudioFormat, place: int) -> None:
    """A tenth of a second, whatever its rate, encoding and channels."""
    assert Tape(audio_format, LONG).place(1600) == place
