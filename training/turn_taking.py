"""Draws pauses, gaps and durations from the histograms of `turn_taking.json`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

CORPORA = ("ami", "msdwild")


@dataclass(frozen=True)
class Histogram:
    """Values in seconds: `cumulative[i]` is the share below `edges[i + 1]`."""

    edges: npt.NDArray[np.float64]
    cumulative: npt.NDArray[np.float64]

    def draw(self, rng: np.random.Generator) -> float:
        """One value, uniform within its bin."""
        index = int(np.searchsorted(self.cumulative, rng.random(), side="right"))
        index = min(index, len(self.cumulative) - 1)
        return float(rng.uniform(self.edges[index], self.edges[index + 1]))


@dataclass(frozen=True)
class TurnTaking:
    """How the people of one corpus take turns."""

    same_speaker_next: float
    interjection: float
    pause: Histogram
    gap: Histogram
    turn: Histogram
    interjected: Histogram


@dataclass(frozen=True)
class Turn:
    """One stretch of one speaker (an index within the conversation), in seconds."""

    speaker: int
    start_seconds: float
    end_seconds: float


def read_turn_taking(path: Path) -> tuple[TurnTaking, ...]:
    """The corpora used here: meetings and videos."""
    data = json.loads(path.read_text(encoding="utf-8"))
    return tuple(_turn_taking(data[name]) for name in CORPORA)


def lay_out(
    rng: np.random.Generator,
    manner: TurnTaking,
    speakers: int,
    seconds: float,
    longest_turn_seconds: float,
    overlapping: bool,
    eagerness_seconds: float = 0.0,
) -> list[Turn]:
    """Turns filling `seconds`, in order of their start. A speaker never overlaps itself.

    Args:
        rng: What is drawn is drawn from it.
        manner: How turns are taken.
        speakers: How many there are.
        seconds: To be filled.
        longest_turn_seconds: Longer turns are cut.
        overlapping: Whether people speak at once.
        eagerness_seconds: How much sooner than by their manner others begin, on average, where
            people speak at once.
    """
    turns: list[Turn] = []
    now = float(rng.uniform(0, 1))
    speaker = int(rng.integers(speakers))
    free = [0.0] * speakers  # when each speaker's last stretch has ended
    while now < seconds:
        length = float(np.clip(manner.turn.draw(rng), 0.3, longest_turn_seconds))
        start = max(now, free[speaker])
        end = min(start + length, seconds)
        if end - start > 0.2:
            turns.append(Turn(speaker, start, end))
        free[speaker] = end + 0.1
        others = [s for s in range(speakers) if s != speaker]
        if others and overlapping and end - start > 2 and rng.random() < manner.interjection:
            other = int(rng.choice(others))
            begin = float(rng.uniform(start + 0.3, end - 0.5))
            stop = min(begin + manner.interjected.draw(rng), end)
            if begin > free[other] and stop - begin > 0.2:
                turns.append(Turn(other, begin, stop))
                free[other] = stop + 0.1
        if not others or rng.random() < manner.same_speaker_next:
            now = end + max(manner.pause.draw(rng), 0.3)
        else:
            speaker = int(rng.choice(others))
            early = rng.exponential(eagerness_seconds) if eagerness_seconds else 0.0
            gap = manner.gap.draw(rng) - early
            now = end + (max(gap, start - end + 0.3) if overlapping else max(gap, 0.0))
    return sorted(turns, key=lambda turn: turn.start_seconds)


def _turn_taking(entry: dict[str, Any]) -> TurnTaking:
    return TurnTaking(
        entry["same_speaker_next_fraction"],
        entry["interjection_fraction"],
        _histogram(entry["same_speaker_pause"]),
        _histogram(entry["switch_gap"]),
        _histogram(entry["turn_duration"]),
        _histogram(entry["interjection_duration"]),
    )


def _histogram(entry: dict[str, Any]) -> Histogram:
    counts = np.asarray(entry["counts"], np.float64)
    return Histogram(np.asarray(entry["edges"]), np.cumsum(counts) / counts.sum())
