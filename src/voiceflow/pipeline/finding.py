"""Finds the speakers of a stream again where vectors mean something else than they did.

The audio before the end of the final regions is heard again, and the regions say who spoke there:
what is heard where one speaker alone was told is that speaker's voice, whatever it looks like now.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

from voiceflow.artifact import OperatingPoint
from voiceflow.pipeline.activity import Voices
from voiceflow.pipeline.model import FloatArray
from voiceflow.pipeline.snapshot import Snapshot
from voiceflow.pipeline.turns import UNKNOWN


class Finder:
    """Adds up who sounds how over the final regions that are heard again.

    Args:
        snapshot: Of the stream.
        point: Thresholds of the model that hears it now.
        frame_samples: Its frame.
        first_frame: The first frame that it hears.
    """

    def __init__(
        self, snapshot: Snapshot, point: OperatingPoint, frame_samples: int, first_frame: int
    ) -> None:
        self._point = point
        self._frame_samples = frame_samples
        self._first_frame = first_frame
        self._enrolled = snapshot.enrolled_names
        self._aliases = {merge.from_speaker: merge.to_speaker for merge in snapshot.merges}
        self._ends = [region.end_samples for region in snapshot.recent]
        self._starts = [region.start_samples for region in snapshot.recent]
        self._speakers = [
            self.resolve(region.speakers[0]) if len(region.speakers) == 1 else ""
            for region in snapshot.recent
        ]
        self._voices: dict[str, tuple[FloatArray, float]] = {}

    def hear(self, first_frame: int, voices: Voices) -> None:
        """Takes frames of the audio before the end of the final regions, in their order.

        What a model says of frames before its first one says nothing, and is left out.
        """
        unheard = min(max(0, self._first_frame - first_frame), len(voices.activity))
        first_frame, voices = first_frame + unheard, voices.since(unheard)
        clean = (voices.activity[:, 0] > self._point.activity_threshold) & (
            voices.activity[:, 1] <= self._point.overlap_threshold
        )  # (frames,)
        names = [self._speaker_at(first_frame + frame) for frame in range(len(clean))]
        for name in {*names} - {"", UNKNOWN}:
            own: NDArray[np.bool_] = clean & np.array([other == name for other in names])
            total, frames = self._voices.get(name, (np.float32(0.0), 0.0))
            heard: FloatArray = voices.embedding[own, 0].sum(axis=0)
            self._voices[name] = (total + heard, frames + float(own.sum()))

    def found(self, least_frames: float) -> dict[str, tuple[FloatArray, float]]:
        """The speakers heard for long enough: the enrolled, then first labelled first.

        Args:
            least_frames: What says enough of a voice.

        Returns:
            By label, the sum of unit embeddings, (dim,), and how many there are.
        """
        names = sorted(self._voices, key=self._rank)
        return {name: self._voices[name] for name in names if self._voices[name][1] >= least_frames}

    def resolve(self, name: str) -> str:
        """The label that this one has been merged into, or itself."""
        while name in self._aliases:
            name = self._aliases[name]
        return name

    def _rank(self, name: str) -> tuple[int, int, str]:
        if name in self._enrolled:
            return self._enrolled.index(name), 0, name
        return len(self._enrolled), len(name), name

    def _speaker_at(self, frame: int) -> str:
        """The one speaker told at the middle of a frame; empty where there was none, or two."""
        middle = frame * self._frame_samples + self._frame_samples // 2
        at = bisect_right(self._starts, middle) - 1
        return self._speakers[at] if at >= 0 and middle < self._ends[at] else ""
