"""The newest audio of a conversation, kept to be sent once more: pure, bounded.

Places are bytes from the beginning of the conversation, of whole sample frames.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from voiceflow.artifact import SAMPLE_RATE_HERTZ
from voiceflow.client.config import AudioFormat, Flush


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

    def pieces(
        self, start: int, *, flushes_after: int, piece_bytes: int
    ) -> Iterator[bytes | Flush]:
        """What is kept from a place on, in its order; what is added meanwhile comes, too.

        Args:
            start: Not before `self.start`.
            flushes_after: Flushes up to this place are left out.
            piece_bytes: No piece is longer.
        """
        frame_bytes = self._format.frame_bytes
        step = max(1, piece_bytes // frame_bytes) * frame_bytes
        place, flushed = start, flushes_after
        while True:
            flush = next((one for one in self._flushes if one > flushed), None)
            end = self.end if flush is None else flush
            if place < end:
                taken = min(step, end - place)
                yield bytes(self._kept[place - self.start : place - self.start + taken])
                place += taken
            elif flush is not None:
                yield Flush()
                flushed = flush
            else:
                return
