"""Where streams are computed, as a test says: generations without a manager, lanes that obey."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from time import monotonic_ns
from typing import Any, cast

from voiceflow.artifact import LatencyMode, digest_of
from voiceflow.catalog.channels import Role, VersionPin
from voiceflow.catalog.pods import GenerationState
from voiceflow.pipeline.model import BoundModel, FloatArray, Frames, empty_state
from voiceflow_inference.batcher import Batcher, ModelFailed, Urgency
from voiceflow_inference.serving.generation import Generation
from voiceflow_inference.serving.placing import How, Mover, Place
from voiceflow_inference.serving.state import GenerationView, Snapshot
from voiceflow_inference.serving.tally import Tally
from voiceflow_inference.stages import HopTimes


def pin_of(model: BoundModel) -> VersionPin:
    """What a model is, by its manifest."""
    manifest = model.manifest
    digest = digest_of(manifest.to_json().encode())
    return VersionPin(version=manifest.resource_name, manifest_digest=digest)


class DirectLane:
    """Runs a model at once, with nobody beside it.

    Attributes:
        asked: Samples, arrival and class of each hop.
        heard: The hops that came out well.
        closed: Whether it was given up.
    """

    def __init__(self, batcher: DirectBatcher, state: Mapping[str, FloatArray] | None) -> None:
        self.asked: list[tuple[int, float, Urgency]] = []
        self.heard: list[FloatArray] = []
        self.closed = False
        self._batcher = batcher
        self._state = empty_state(batcher.model, 1)
        if state is not None:
            self._state = {name: array[None] for name, array in state.items()}

    async def run(
        self,
        hop: FloatArray,
        arrived_seconds: float,
        urgency: Urgency,
        times: HopTimes | None = None,
    ) -> Frames:
        """One hop, (samples,)."""
        self.asked.append((len(hop), arrived_seconds, urgency))
        await asyncio.sleep(0)  # as with an engine, others go on
        await self._batcher.gate.wait()
        self._batcher.runs += 1
        if self._batcher.runs in self._batcher.failing:
            raise ModelFailed("as the test wants it", reason="MODEL_FAILED")
        frames, self._state = self._batcher.model.run(hop[None], self._state)
        self.heard.append(hop)
        if times is not None:
            times.mark_computed(monotonic_ns())
        return frames.of(0)

    def state(self) -> dict[str, FloatArray]:
        """The memory."""
        return {name: array[0].copy() for name, array in self._state.items()}

    def close(self) -> None:
        """Remembers it."""
        self.closed = True


class DirectBatcher:
    """An engine without a thread.

    Attributes:
        lanes: Every one that was opened.
        runs: Hops that were asked for.
        failing: Numbers of those that fail, from 1.
        recording_hops: As of a `Batcher`.
        gate: Closed, it holds hops up.
        refuses: What opening a lane raises.
    """

    def __init__(self, model: BoundModel, failing: Collection[int] = ()) -> None:
        self.model = model
        self.lanes: list[DirectLane] = []
        self.runs = 0
        self.failing = failing
        self.recording_hops = 1
        self.gate = asyncio.Event()
        self.gate.set()
        self.refuses: Exception | None = None

    def open_lane(self, state: Mapping[str, FloatArray] | None = None) -> DirectLane:
        """A new one."""
        if self.refuses is not None:
            raise self.refuses
        self.lanes.append(DirectLane(self, state))
        return self.lanes[-1]


def direct(model: BoundModel, number: int = 1, failing: Collection[int] = ()) -> Generation:
    """A generation whose engine is a `DirectBatcher`."""
    return Generation(
        number=number,
        pin=pin_of(model),
        manifest=model.manifest,
        model=model,
        batcher=cast("Batcher", DirectBatcher(model, failing)),
        costs={},
        stream_costs=dict.fromkeys(LatencyMode, 1.0),
        tally=Tally(),
    )


def engine_of(generation: Generation) -> DirectBatcher:
    """The engine of a generation that `direct` made."""
    return cast("DirectBatcher", generation.batcher)


class FakePlaces:
    """Places as a test sets them.

    Attributes:
        generations: New streams go to the first that fits, or to the first.
        fallbacks: Where the streams of each go that fails them.
        ways: How they get from one to another; told where nothing is said.
        pins: Where each stream is.
        failures: What was reported.
    """

    def __init__(self, *generations: Generation) -> None:
        self.generations = list(generations)
        self.fallbacks: dict[Generation, Generation] = {}
        self.ways: dict[tuple[Generation, Generation], How] = {}
        self.pins: dict[Any, Generation] = {}
        self.failures: list[tuple[Generation, ModelFailed]] = []

    def place(
        self,
        session: str,  # noqa: ARG002
        fits: Callable[[Generation], bool] | None = None,
    ) -> Place:
        """See `Places`."""
        good = [each for each in self.generations if fits is None or fits(each)]
        return Place([*good, *self.generations][0], Role.PRIMARY)

    @contextmanager
    def pinned(self, place: Place, mover: Mover) -> Iterator[None]:
        """See `Places`."""
        self.pins[mover] = place.generation
        try:
            yield
        finally:
            del self.pins[mover]

    def repin(self, mover: Mover, generation: Generation) -> None:
        """See `Places`."""
        assert mover in self.pins
        self.pins[mover] = generation

    def fallback(self, generation: Generation) -> Generation | None:
        """See `Places`."""
        return self.fallbacks.get(generation)

    def how(self, old: Generation, new: Generation) -> How:
        """See `Places`."""
        return self.ways.get((old, new), How.TOLD)

    def failed(self, generation: Generation, error: ModelFailed) -> None:
        """See `Places`."""
        self.failures.append((generation, error))

    def snapshot(self) -> Snapshot:
        """All generations as active ones, the first as primary."""
        views = [
            GenerationView(
                each.number,
                each.pin,
                GenerationState.ACTIVE,
                Role.CANARY if index else Role.PRIMARY,
                assigned=True,
                ready=True,
                streams=list(self.pins.values()).count(each),
            )
            for index, each in enumerate(self.generations)
        ]
        return Snapshot(0.0, generations=views)
