"""A stream's way through the generations: each of its hops is computed by exactly one.

A stream stays where it is until it is asked to leave, or its model fails. Then it goes on between
two hops: with its memory, where both models have one state space; with its last audio, where they
have one embedding space.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from voiceflow.artifact import LatencyMode
from voiceflow.errors import Overloaded
from voiceflow.pipeline.model import FloatArray, Frames
from voiceflow_inference.batcher import Lane, ModelFailed, Urgency
from voiceflow_inference.replay import Heard, Replay
from voiceflow_inference.serving.generation import Generation
from voiceflow_inference.serving.placing import How, Places
from voiceflow_inference.stages import HopTimes


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """A stream has gone from one generation to another.

    Attributes:
        at_samples: Start of the first hop that the new one computes.
        generation: The new one.
        how: Carried or replayed.
        replayed_from_samples: Start of the audio that was replayed; `at_samples` where none was.
    """

    at_samples: int
    generation: Generation
    how: How
    replayed_from_samples: int


class Route:
    """Where the hops of one stream are computed.

    Args:
        generation: On which the stream begins.
        places: Where it may go.
        mode: The stream's latency mode.
        start_samples: Where its audio begins.
        clock: Monotonic seconds, the batcher's.

    Raises:
        Overloaded: The generation has no slot left.
        ModelFailed: It hangs.
    """

    def __init__(
        self,
        generation: Generation,
        places: Places,
        *,
        mode: LatencyMode,
        start_samples: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.generation = generation
        self._places = places
        self._clock = clock
        self._lane: Lane = generation.batcher.open_lane()
        self._heard = Heard(generation.manifest, mode, start_samples)
        self._next: tuple[Generation, How] | None = None
        self._next_from_samples = 0
        self._replay: Replay | None = None

    @property
    def end_samples(self) -> int:
        """Where the next hop begins."""
        return self._heard.end_samples

    def leave_for(self, to: Generation, how: How) -> None:
        """Moves at the first boundary of hops at which it can; the last call counts.

        Args:
            to: Where to; where it is already: it stays.
            how: Carried or replayed.
        """
        if self._next == (to, how):
            return
        self._stay()
        if to is not self.generation:
            self._next = to, how

    async def compute(
        self, hop: FloatArray, arrived_seconds: float, times: HopTimes
    ) -> tuple[Frames, Moved | None]:
        """Computes the next hop, (samples,), and says whether another generation did it.

        A hop that fails is computed again where the generation's streams go then.

        Args:
            hop: (samples,).
            arrived_seconds: When its last byte arrived, by the clock.
            times: Its class; marked with the engine's stages.

        Raises:
            ModelFailed: There is no such place, or it failed as well.
        """
        moved = None
        if self._next is not None and self.end_samples >= self._next_from_samples:
            moved = await self._move(times.urgency)
        try:
            frames = await self._lane.run(hop, arrived_seconds, times.urgency, times)
        except ModelFailed as error:
            frames, moved = await self._rescue(hop, arrived_seconds, times, error)
        self._heard.add(hop)
        if self._replay is not None:
            self._replay.follow()
        return frames, moved

    def close(self) -> None:
        """Frees everything, whatever goes on."""
        self._stay()
        self._lane.close()
        self._heard.close()

    async def _move(self, urgency: Urgency) -> Moved | None:
        """Moves if it can by now."""
        assert self._next is not None  # noqa: S101 - asked by the caller
        to, how = self._next
        try:
            if how is How.CARRIED:
                return self._take(to, to.batcher.open_lane(self._lane.state()), how)
            return await self._take_replayed(to, urgency)
        except Overloaded:
            pass  # the next hop asks again
        except ModelFailed as error:
            replayed = self._replay is not None
            self._stay()
            if replayed:  # perhaps by audio that it need not hear a while later
                self._next = to, how
                self._next_from_samples = self.end_samples + self._heard.kept_samples
            self._places.failed(to, error)
        return None

    async def _take_replayed(self, to: Generation, urgency: Urgency) -> Moved | None:
        """Moves if the other model has caught up, which it begins to do with the first call.

        Raises:
            Overloaded: It has no slot left.
            ModelFailed: It failed.
        """
        if self._replay is None:
            self._replay = Replay(to, self._heard, self._clock)
        replay = self._replay
        if urgency is not Urgency.LIVE:  # hop follows hop: it would never catch up
            await replay.rest()
        if replay is not self._replay:  # meanwhile it was asked to go elsewhere
            return None
        if replay.failure is not None:
            raise replay.failure
        if not replay.caught_up:
            return None
        return self._take(to, replay.lane, How.REPLAYED, replay.start_samples)

    async def _rescue(
        self, hop: FloatArray, arrived_seconds: float, times: HopTimes, error: ModelFailed
    ) -> tuple[Frames, Moved]:
        """Moves at once, away from a generation that failed, and computes the hop there."""
        failed = self.generation
        to = self._places.fallback(failed)
        how = How.TOLD if to is None else self._places.how(failed, to)
        if to is None or how is How.TOLD:
            self._places.failed(failed, error)
            raise error
        self._stay()
        try:
            if how is How.CARRIED:
                moved = self._take(to, to.batcher.open_lane(self._lane.state()), how)
            else:
                moved = await self._hear_again(to)
            frames = await self._lane.run(hop, arrived_seconds, times.urgency, times)
        except Overloaded:
            self._places.failed(failed, error)
            raise error from None
        # Only now: audio that no model takes is no fault of this one.
        self._places.failed(failed, error)
        return frames, moved

    async def _hear_again(self, to: Generation) -> Moved:
        """Waits for the replay, however long it takes."""
        replay = Replay(to, self._heard, self._clock)
        try:
            await replay.rest()
        except asyncio.CancelledError:  # perhaps just when it had caught up
            replay.close()
            raise
        if replay.failure is not None:
            replay.close()
            raise replay.failure
        return self._take(to, replay.lane, How.REPLAYED, replay.start_samples)

    def _take(
        self, to: Generation, lane: Lane, how: How, replayed_from_samples: int | None = None
    ) -> Moved:
        self._lane.close()
        self._lane, self.generation = lane, to
        self._next = self._replay = None
        at = self.end_samples
        return Moved(at, to, how, at if replayed_from_samples is None else replayed_from_samples)

    def _stay(self) -> None:
        self._next, self._next_from_samples = None, 0
        if self._replay is not None:
            self._replay.close()
            self._replay = None
