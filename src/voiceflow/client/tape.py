"""The newest audio of a conversation, kept to be sent once more: pure, bounded.

Places are bytes from the beginning of the conversation, of whole sample frames.
"""

from __future__ import annotations

from collections import deque

from voiceflow.artifact import SAMPLE_RATE_HERTZ
from voiceflow.client.config import AudioFormat, Flush
from voiceflow.errors import Unavailable


class Tape:
    """What was sent, from a place on that moves along; empty pieces leave nothing on it.

    Args:
        audio_format: Of the audio.
        maximum_seconds: No more is kept; the oldest goes.

    Attributes:
        start: Place of the first byte that is kept.
    """

    def __init__(self, audio_format: AudioFormat, maximum_seconds: float) -> None:
        self._format = audio_format
        frames = int(maximum_seconds * audio_format.sample_rate_hertz)
        self._maximum_bytes = frames * audio_format.frame_bytes
        self._kept = bytearray()
        self._flushes: deque[int] = deque()
        self.start = 0

    @property
    def end(self) -> int:
        """Place after the last byte."""
        return self.start + len(self._kept)

    def place(self, samples: int) -> int:
        """Where an offset of the API, in samples at 16 kHz, lies on the tape."""
        frames = round(samples * self._format.sample_rate_hertz / SAMPLE_RATE_HERTZ)
        return frames * self._format.frame_bytes

    def add(self, piece: bytes | Flush) -> None:
        """Keeps the next piece."""
        if not isinstance(piece, Flush):
            self._kept += piece
            self.drop_before(self.end - self._maximum_bytes)
        elif not self._flushes or self._flushes[-1] != self.end:
            self._flushes.append(self.end)

    def drop_before(self, place: int) -> None:
        """Forgets what lies before a place."""
        dropped = min(place, self.end) - self.start
        if dropped > 0:
            del self._kept[:dropped]
            self.start += dropped
        while self._flushes and self._flushes[0] < self.start:
            self._flushes.popleft()

    def playback(self, start: int, *, flushes_after: int, piece_bytes: int) -> Playback:
        """Reads what is kept from a place on, and what is added meanwhile.

        Args:
            start: Not before `self.start`.
            flushes_after: Flushes up to this place are left out.
            piece_bytes: No piece is longer.
        """
        frame_bytes = self._format.frame_bytes
        step = max(1, piece_bytes // frame_bytes) * frame_bytes
        return Playback(self, start, flushes_after, step)

    def flush_after(self, place: int) -> int | None:
        """Where the first flush after a place lies."""
        return next((flush for flush in self._flushes if flush > place), None)

    def read(self, start: int, end: int) -> bytes:
        """What is kept between two places.

        Raises:
            Unavailable: STREAM_CUT: the beginning is not kept any more.
        """
        if start < self.start:
            raise Unavailable("audio that a stream needs is not kept any more", reason="STREAM_CUT")
        return bytes(self._kept[start - self.start : end - self.start])


class Playback:
    """Reads a tape in its order, as it grows.

    Args:
        tape: Which.
        place: From where on.
        flushed: Flushes up to this place are left out.
        step_bytes: No piece is longer.
    """

    def __init__(self, tape: Tape, place: int, flushed: int, step_bytes: int) -> None:
        self._tape = tape
        self._place = place
        self._flushed = flushed
        self._step_bytes = step_bytes

    def next(self) -> bytes | Flush | None:
        """The next piece; None: there is none yet.

        Raises:
            Unavailable: STREAM_CUT: what comes next is not kept any more.
        """
        flush = self._tape.flush_after(self._flushed)
        end = self._tape.end if flush is None else flush
        if self._place < end:
            end = min(end, self._place + self._step_bytes)
            start, self._place = self._place, end
            return self._tape.read(start, end)
        if flush is None:
            return None
        self._flushed = flush
        return Flush()
