"""What speakers are called: numbers in the pipeline, `S1`, `S2`, … for everybody else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from voiceflow.pipeline.labels import SILENCE, UNNAMED, Labels
from voiceflow.pipeline.turns import UNKNOWN, SpeakerMerged


class Names:
    """Labels are given in the order in which speakers are first seen, and stay theirs.

    Attributes:
        given: How many of the form `S1` there have been.
        merges: Labels that were found to be one person.
    """

    def __init__(self) -> None:
        self._of = {UNNAMED: UNKNOWN}
        self.given = 0
        self.merges: list[SpeakerMerged] = []

    def resume(self, given: int, merges: Iterable[SpeakerMerged]) -> None:
        """Goes on where others were."""
        self.given = given
        self.merges += merges

    def know(self, names: Mapping[int, str]) -> None:
        """Labels of speakers who had them before, by number."""
        self._of |= names

    def __getitem__(self, speaker: int) -> str:
        return self._of[speaker]

    def get(self, speaker: int) -> str | None:
        """The label of one who may not have been seen yet."""
        return self._of.get(speaker)

    def introduce(self, first: Labels, second: Labels, born_speakers: int) -> None:
        """Gives labels to whoever is new in these frames.

        Args:
            first: Of each frame the loudest speaker.
            second: Likewise the second one.
            born_speakers: How many there have been: where all have labels there is nothing to do.
        """
        if born_speakers < len(self._of):
            return
        for pair in zip(first.tolist(), second.tolist(), strict=True):
            for speaker in pair:
                if speaker not in self._of and speaker != SILENCE:
                    self.given += 1
                    self._of[speaker] = f"S{self.given}"

    def merge(self, merges: Iterable[tuple[int, int]], at_samples: int) -> list[SpeakerMerged]:
        """Notes that a speaker, the first of a pair, is another one; gives what there is to tell.

        Args:
            merges: Pairs of numbers.
            at_samples: Where it was found out.
        """
        told = []
        for source, target in merges:
            if source in self._of and target in self._of:
                told.append(SpeakerMerged(self._of[source], self._of[target], at_samples))
            elif source in self._of:  # the other was never seen: nothing to tell
                self._of[target] = self._of[source]
        self.merges += told
        return told


def by_appearance(name: str) -> tuple[bool, int, str]:
    """Sorts labels: known speakers in the order in which they were seen, the unknown last."""
    return name == UNKNOWN, len(name), name
