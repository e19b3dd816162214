"""Pacing and stopping."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from voiceflow.client import AudioFormat, Encoding
from voiceflow.client.pace import paced, until, watched

FORMAT = AudioFormat(Encoding.PCM16, 8000)


async def given(*pieces: bytes) -> AsyncIterator[bytes]:
    """The pieces, one by one."""
    for piece in pieces:
        yield piece


class Clock:
    """Time that passes only by sleeping, or when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Now."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Lets time pass."""
        self.now += seconds


async def test_a_piece_comes_when_its_last_sample_would_have_been_heard() -> None:
    """Half a second of audio takes half a second, whatever the pieces' lengths."""
    clock = Clock()
    times = []
    pieces = given(bytes(1600), bytes(800), bytes(5600))
    async for _ in paced(pieces, FORMAT, clock=clock, sleep=clock.sleep):
        times.append(clock.now)  # noqa: PERF401 - the time of each step is the point
    assert times == pytest.approx([100.1, 100.15, 100.5])


async def test_a_consumer_that_was_held_up_catches_up() -> None:
    """Pieces that are due come at once, and the clock of the audio is kept."""
    clock = Clock()
    times = []
    async for _ in paced(given(*[bytes(1600)] * 4), FORMAT, clock=clock, sleep=clock.sleep):
        times.append(clock.now)
        if len(times) == 1:
            clock.now += 0.25
    assert times == pytest.approx([100.1, 100.35, 100.35, 100.4])


async def test_audio_passes_unchanged_until_the_stop() -> None:
    """Without a stop everything comes through, and the end is the source's."""
    assert [piece async for piece in until(given(b"ab", b"cd"), asyncio.Event())] == [b"ab", b"cd"]


async def test_a_stop_ends_the_audio_while_the_source_is_silent() -> None:
    """A pipe on which nothing comes any more does not hold the end up."""
    stop = asyncio.Event()
    closed = False

    async def silent() -> AsyncIterator[bytes]:
        nonlocal closed
        try:
            yield b"ab"
            await asyncio.Event().wait()
        finally:
            closed = True

    heard = []
    async for piece in until(silent(), stop):
        heard.append(piece)
        asyncio.get_running_loop().call_soon(stop.set)
    assert heard == [b"ab"]
    assert closed


async def test_a_source_that_fails_is_not_taken_for_its_end() -> None:
    """The error comes through."""

    async def broken() -> AsyncIterator[bytes]:
        yield b"ab"
        raise OSError("unplugged")

    with pytest.raises(OSError, match="unplugged"):
        _ = [piece async for piece in until(broken(), asyncio.Event())]


async def test_a_watcher_sees_each_piece_before_it_goes_on() -> None:
    """What is counted is what was asked for."""
    seen: list[bytes] = []
    async for piece in watched(given(b"ab", b"cd"), seen.append):
        assert seen[-1] == piece
    assert seen == [b"ab", b"cd"]
