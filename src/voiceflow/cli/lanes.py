"""What the live view shows, as values: pure, so that it can be tested without a terminal."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from voiceflow.artifact import SAMPLE_RATE_HERTZ
from voiceflow.client import UNKNOWN, Event, Region, Timeline, Turn, Update, seconds

_STILL_SPEAKING_SAMPLES = SAMPLE_RATE_HERTZ * 3 // 4
"""The newest labels are this much behind the audio at most (look-ahead and a frame)."""


class Cell(Enum):
    """One character of a lane."""

    SILENT = 0
    PROVISIONAL = 1
    FINAL = 2


@dataclass(frozen=True, slots=True)
class Lane:
    """One speaker: talk time so far, and whether the newest audio has the voice."""

    speaker: str
    talk_seconds: float
    speaking: bool


class LiveLanes:
    """Follows a stream; remembers only what a window of the newest audio needs.

    Args:
        window_seconds: Audio that is shown.
    """

    def __init__(self, window_seconds: float) -> None:
        self.window_seconds = window_seconds
        self.covered_seconds = 0.0
        self.sent_seconds = 0.0
        self._recent: deque[Region] = deque()
        self._provisional: tuple[Turn, ...] = ()
        self._talk_samples: dict[str, int] = {}

    def sent(self, total_seconds: float) -> None:
        """So much audio is on its way."""
        self.sent_seconds = total_seconds

    def event(self, event: Event) -> None:
        """Takes the next event."""
        if not isinstance(event, Update):
            return
        self.covered_seconds = seconds(event.covered_samples)
        self._provisional = tuple(turn for turn in event.turns if not turn.final)
        for region in event.final_regions:
            self._recent.append(region)
            for speaker in region.speakers:
                length = region.end_samples - region.start_samples
                self._talk_samples[speaker] = self._talk_samples.get(speaker, 0) + length
        start = self.start_seconds * SAMPLE_RATE_HERTZ
        while self._recent and self._recent[0].end_samples < start:
            self._recent.popleft()

    @property
    def lag_seconds(self) -> float:
        """Audio that was sent and is not computed: up to a hop, if the service keeps up."""
        return max(0.0, self.sent_seconds - self.covered_seconds)

    @property
    def start_seconds(self) -> float:
        """Start of the window; it begins to move when it is full."""
        return max(0.0, self.covered_seconds - self.window_seconds)

    def lanes(self, timeline: Timeline) -> tuple[Lane, ...]:
        """The speakers, by number, `UNKNOWN` last; merged ones are one."""
        talk: dict[str, int] = {}
        for label, samples in self._talk_samples.items():
            name = timeline.name_of(label)
            talk[name] = talk.get(name, 0) + samples
        for turn in self._provisional:
            talk.setdefault(timeline.name_of(turn.speaker), 0)
        newest = round(self.covered_seconds * SAMPLE_RATE_HERTZ) - _STILL_SPEAKING_SAMPLES
        speaking = {
            timeline.name_of(turn.speaker)
            for turn in self._provisional
            if turn.end_samples >= newest
        }
        return tuple(
            Lane(name, seconds(talk[name]), name in speaking) for name in sorted(talk, key=_order)
        )

    def cells(self, timeline: Timeline, speaker: str, count: int) -> tuple[Cell, ...]:
        """One lane of the window, from its start on, in `count` characters."""
        cells = [Cell.SILENT] * count
        spans = [
            (turn.start_samples, turn.end_samples)
            for turn in self._provisional
            if timeline.name_of(turn.speaker) == speaker
        ]
        self._paint(cells, spans, Cell.PROVISIONAL)
        spans = [
            (region.start_samples, region.end_samples)
            for region in self._recent
            if speaker in {timeline.name_of(label) for label in region.speakers}
        ]
        self._paint(cells, spans, Cell.FINAL)
        return tuple(cells)

    def _paint(self, cells: list[Cell], spans: Iterable[tuple[int, int]], kind: Cell) -> None:
        """Fills the characters whose middle lies in a span."""
        per_cell = self.window_seconds / len(cells)
        for start, end in spans:
            first = (seconds(start) - self.start_seconds) / per_cell
            last = (seconds(end) - self.start_seconds) / per_cell
            for index in range(max(0, round(first)), min(len(cells), round(last))):
                cells[index] = kind


def _order(speaker: str) -> tuple[bool, int, str]:
    number = int(speaker[1:]) if speaker[:1] == "S" and speaker[1:].isdigit() else 0
    return (speaker == UNKNOWN, number, speaker)
