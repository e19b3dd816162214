"""What speakers are called: numbers in the pipeline, `S1`, `S2`, … or a name elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from voiceflow.pipeline.labels import SILENCE, UNNAMED, Labels
from voiceflow.pipeline.turns import UNKNOWN, SpeakerMerged

MAXIMUM_NAME_CHARACTERS = 64
"""Of a name that somebody is enrolled with."""


class Names:
    """Labels are given in the order in which speakers are first seen, and stay theirs.

    Who is enrolled has a name before that, which stays theirs: nothing of it is ever another's.

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
        """Labels of speakers who had them before, or are enrolled, by number."""
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
        for pair in zip(first, second, strict=True):
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


def is_automatic(name: str) -> bool:
    """Whether a name has the form of a label that is given here: `S1`, `UNKNOWN`."""
    return name == UNKNOWN or (name[:1] == "S" and name.isascii() and name[1:].isdecimal())


def why_no_name(name: str) -> str:
    """What is wrong with a name that somebody is to be enrolled with; empty if nothing is."""
    if not 1 <= len(name) <= MAXIMUM_NAME_CHARACTERS:
        return f"a name of {len(name)} characters; allowed are 1 to {MAXIMUM_NAME_CHARACTERS}"
    if not name.isprintable() or name != name.strip():
        return "a name with what is not seen; allowed are printable characters, spaces inside"
    if is_automatic(name):
        return "a name of the form of an automatic label; allowed are all but S1, S2, …, UNKNOWN"
    return ""


def by_appearance(name: str) -> tuple[int, int, str]:
    """Sorts labels: enrolled names, then speakers as they were first seen, the unknown last."""
    if name == UNKNOWN:
        return 2, 0, name
    return (1, len(name), name) if is_automatic(name) else (0, 0, name)
