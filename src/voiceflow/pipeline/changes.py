"""When another speaker has taken over, told once each time; and how often that was taken back."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from voiceflow.pipeline.labels import SILENCE, UNNAMED, Labels, runs


class ChangeDetector:
    """Looks for changes among the frames that are not final yet.

    Args:
        lag_frames: How long a new speaker must have been heard before the change is told, unless
            it becomes final before that.

    Attributes:
        announced: Who spoke when it was last looked.
        scanned_frames: How far it was looked.
    """

    def __init__(self, lag_frames: int) -> None:
        self._lag_frames = lag_frames
        self.announced = UNNAMED
        self.scanned_frames = 0

    def find(self, first: Labels, held_from: int, final_frames: int) -> list[tuple[int, int]]:
        """The changes that can be told now: frame of the stream, and who speaks from there.

        Args:
            first: Of each held frame the loudest speaker.
            held_from: Where the held frames begin.
            final_frames: How many of them become final.
        """
        begin = max(0, self.scanned_frames - held_from)
        end = max(final_frames, len(first) - self._lag_frames)
        changes = []
        for start, _ in runs(first[begin:end]):
            speaker = first[begin + start]
            if speaker < 0 or speaker == self.announced:
                continue
            if self.announced != UNNAMED:
                at = begin + start
                while at and first[at - 1] == speaker:
                    at -= 1
                changes.append((held_from + at, speaker))
            self.announced = speaker
        self.scanned_frames = max(self.scanned_frames, held_from + end)
        return changes

    def merge(self, merges: Mapping[int, int]) -> None:
        """Whoever spoke last may be known by another number."""
        self.announced = merges.get(self.announced, self.announced)


class LabelChanges:
    """Counts what a listener saw change: stretches that got another speaker than they had.

    Attributes:
        count: So far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._seen: Labels = []  # of the held frames, as last seen

    def see(self, labels: Labels, final_frames: int) -> None:
        """Takes the labels of the held frames, of which the first become final."""
        before = self._seen
        now = labels[: len(before)]
        if now != before:
            changed = [
                was >= 0 and was != label != SILENCE for was, label in zip(before, now, strict=True)
            ]
            self.count += sum(one and not other for other, one in pairwise([False, *changed]))
        self._seen = labels[final_frames:]
