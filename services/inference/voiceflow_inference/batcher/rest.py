"""How long an engine rests after a batch of live hops, so that the next one is larger.

A hop in a batch of sixteen costs half of what it costs alone. The engine rests for twice the time
that its last batch took, for each of its hops: who has hops to gather gathers them, and one with
little to do hardly waits. It rests at most for a small share of the hop, so that one with much to
do does not fall behind; and not when a whole batch waits.
"""

from __future__ import annotations

from typing import Final

from voiceflow.artifact import SAMPLE_RATE_HERTZ


class Rest:
    """When the next batch of live hops may begin; under its owner's lock."""

    def __init__(self) -> None:
        self._ended_seconds = 0.0
        self._wanted_seconds = 0.0

    def begin(self, ended_seconds: float, took_seconds: float, hops: int) -> None:
        """A batch of so many live hops is done with."""
        self._ended_seconds = ended_seconds
        self._wanted_seconds = _REST_PER_WORK * took_seconds * hops

    def ends_at(self, hop_samples: int) -> float:
        """From when on hops of that length are not kept waiting."""
        most_seconds = hop_samples / SAMPLE_RATE_HERTZ * _SHARE_OF_HOP
        return self._ended_seconds + min(self._wanted_seconds, most_seconds)


_REST_PER_WORK: Final = 2.0
_SHARE_OF_HOP: Final = 1 / 32
