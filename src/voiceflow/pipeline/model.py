"""The seam between the pipeline and a model: what goes in, what comes out, for both contracts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from voiceflow.artifact import Manifest

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Frames:
    """What a model says about one hop of each stream of a batch, or of one stream.

    Frame `i` of `speech` is frame `i` of the hop; frame `i` of `activity` and `embedding` is
    `look_ahead_frames` before it.

    Attributes:
        speech: Probability that anyone speaks, (batch, frames).
        activity: Probability per track, loudest first, (batch, frames, tracks).
        embedding: Unit vectors, (batch, frames, tracks, dim).
    """

    speech: FloatArray
    activity: FloatArray
    embedding: FloatArray

    def of(self, index: int) -> Frames:
        """The frames of one stream of the batch: the same arrays without the batch axis."""
        return Frames(self.speech[index], self.activity[index], self.embedding[index])

    @classmethod
    def joined(cls, parts: Sequence[Frames]) -> Frames:
        """Those of a batch, (batch, frames, …), one after the other."""
        return cls(
            np.concatenate([part.speech for part in parts], axis=1),
            np.concatenate([part.activity for part in parts], axis=1),
            np.concatenate([part.embedding for part in parts], axis=1),
        )

    def cut(self, hops: int) -> list[Frames]:
        """The frames of each of so many hops of one stream."""
        size = len(self.speech) // hops
        spans = [slice(start, start + size) for start in range(0, size * hops, size)]
        return [Frames(self.speech[s], self.activity[s], self.embedding[s]) for s in spans]


State = Mapping[str, FloatArray]
"""Memory of a batch of streams by tensor name, each (batch, …)."""


class BoundModel(Protocol):
    """A loaded model version behind either contract.

    A stateful model's state is its own tensors; a windowed model's is the audio that its window
    still needs. The caller keeps both the same way.
    """

    @property
    def manifest(self) -> Manifest:
        """What is said of this version."""

    @property
    def state_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of each state tensor of one stream, all float32, zero at the start."""

    def run(self, audio: FloatArray, state: State) -> tuple[Frames, dict[str, FloatArray]]:
        """Computes one hop of each stream; a stateful model computes several as well.

        Args:
            audio: 16 kHz samples in -1 to 1, (batch, samples), samples a whole number of frames and
                at most the largest hop of the manifest, or some such hops.
            state: The streams' memory before the hop.

        Returns:
            The frames and the memory after the hop.
        """

    def terminate(self) -> None:
        """Ends the calls that run now, which then raise; later ones are not affected.

        Called while another thread is in `run`. A call may go on for a while, or for ever, where
        it is in no place to be ended.
        """


def empty_state(model: BoundModel, batch: int) -> dict[str, FloatArray]:
    """The memory of `batch` streams at their start."""
    return {
        name: np.zeros((batch, *shape), np.float32) for name, shape in model.state_shapes.items()
    }
