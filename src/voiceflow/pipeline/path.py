"""The most likely sequence of speakers over the frames that may still change.

A Viterbi search in which a frame's score for a speaker is the cosine of the frame's embedding with
the speaker's prototype, and a change of speaker costs a fixed amount. The sum of cosines over a
segment is its length times the cosine of its mean embedding, so the search averages embeddings over
exactly the segments that it finds. State 0 is a voice that is nobody's: its score is the threshold
below which a voice is new.

A stream knows a handful of speakers: its totals are lists, rounded to single precision after each
sum, and so the same to the bit as arrays that take twice as long.

Source: fixed-lag Viterbi decoding, as in Forney, "The Viterbi Algorithm", Proc. IEEE 61 (1973).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import repeat
from operator import add

import numpy as np
from numpy.typing import NDArray

from voiceflow.pipeline.model import FloatArray

NOBODY_KNOWN = 0
"""The state of a voice that is nobody's; speaker `k` of the gallery is state `k + 1`."""


class SpeakerPath:
    """Fixed-lag search, one step a frame, constant memory.

    Args:
        switch_cost: Cost of a change of speaker, in cosine times frames.
    """

    def __init__(self, switch_cost: float) -> None:
        self._switch_cost = switch_cost
        self._total = [0.0]  # of each state
        # A frame: totals before it, which state a change would come from, and what that would be.
        self._steps: list[tuple[list[float], int, float]] = []
        self._states: list[int] = []  # of the frames held, as last found

    def adopt(self, switch_cost: float) -> None:
        """Cost of a change of speaker from now on, and for the path through the frames held."""
        self._switch_cost = switch_cost
        (cost,) = _single([switch_cost])
        self._steps = [
            (total, best, _single([total[best] - cost])[0]) for total, best, _ in self._steps
        ]
        self._states.clear()

    def totals(self) -> FloatArray:
        """What the states have gained before the first frame held, (states,)."""
        return np.array(self._steps[0][0] if self._steps else self._total, np.float32)

    def resume(self, totals: FloatArray) -> None:
        """Goes on where another search was before its first frame held, (states,)."""
        self._total = totals.tolist()
        self._forget_all()

    def restart(self, states: int, state: int) -> None:
        """Forgets all frames; the path goes on from `state`, as one of `states`."""
        self._total = _single([-self._switch_cost] * states)
        self._total[state] = 0.0
        self._forget_all()

    def extend(self, scores: FloatArray | None, speech: Sequence[bool] | NDArray[np.bool_]) -> None:
        """Takes the next frames.

        Args:
            scores: (frames, states); None: nobody speaks in any of them.
            speech: Of each frame, whether anybody speaks; elsewhere scores do not count.
        """
        (cost,) = _single([self._switch_cost])
        rows = [[]] * len(speech) if scores is None else scores.tolist()
        total, silent_frames = self._total, 0
        for gains, spoken in zip(rows, speech, strict=True):
            if silent_frames < 2:  # a third one in a row changes nothing any more
                most = max(total)
                changed = array("f", (most - cost,))[0]
                step = total, total.index(most), changed
                total = list(map(max, total, repeat(changed)))
            self._steps.append(step)
            silent_frames += 1
            if spoken:
                total = array("f", map(add, total, gains)).tolist()
                silent_frames = 0
        most = max(total)
        self._total = _single([value - most for value in total])

    def retract(self, frames: int) -> None:
        """Takes back the newest frames: they come again, with other scores."""
        if frames:
            self._total = self._steps[-frames][0]
            del self._steps[-frames:]
            del self._states[len(self._steps) :]

    def states(self) -> list[int]:
        """The best state of each frame held."""
        state = self._total.index(max(self._total))
        known, path = self._states, list[int]()
        for frame in range(len(self._steps) - 1, -1, -1):
            if frame < len(known) and known[frame] == state:  # and so are those before it
                path += reversed(known[: frame + 1])
                break
            path.append(state)
            total, best, changed = self._steps[frame]
            if total[state] < changed:
                state = best
        path.reverse()
        self._states = path
        return path.copy()

    def forget(self, frames: int) -> None:
        """Drops the oldest frames: they are final."""
        del self._steps[:frames]
        del self._states[:frames]

    def _forget_all(self) -> None:
        self._steps.clear()
        self._states.clear()


def _single(values: Iterable[float]) -> list[float]:
    """Numbers as single precision holds them."""
    return array("f", values).tolist()
