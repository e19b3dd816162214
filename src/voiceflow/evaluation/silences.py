"""The silences of a reference, in which nobody speaks, and which of them end somebody's speech."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from voiceflow.evaluation.spoken import Spoken, united

END_SECONDS: Final = 0.5
"""A silence of at least so long is an end of speech."""


class SilenceKind(StrEnum):
    """What a silence is to who waits for the end of speech."""

    END = "end"
    """At least `END_SECONDS` long, after speech; where the recording ends sooner, it is none."""
    PAUSE = "pause"
    """Within a shorter silence of one speaker, who goes on."""
    NEITHER = "neither"
    """Before the first word, between two speakers, or cut off by the end of the recording."""


@dataclass(frozen=True, slots=True)
class Silence:
    """A half-open span in which nobody speaks; it may be empty at either end of a recording."""

    start_seconds: float
    end_seconds: float
    kind: SilenceKind


def silences_in(reference: Sequence[Spoken], seconds: float) -> list[Silence]:
    """All of a recording of so many seconds: that before the first word, and after each speech."""
    turns = united(
        Spoken(one.speaker, one.start_seconds, min(one.end_seconds, seconds)) for one in reference
    )
    speech = united(Spoken("", one.start_seconds, one.end_seconds) for one in turns)
    breaths = _breaths(turns)
    starts = [0.0, *(one.end_seconds for one in speech)]
    ends = [*(one.start_seconds for one in speech), seconds]
    silences = []
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        kind = SilenceKind.NEITHER
        if number and _is_end(start, end):  # the first one is before the first word
            kind = SilenceKind.END
        elif any(first <= start and end <= last for first, last in breaths):
            kind = SilenceKind.PAUSE
        silences.append(Silence(start, end, kind))
    return silences


def _breaths(turns: Sequence[Spoken]) -> list[tuple[float, float]]:
    """Where a speaker is silent for too short a time to have ended."""
    last_end: dict[str, float] = {}
    breaths = []
    for turn in turns:
        before = last_end.get(turn.speaker)
        if before is not None and not _is_end(before, turn.start_seconds):
            breaths.append((before, turn.start_seconds))
        last_end[turn.speaker] = turn.end_seconds
    return breaths


def _is_end(start_seconds: float, end_seconds: float) -> bool:
    return round(end_seconds - start_seconds, 6) >= END_SECONDS  # whatever the last bits say
