"""The most likely sequence of speakers over the frames that may still change.

A Viterbi search in which a frame's score for a speaker is the cosine of the frame's embedding with
the speaker's prototype, and a change of speaker costs a fixed amount. The sum of cosines over a
segment is its length times the cosine of its mean embedding, so the search averages embeddings over
exactly the segments that it finds. State 0 is a voice that is nobody's: its score is the threshold
below which a voice is new.

Source: fixed-lag Viterbi decoding, as in Forney, "The Viterbi Algorithm", Proc. IEEE 61 (1973).
"""

from __future__ import annotations

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
        self._total = np.zeros(1, np.float32)  # (states,)
        # A frame: totals before it, (states,), and which state a change would come from.
        self._steps: list[tuple[FloatArray, int]] = []

    def adopt(self, switch_cost: float) -> None:
        """Cost of a change of speaker from now on."""
        self._switch_cost = switch_cost

    def totals(self) -> FloatArray:
        """What the states have gained before the first frame held, (states,)."""
        return self._steps[0][0] if self._steps else self._total

    def resume(self, totals: FloatArray) -> None:
        """Goes on where another search was before its first frame held, (states,)."""
        self._total = totals
        self._steps.clear()

    def restart(self, states: int, state: int) -> None:
        """Forgets all frames; the path goes on from `state`, as one of `states`."""
        self._total = np.full(states, -self._switch_cost, np.float32)
        self._total[state] = 0.0
        self._steps.clear()

    def extend(self, scores: FloatArray, speech: NDArray[np.bool_]) -> None:
        """Takes the next frames.

        Args:
            scores: (frames, states).
            speech: (frames,) whether anybody speaks; elsewhere scores do not count.
        """
        gains = np.where(speech[:, None], scores, np.float32(0.0))
        total = self._total
        for gain in gains:
            best = int(total.argmax())
            self._steps.append((total, best))
            total = np.maximum(total, total[best] - self._switch_cost) + gain
        self._total = total - total.max()

    def retract(self, frames: int) -> None:
        """Takes back the newest frames: they come again, with other scores."""
        if frames:
            self._total = self._steps[-frames][0]
            del self._steps[-frames:]

    def states(self) -> NDArray[np.intp]:
        """The best state of each frame held, (frames,)."""
        state = int(self._total.argmax())
        path = []
        for total, best in reversed(self._steps):
            path.append(state)
            if total[best] - self._switch_cost > total[state]:
                state = best
        return np.array(path[::-1], np.intp)

    def forget(self, frames: int) -> None:
        """Drops the oldest frames: they are final."""
        del self._steps[:frames]
