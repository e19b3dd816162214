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
        self._back: list[NDArray[np.intp]] = []  # a frame: (states,) the state before

    def restart(self, states: int, state: int) -> None:
        """Forgets all frames; the path goes on from `state`, as one of `states`."""
        self._total = np.full(states, -self._switch_cost, np.float32)
        self._total[state] = 0.0
        self._back.clear()

    def extend(self, scores: FloatArray, speech: NDArray[np.bool_]) -> None:
        """Takes the next frames.

        Args:
            scores: (frames, states).
            speech: (frames,) whether anybody speaks; elsewhere scores do not count.
        """
        states = np.arange(scores.shape[1])
        gains = np.where(speech[:, None], scores, np.float32(0.0))
        total = self._total
        for gain in gains:
            best = total.argmax()
            switched = total[best] - self._switch_cost
            self._back.append(np.where(switched > total, best, states))
            total = np.maximum(total, switched) + gain
        self._total = total - total.max()

    def states(self) -> NDArray[np.intp]:
        """The best state of each frame held, (frames,)."""
        path = np.empty(len(self._back), np.intp)
        state = self._total.argmax()
        for frame in range(len(path) - 1, -1, -1):
            path[frame] = state
            state = self._back[frame][state]
        return path

    def forget(self, frames: int) -> None:
        """Drops the oldest frames: they are final."""
        del self._back[:frames]
