"""Sends a conversation's audio: to the stream that leads, and to one that follows it.

The leading stream takes the audio from the source, and all of it goes through the tape. A stream
that follows reads the tape, until it leads.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final

from voiceflow.artifact import SAMPLE_RATE_HERTZ
from voiceflow.client.config import Flush
from voiceflow.client.source import Source
from voiceflow.client.stream import Stream
from voiceflow.client.tape import Playback, Tape
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.errors import InvalidInput

Score = Callable[[], float | None]
"""Asked once, when the audio has ended."""


class Sender:
    """Sends side by side to at most two streams.

    Args:
        leader: The stream that takes the audio in.
        source: The audio.
        tape: What the source keeps of it.
        score: How well the conversation went.
    """

    def __init__(self, leader: Stream, source: Source, tape: Tape, score: Score | None) -> None:
        self._leader = leader
        self._source = source
        self._tape = tape
        self._score = score
        self._finish: pb.Finish | None = None
        self._failure: Exception | None = None
        self._halt: int | None = None
        self._changed = asyncio.Event()

    @property
    def failure(self) -> Exception | None:
        """What the source or the score has raised."""
        return self._failure or self._source.failure

    def begin(self, stream: Stream) -> None:
        """Has a stream hear what is kept from where it wants it on, and then what comes."""
        begin = stream.begin
        at = begin.resumed_at_samples or 0
        start = self._tape.place(begin.audio_start_samples or 0)
        # What lies before is heard and not told, so it must not count as running ahead.
        stream.window.restart(at)
        stream.window.sent(start)
        most = min(begin.limits.message_audio_bytes or _PIECE_BYTES, _PIECE_BYTES)
        kept = self._tape.playback(start, flushes_after=self._tape.place(at), piece_bytes=most)
        stream.send(self._send(stream, kept))

    def lead(self, stream: Stream) -> None:
        """From now on this stream takes the audio in; the one before is closed."""
        self._leader = stream
        self.release()

    def hold(self) -> None:
        """A stream has to catch up: a source that is faster than speech waits for it."""
        self._halt = self._tape.end + self._tape.place(_CATCH_UP_SAMPLES)

    def release(self) -> None:
        """None has to any more."""
        self._halt = None
        self._changed.set()

    async def _send(self, stream: Stream, kept: Playback) -> None:
        """Sends what is kept, then what comes, then `finish`."""
        try:
            if await self._send_kept(stream, kept):
                await self._send_on(stream)
        except Exception as error:
            if stream is self._leader:
                self._failure = error
            raise

    async def _send_kept(self, stream: Stream, kept: Playback) -> bool:
        """Until everything is sent, and the stream leads; False: it has ended."""
        while True:
            if (piece := kept.next()) is not None:
                if not await _pass(stream, piece):
                    return False
            elif stream is self._leader:
                return True
            else:
                await self._change()

    async def _send_on(self, stream: Stream) -> None:
        """Takes audio from the source, to its end."""
        while (piece := await self._next_piece()) is not None:
            self._changed.set()
            if not await _pass(stream, piece):
                return
        if await stream.write(finish=self._scored()):
            await stream.done_writing()

    async def _next_piece(self) -> bytes | Flush | None:
        while self._halt is not None and self._tape.end >= self._halt:
            await self._change()
        return await self._source.next()

    async def _change(self) -> None:
        """Waits until there is more on the tape, another stream leads, or none has to catch up."""
        self._changed.clear()
        await self._changed.wait()

    def _scored(self) -> pb.Finish:
        if self._finish is None:
            value = None if self._score is None else self._score()
            if value is not None and not math.isfinite(value):
                raise InvalidInput(
                    f"a score of {value}; it must be a finite number",
                    reason="SCORE_NOT_FINITE",
                    field="score",
                )
            self._finish = pb.Finish(score=value)
        return self._finish


async def _pass(stream: Stream, piece: bytes | Flush) -> bool:
    """Sends one piece; False: the stream has ended."""
    if isinstance(piece, Flush):
        return await stream.write(flush=pb.Flush())
    await stream.window.room(len(piece))
    return await stream.write(audio=piece)


_CATCH_UP_SAMPLES: Final = 5 * SAMPLE_RATE_HERTZ
"""Audio that may come while a stream catches up."""

_PIECE_BYTES: Final = 64 * 1024
"""Of what is sent once more."""
