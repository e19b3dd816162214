"""The caller's audio, over however many streams ask for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from voiceflow.client import AudioFormat, Encoding
from voiceflow.client.source import Source
from voiceflow.client.tape import Tape


def tape() -> Tape:
    """With room."""
    return Tape(AudioFormat(Encoding.PCM16, 16_000), 60.0)


async def all_run() -> None:
    """Everything that can go on has."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_nothing_is_read_before_somebody_asks() -> None:
    """Not even one piece ahead."""
    taken = []

    async def audio() -> AsyncIterator[bytes]:
        for piece in (b"aa", b"bb"):
            taken.append(piece)
            yield piece

    source = Source(audio(), tape())
    await all_run()
    assert taken == []
    assert await source.next() == b"aa"
    await all_run()
    assert taken == [b"aa"]
    await source.close()


async def test_a_piece_that_came_for_nobody_is_there_for_the_next() -> None:
    """Whoever waited for it was cancelled; it is on the tape when it is taken, and not before."""
    given = asyncio.Event()

    read = []

    async def audio() -> AsyncIterator[bytes]:
        await given.wait()
        for piece in (b"aa", b"bb"):
            read.append(piece)
            yield piece

    kept = tape()
    source = Source(audio(), kept)
    waiting = asyncio.create_task(source.next())
    await all_run()
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting
    given.set()
    await all_run()
    assert kept.end == 0
    assert await source.next() == b"aa"
    assert kept.end == 2
    await all_run()
    assert read == [b"aa"], "nobody has asked for another one"
    assert [await source.next() for _ in range(3)] == [b"bb", None, None]
    await source.close()


async def test_what_the_audio_raises_is_raised_to_everybody_who_asks() -> None:
    """As it is, and it is seen without asking, too."""

    async def audio() -> AsyncIterator[bytes]:
        yield b"aa"
        raise OSError("unplugged")

    source = Source(audio(), tape())
    assert await source.next() == b"aa"
    for _ in range(2):
        with pytest.raises(OSError, match="unplugged"):
            await source.next()
    assert isinstance(source.failure, OSError)
    await source.close()


async def test_the_audio_is_read_by_one_task() -> None:
    """A generator may hold a timeout or a group of tasks over its pieces."""

    async def audio() -> AsyncIterator[bytes]:
        async with asyncio.timeout(60), asyncio.TaskGroup():
            yield b"aa"
            yield b"bb"

    source = Source(audio(), tape())
    for expected in (b"aa", b"bb", None):
        assert await asyncio.create_task(source.next()) == expected
    await source.close()
