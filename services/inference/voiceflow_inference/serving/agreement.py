"""How far two diarizations of the same audio differ, as their regions become final. Pure."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping

import numpy as np

from voiceflow.pipeline.turns import UNKNOWN, Region


class Agreement:
    """Compares final regions where both diarizations have some.

    Labels of the two mean nothing to each other: the one-to-one mapping is taken that explains most
    of the audio so far. Nobody is only nobody, and `UNKNOWN` only `UNKNOWN`.

    Args:
        frame_samples: What is counted.
    """

    def __init__(self, frame_samples: int) -> None:
        self._frame_samples = frame_samples
        self._waiting: tuple[deque[Region], deque[Region]] = (deque(), deque())
        self._together: Counter[tuple[str, str]] = Counter()  # samples by pair of labels
        self._compared_samples = 0
        self._differing_samples = 0

    @property
    def waiting_regions(self) -> int:
        """Regions of one diarization that the other has not reached yet."""
        return sum(map(len, self._waiting))

    def compare(
        self, ours: Iterable[Region] = (), theirs: Iterable[Region] = ()
    ) -> tuple[int, int]:
        """Takes the next regions of either diarization.

        Args:
            ours: The next ones of the first; they begin where its last one ended.
            theirs: Of the second.

        Returns:
            Frames compared now, and those of them that differ.
        """
        for waiting, regions in zip(self._waiting, (ours, theirs), strict=True):
            waiting.extend(regions)
        pieces = list(self._overlaps())
        for samples, one, two in pieces:
            for pair in ((a, b) for a in one - {UNKNOWN} for b in two - {UNKNOWN}):
                self._together[pair] += samples
        meaning = _best_mapping(self._together)
        before = self._frames()
        for samples, one, two in pieces:
            self._compared_samples += samples
            if one != {meaning.get(label, label) for label in two}:
                self._differing_samples += samples
        compared, differing = self._frames()
        return compared - before[0], differing - before[1]

    def _frames(self) -> tuple[int, int]:
        """Whole frames so far: those of the two need not begin at the same places."""
        compared = self._compared_samples // self._frame_samples
        return compared, self._differing_samples // self._frame_samples

    def _overlaps(self) -> Iterable[tuple[int, set[str], set[str]]]:
        """Stretches in which neither changes, in samples; they are taken from what waits."""
        one, two = self._waiting
        while one and two:
            start = max(one[0].start_samples, two[0].start_samples)
            end = min(one[0].end_samples, two[0].end_samples)
            if start < end:
                yield end - start, set(one[0].speakers), {_foreign(s) for s in two[0].speakers}
            for waiting in (one, two):
                if waiting[0].end_samples <= end:
                    waiting.popleft()


def _foreign(label: str) -> str:
    """A label of the second diarization, so that none equals one of the first by chance."""
    return label if label == UNKNOWN else f"{label}'"


def _best_mapping(together: Mapping[tuple[str, str], int]) -> dict[str, str]:
    """Labels of the second by those of the first, one to one, most samples explained."""
    # Twelve megabytes that only a service with a shadow needs.
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415

    ours = sorted({one for one, _ in together})
    theirs = sorted({two for _, two in together})
    samples = np.array([[together.get((one, two), 0) for two in theirs] for one in ours])
    if not samples.size:
        return {}
    rows, columns = linear_sum_assignment(samples, maximize=True)
    return {theirs[column]: ours[row] for row, column in zip(rows, columns, strict=True)}
