"""How long an engine rests after a batch of live hops, so that the next one is larger.

A hop in a batch of sixteen costs half of what it costs alone. The engine rests for twice the time
that its last batch took, so that one with little to do hardly waits; at most for a small share of
the hop, so that one with much to do does not fall behind; and not when a whole batch waits.
"""

from __future__ import annotations

from typing import Final

from voiceflow.artifact import SAMPLE_RATE_HERTZ


class Rest:
    """When the next batch of live hops may begin; under its owner's lock."""

    def __init__(self) -> None:
        self._ended_seconds = 0.0
        self._took_seconds = 0.0

    def begin(self, ended_seconds: float, took_seconds: float) -> None:
        """A batch of live hops is done with."""
        self._ended_seconds, self._took_seconds = ended_seconds, took_seconds

    def ends_at(self, hop_samples: int) -> float:
        """From when on hops of that length are not kept waiting."""
        most_seconds = hop_samples / SAMPLE_RATE_HERTZ * _SHARE_OF_HOP
        return self._ended_seconds + min(_REST_PER_WORK * self._took_seconds, most_seconds)


_REST_PER_WORK: Final = 2.0
_SHARE_OF_HOP: Final = 1 / 32
