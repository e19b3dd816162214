"""Cuts a stream of 16 kHz samples into hops, wherever the pieces that arrive begin and end."""

from __future__ import annotations

import numpy as np

from voiceflow.pipeline.model import FloatArray


class HopCutter:
    """Collects samples and gives them out in hops.

    Args:
        hop_samples: Samples of one hop, a multiple of `frame_samples`.
        frame_samples: Samples of one model frame.
    """

    def __init__(self, hop_samples: int, frame_samples: int) -> None:
        self._hop_samples = hop_samples
        self._hop: FloatArray | None = None  # what has begun; none where messages hold whole hops
        self._frame_samples = frame_samples
        self._filled_samples = 0
        self.received_samples = 0

    def push(self, samples: FloatArray) -> list[FloatArray]:
        """Takes samples (any number) and returns the hops that they complete, in order.

        A hop that lies within them as a whole is a view of them.
        """
        self.received_samples += len(samples)
        hops = []
        while len(samples):
            if not self._filled_samples and len(samples) >= self._hop_samples:
                hops.append(samples[: self._hop_samples])
                samples = samples[self._hop_samples :]
                continue
            if self._hop is None:
                self._hop = np.empty(self._hop_samples, np.float32)
            taken = min(self._hop_samples - self._filled_samples, len(samples))
            self._hop[self._filled_samples : self._filled_samples + taken] = samples[:taken]
            self._filled_samples += taken
            samples = samples[taken:]
            if self._filled_samples == self._hop_samples:
                hops.append(self._hop)
                self._hop, self._filled_samples = None, 0
        return hops

    def flush(self) -> list[FloatArray]:
        """The whole frames that wait, as one short hop, if there are any; the rest stays."""
        whole = self._filled_samples // self._frame_samples * self._frame_samples
        if not whole or self._hop is None:
            return []
        hop = self._hop[:whole].copy()
        rest = self._filled_samples - whole
        self._hop[:rest] = self._hop[whole : self._filled_samples]
        self._filled_samples = rest
        return [hop]

    def finish(self, look_ahead_frames: int) -> list[FloatArray]:
        """The last hops, followed by as much silence as the model's look-ahead needs.

        Afterwards every received sample has been given out and its frame's activity is known.
        """
        silence = look_ahead_frames * self._frame_samples
        received = self.received_samples
        short_of_frame = -self._filled_samples % self._frame_samples
        hops = self.push(np.zeros(short_of_frame + silence, np.float32))
        self.received_samples = received
        return hops + self.flush()
