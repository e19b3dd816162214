"""The caller's audio, piece by piece as it is asked for, over the streams of one conversation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable

from voiceflow.client.config import Flush
from voiceflow.client.tape import Tape


class Source:
    """Takes one piece at a time from the caller, each once, and never one that nobody waits for.

    One task reads all of it: streams come and go, but generators may hold what belongs to a task.

    Args:
        audio: Of the caller.
        tape: Keeps what was taken.

    Attributes:
        failure: What the caller's audio has raised.
    """

    def __init__(self, audio: AsyncIterable[bytes | Flush], tape: Tape) -> None:
        self.failure: Exception | None = None
        self._tape = tape
        self._piece: bytes | Flush | None = None
        self._asked = asyncio.Event()
        self._ready = asyncio.Event()
        self._reading = asyncio.create_task(self._read(audio))

    async def next(self) -> bytes | Flush | None:
        """The next piece, which is on the tape then; None at the end, however often it is asked.

        Whoever is cancelled while it waits has taken nothing.

        Raises:
            Exception: What the caller's audio raises, as it is.
        """
        if not self._ready.is_set():
            self._asked.set()
            await self._ready.wait()
        if self.failure is not None:
            raise self.failure
        piece, self._piece = self._piece, None
        if piece is not None:
            self._tape.add(piece)
            self._ready.clear()
        return piece

    async def close(self) -> None:
        """Leaves the caller's audio where it is."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self, audio: AsyncIterable[bytes | Flush]) -> None:
        try:
            await self._asked.wait()
            async for piece in audio:
                self._piece = piece
                self._asked.clear()
                self._ready.set()
                await self._asked.wait()
        except Exception as error:  # noqa: BLE001 - raised again by `next`
            self.failure = error
        self._ready.set()
