"""How far the sending of a stream may run ahead of what its caller has seen."""

from __future__ import annotations

import asyncio

from voiceflow.client.config import AudioFormat
from voiceflow.client.events import seconds


class Window:
    """Lets so much audio out, and no more before the caller has seen the rest covered.

    Args:
        audio_format: Of the audio.
        ahead_seconds: That may be sent past what was seen.
    """

    def __init__(self, audio_format: AudioFormat, ahead_seconds: float) -> None:
        self._format = audio_format
        self._ahead_seconds = ahead_seconds
        self._sent_seconds = 0.0
        self._covered_seconds = 0.0
        self._moved = asyncio.Event()

    def restart(self, covered_samples: int) -> None:
        """Another stream goes on from here."""
        self._covered_seconds = seconds(covered_samples)

    def sent(self, place: int) -> None:
        """Everything before a place has been sent."""
        self._sent_seconds = self._format.seconds(place)

    def cover(self, samples: int) -> None:
        """The caller has seen that so much audio is computed."""
        self._covered_seconds = max(self._covered_seconds, seconds(samples))
        self._moved.set()

    async def room(self, size_bytes: int) -> None:
        """Waits until so much more audio may be sent."""
        while self._sent_seconds - self._covered_seconds > self._ahead_seconds:
            self._moved.clear()
            await self._moved.wait()
        self._sent_seconds += self._format.seconds(size_bytes)
