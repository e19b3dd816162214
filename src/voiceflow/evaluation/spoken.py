"""Who spoke when, as a reference or a system says it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from voiceflow.artifact import SAMPLE_RATE_HERTZ
from voiceflow.pipeline.turns import HopResult, Region

_TOUCHING_SECONDS: Final = 0.5 / SAMPLE_RATE_HERTZ
"""Half a sample: what is closer than that touches, however its seconds were rounded."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """One stretch of one speaker's speech."""

    speaker: str
    start_seconds: float
    end_seconds: float


def united(spoken: Iterable[Spoken]) -> list[Spoken]:
    """Each speaker's stretches that touch or overlap as one, in order of start.

    Nobody speaks twice at a time: a reference that lists a word twice does not ask for it twice.
    Empty stretches are left out.
    """
    by_speaker: dict[str, list[Spoken]] = {}
    for one in sorted(spoken, key=lambda one: one.start_seconds):
        if one.end_seconds <= one.start_seconds:
            continue
        stretches = by_speaker.setdefault(one.speaker, [])
        if stretches and one.start_seconds <= stretches[-1].end_seconds + _TOUCHING_SECONDS:
            last = stretches[-1]
            end = max(last.end_seconds, one.end_seconds)
            stretches[-1] = Spoken(last.speaker, last.start_seconds, end)
        else:
            stretches.append(one)
    return in_order(one for stretches in by_speaker.values() for one in stretches)


def in_order(spoken: Iterable[Spoken]) -> list[Spoken]:
    """By start, then end, then speaker: the same stretches always come out alike."""
    return sorted(spoken, key=lambda one: (one.start_seconds, one.end_seconds, one.speaker))


def spoken_in(regions: Iterable[Region]) -> list[Spoken]:
    """The stretches of speech in a partition of the audio."""
    return united(
        Spoken(
            speaker,
            region.start_samples / SAMPLE_RATE_HERTZ,
            region.end_samples / SAMPLE_RATE_HERTZ,
        )
        for region in regions
        for speaker in region.speakers
    )


def final_regions(results: Iterable[HopResult]) -> list[Region]:
    """What is final, in order; merged speakers keep the label they were sent with."""
    return [region for result in results for region in result.final_regions]
