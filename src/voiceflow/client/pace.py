"""What happens to pieces of audio on their way: paced, stopped, watched."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from voiceflow.client.config import AudioFormat


async def paced(
    pieces: AsyncIterator[bytes],
    audio_format: AudioFormat,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[bytes]:
    """Gives each piece when its last sample would have been heard, as a live source does.

    A consumer that was held up gets the pieces that are due at once: the audio never falls behind.

    Args:
        pieces: Of whole sample frames.
        audio_format: Of the pieces.
        clock: Seconds, going forward only.
        sleep: Waits so many seconds.
    """
    start = clock()
    heard_seconds = 0.0
    async for piece in pieces:
        heard_seconds += audio_format.seconds(len(piece))
        await sleep(max(0.0, start + heard_seconds - clock()))
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
