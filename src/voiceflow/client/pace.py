"""What happens to pieces of audio on their way: paced, stopped, watched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from voiceflow.client.config import AudioFormat


async def paced(
    pieces: AsyncIterator[bytes], audio_format: AudioFormat, speed: float = 1.0
) -> AsyncIterator[bytes]:
    """Gives each piece when its last sample would have been heard, as a live source does.

    Args:
        pieces: Of whole sample frames.
        audio_format: Of the pieces.
        speed: Audio seconds a second.
    """
    loop = asyncio.get_running_loop()
    start = loop.time()
    heard_seconds = 0.0
    async for piece in pieces:
        heard_seconds += audio_format.seconds(len(piece))
        await asyncio.sleep(max(0.0, start + heard_seconds / speed - loop.time()))
        yield piece


async def until(pieces: AsyncIterator[bytes], stop: asyncio.Event) -> AsyncIterator[bytes]:
    """Ends the audio when `stop` is set, also while the next piece is being waited for."""
    stopping = asyncio.create_task(stop.wait())
    try:
        while True:
            piece = asyncio.ensure_future(anext(pieces))
            await asyncio.wait({piece, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if stopping.done():
                piece.cancel()
                await asyncio.gather(piece, return_exceptions=True)
                return
            try:
                yield piece.result()
            except StopAsyncIteration:
                return
    finally:
        stopping.cancel()


async def watched(
    pieces: AsyncIterator[bytes], look: Callable[[bytes], None]
) -> AsyncIterator[bytes]:
    """Shows each piece to `look` when it is asked for, so that progress is what really went out."""
    async for piece in pieces:
        look(piece)
        yield piece
