"""What a system says of a recording while it listens, and what is known when.

A system that has heard some of the audio tells what it now makes of it; of audio it has told before
it may say something else. The list of its tellings is all that the streaming measures need, so any
system can be measured: one that never takes anything back, one that revises, one that hears the
whole recording first and tells once. In a file each is one line of JSON:

    {"covered_seconds": 1.92, "from_seconds": 0.48, "turns": [["S1", 0.61, 1.92]]}

Delay is counted in audio: what is known of a moment `t` after `d` seconds is what was said of `t`
when the last telling with `covered_seconds <= t + d` had come. How long the system computes is not
in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from voiceflow.errors import InvalidInput
from voiceflow.evaluation.grid import BoolArray, frame_at, labels_of, off_grid, replay
from voiceflow.evaluation.spoken import Spoken, united


@dataclass(frozen=True, slots=True)
class Telling:
    """What a system says at one moment.

    Attributes:
        covered_seconds: Audio that it has heard; never less than at the telling before.
        from_seconds: What was said before of audio from here on is replaced.
        turns: What it says of that audio; parts of turns before `from_seconds` say nothing.
    """

    covered_seconds: float
    from_seconds: float
    turns: tuple[Spoken, ...]


def final(tellings: Sequence[Telling]) -> list[Spoken]:
    """What is said in the end, to the last digit of its times."""
    spoken: list[Spoken] = []
    end = math.inf  # from here on, later tellings have said
    for telling in reversed(tellings):
        start = telling.from_seconds
        spoken += [
            Spoken(turn.speaker, max(turn.start_seconds, start), min(turn.end_seconds, end))
            for turn in telling.turns
        ]
        end = min(end, start)
    return united(spoken)


def known_after(tellings: Sequence[Telling], delay_seconds: float, seconds: float) -> list[Spoken]:
    """What is known of each moment of a recording so long after it, on the grid of 10 ms.

    Args:
        tellings: In order.
        delay_seconds: Infinite: what is said in the end.
        seconds: Of the recording.
    """
    labels = labels_of(tellings)
    return off_grid(known_on_grid(tellings, labels, frame_at(seconds), delay_seconds), labels)


def known_on_grid(
    tellings: Sequence[Telling], labels: Sequence[str], frames: int, delay_seconds: float
) -> BoolArray:
    """The same, as (frames, labels)."""
    known = np.zeros((frames, len(labels)), np.bool_)
    # A telling is the last one for the frames from its own to the next one's time, less the delay.
    firsts = [frame_at(telling.covered_seconds - delay_seconds) for telling in tellings]
    spans = pairwise([*firsts, frames])
    for (_, said), (first, end) in zip(replay(tellings, labels, frames), spans, strict=True):
        known[first:end] = said[first:end]
    return known


def write_tellings(path: Path, tellings: Iterable[Telling]) -> None:
    """Writes a line for each; what is read again is equal."""
    with path.open("w", encoding="utf-8") as file:
        for telling in tellings:
            turns = tuple(
                (one.speaker, one.start_seconds, one.end_seconds) for one in telling.turns
            )
            line = _Line(
                covered_seconds=telling.covered_seconds,
                from_seconds=telling.from_seconds,
                turns=turns,
            )
            file.write(line.model_dump_json() + "\n")


def read_tellings(path: Path) -> list[Telling]:
    """Reads what any system has written.

    Raises:
        InvalidInput: TELLINGS_INVALID, with the line at fault.
    """
    tellings = []
    covered_seconds = 0.0
    for number, text in enumerate(path.read_text("utf-8").split("\n"), start=1):
        if not text:
            continue
        try:
            line = _Line.model_validate_json(text)
        except ValidationError as error:
            raise _invalid(path, number, text) from error
        if line.covered_seconds < covered_seconds:
            raise _invalid(path, number, text)
        covered_seconds = line.covered_seconds
        turns = tuple(Spoken(*turn) for turn in line.turns)
        tellings.append(Telling(covered_seconds, line.from_seconds, turns))
    return tellings


_Seconds = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)

    covered_seconds: _Seconds
    from_seconds: _Seconds
    turns: tuple[tuple[str, _Seconds, _Seconds], ...]


def _invalid(path: Path, number: int, text: str) -> InvalidInput:
    return InvalidInput(
        f"{path.name}: line {number} is {text[:200]!r}; allowed is"
        ' {"covered_seconds": …, "from_seconds": …, "turns": [[speaker, start, end], …]}, times in'
        " seconds from 0, covered_seconds never less than in the line before",
        reason="TELLINGS_INVALID",
        field="tellings",
    )
