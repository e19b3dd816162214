"""What stands between hearing a hop and telling of it."""

from __future__ import annotations

from dataclasses import dataclass

from voiceflow.pipeline.identity import Named
from voiceflow.pipeline.turns import SpeechEventKind


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """A hop that was heard, and is not told of yet.

    Attributes:
        named: Labels of all frames that may still change.
        edges: Where speech and overlap begin and end, by frames of the stream.
    """

    named: Named
    edges: tuple[tuple[SpeechEventKind, int], ...]
