"""The last audio of a stream, and its way through a model that has not heard it yet.

Two models of one embedding space have memories of their own. A stream that moves from one to the
other lets the new one hear its last audio, in the lower class, while the old one goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from voiceflow.artifact import SAMPLE_RATE_HERTZ, LatencyMode, Manifest
from voiceflow.pipeline.model import FloatArray
from voiceflow.pipeline.replay import from_int16, replay_start_samples, to_int16
from voiceflow_inference.batcher import Lane, ModelFailed, Urgency
from voiceflow_inference.pages import zeros
from voiceflow_inference.serving.generation import Generation


class Heard:
    """The last audio that a stream's model has computed, as 16-bit samples.

    Args:
        manifest: Of the model that the stream begins on, whose context is kept.
        mode: The stream's latency mode.
        start_samples: Where the stream begins.

    Attributes:
        end_samples: Where the next hop begins.
        kept_samples: How much is kept.
    """

    def __init__(self, manifest: Manifest, mode: LatencyMode, start_samples: int = 0) -> None:
        self._mode = mode
        self._hop_samples = manifest.hop_samples[mode]
        context = round(manifest.context_seconds * SAMPLE_RATE_HERTZ)
        self.kept_samples = -(-context // self._hop_samples) * self._hop_samples
        self._ring = zeros((max(self.kept_samples, self._hop_samples),), np.int16)
        self._held_samples = 0
        self.end_samples = start_samples

    def add(self, hop: FloatArray) -> None:
        """Takes the hop that was computed last, (samples,)."""
        self.end_samples += len(hop)
        room = len(self._ring)
        last = to_int16(hop[-room:])
        at = (self.end_samples - len(last)) % room
        before_end = min(len(last), room - at)
        self._ring[at : at + before_end] = last[:before_end]
        self._ring[: len(last) - before_end] = last[before_end:]
        self._held_samples = min(self._held_samples + len(hop), room)

    def close(self) -> None:
        """Gives the audio up now, though somebody may still refer to its stream for a while."""
        self._ring, self._held_samples = self._ring[:0].copy(), 0

    def since(self, start_samples: int) -> FloatArray:
        """What was heard from there on, (samples,), as far as it is kept."""
        samples = min(max(0, self.end_samples - start_samples), self._held_samples)
        at = (self.end_samples - samples) % len(self._ring)
        beyond_end = max(0, at + samples - len(self._ring))
        return from_int16(np.concatenate([self._ring[at : at + samples], self._ring[:beyond_end]]))

    def context_of(self, manifest: Manifest) -> tuple[int, list[FloatArray]]:
        """What another model hears to go on from here, in hops; and where it begins."""
        held_from = self.end_samples - self._held_samples
        start = max(held_from, replay_start_samples(self.end_samples, manifest, self._mode))
        audio, hop = self.since(start), self._hop_samples
        return start, [audio[at : at + hop] for at in range(0, len(audio), hop)]


class Replay:
    """A lane of another generation that hears what its stream has heard.

    It starts at once; needs a running event loop.

    Args:
        generation: Whose lane.
        heard: By the stream, so far.
        clock: Monotonic seconds, the batcher's.

    Raises:
        ModelFailed: The generation hangs.
        Overloaded: It has no slot left.
    """

    def __init__(
        self, generation: Generation, heard: Heard, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.generation = generation
        self.lane: Lane = generation.batcher.open_lane()
        self.start_samples, hops = heard.context_of(generation.manifest)
        self.failure: ModelFailed | None = None
        self._heard = heard
        self._reached_samples = heard.end_samples
        self._waiting = deque(hops)
        self._clock = clock
        self._task = asyncio.create_task(self._hear())

    @property
    def caught_up(self) -> bool:
        """Whether the lane has heard all that the stream has."""
        return self._task.done() and self.failure is None

    def follow(self) -> None:
        """Goes on with what the stream has heard meanwhile."""
        if self._heard.end_samples > self._reached_samples and self.failure is None:
            self._waiting.append(self._heard.since(self._reached_samples))
            self._reached_samples = self._heard.end_samples
            if self._task.done():
                self._task = asyncio.create_task(self._hear())

    async def rest(self) -> None:
        """Waits until the lane has heard all that is there, or has failed, or is given up."""
        await asyncio.wait([self._task])

    def close(self) -> None:
        """Gives it up."""
        self._task.cancel()
        self.lane.close()

    async def _hear(self) -> None:
        try:
            while self._waiting:
                await self.lane.run(self._waiting.popleft(), self._clock(), Urgency.BACKGROUND)
        except ModelFailed as error:
            self.failure = error
