"""A manager with everything around it played: versions that come when a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from tests.unit.inference.fakes import Adder, manifest
from voiceflow.artifact import LatencyMode
from voiceflow.catalog.channels import Canary, Rollout, Shadow, VersionPin
from voiceflow.catalog.names import ChannelName, PodName
from voiceflow.catalog.pods import GenerationState
from voiceflow.pipeline.model import BoundModel
from voiceflow_inference.backend import SlotBackend
from voiceflow_inference.batcher import Batcher
from voiceflow_inference.serving.download import Found
from voiceflow_inference.serving.generation import Generation
from voiceflow_inference.serving.judge import DEFAULT_RULES, Judge
from voiceflow_inference.serving.manager import Manager
from voiceflow_inference.serving.placing import How, Place
from voiceflow_inference.serving.policy import Times
from voiceflow_inference.serving.reverts import Pod
from voiceflow_inference.serving.state import Wanted
from voiceflow_inference.serving.tally import Tally
from voiceflow_inference.serving.warm import HopCost

CHANNEL = ChannelName("adder", "stable")
TIMES = Times(drain_deadline_seconds=100.0, keep_seconds=10.0)


def pin(version: str) -> VersionPin:
    """A version of the adder."""
    return VersionPin(version=f"models/adder/versions/{version}")


def wanted(sequence: int, primary: str, canary: str = "", shadow: str = "") -> Wanted:
    """A promotion; a canary has half of the streams, a shadow hears all."""
    return Wanted(
        sequence,
        Rollout(
            primary=pin(primary),
            canary=Canary(pin=pin(canary), percentage=50.0) if canary else None,
            shadow=Shadow(pin=pin(shadow)) if shadow else None,
        ),
        DEFAULT_RULES,
    )


class Wishes:
    """A `Source` of what a test wants."""

    def __init__(self, first: Wanted) -> None:
        self._queue: asyncio.Queue[Wanted] = asyncio.Queue()
        self._queue.put_nowait(first)
        self.errors: dict[VersionPin, Exception] = {}
        self.others: list[Wanted] = []
        self.fetched: list[VersionPin] = []
        self.held: list[int] = []
        self.kept: set[VersionPin] = set()
        self.closed = False

    def want(self, wanted: Wanted) -> None:
        """Something else from now on."""
        self._queue.put_nowait(wanted)

    async def wanted(self) -> AsyncGenerator[Wanted, None]:
        """See `Source`."""
        try:
            while True:
                yield await self._queue.get()
        finally:
            self.closed = True

    async def fetch(self, pin: VersionPin) -> Found:
        """Fails as a test says."""
        self.fetched.append(pin)
        if pin in self.errors:
            raise self.errors[pin]
        return Found(Path("unused"), None)

    def instead(self, wanted: Wanted) -> Wanted | None:
        """The others, in turn."""
        later = [one for one in self.others if one.sequence < wanted.sequence]
        return later[0] if later else None

    def holds(self, wanted: Wanted) -> None:
        """Notes it."""
        self.held.append(wanted.sequence)

    def keep(self, pins: Collection[VersionPin]) -> None:
        """Notes it."""
        self.kept = set(pins)


class Workshop:
    """Loads adders, when a test lets it.

    Attributes:
        errors: What is raised for a version instead.
        closed: Versions whose loading may not end yet.
        loads: Every version whose loading was begun.
        cancelled: Those whose loading was given up.
        made: Every generation.
    """

    def __init__(self, hang_seconds: Callable[[], float | None]) -> None:
        self.errors: dict[VersionPin, Exception] = {}
        self.closed: dict[VersionPin, asyncio.Event] = {}
        self.loads: list[VersionPin] = []
        self.cancelled: list[VersionPin] = []
        self.made: list[Generation] = []
        self._hang_seconds = hang_seconds

    async def load(
        self,
        found: Found,
        pin: VersionPin,
        number: int,
        on_state: Callable[[GenerationState], None],
    ) -> Generation:
        """See `Loads`."""
        del found
        self.loads.append(pin)
        on_state(GenerationState.LOADING)
        try:
            if pin in self.closed:
                await self.closed[pin].wait()
        except asyncio.CancelledError:
            self.cancelled.append(pin)
            raise
        if pin in self.errors:
            raise self.errors[pin]
        on_state(GenerationState.WARMING)
        model = Adder()
        model.manifest = manifest(version=pin.version.rpartition("/")[2])
        tally = Tally()
        batcher = Batcher(
            SlotBackend(model, 8),
            batch_limit=1,
            on_batch=tally.add_batch,
            hang_seconds=self._hang_seconds,
        )
        batcher.start()
        costs = dict.fromkeys(LatencyMode, HopCost(0.1, 0.001, 0.001))
        places = dict.fromkeys(LatencyMode, 1.0)
        self.made.append(
            Generation(number, pin, model.manifest, model, batcher, costs, places, tally)
        )
        return self.made[-1]


class Stream:
    """A stream as the manager sees it; goes where it is asked to, unless it does not obey."""

    def __init__(self, pod: PlayedPod, place: Place, *, obeys: bool = True) -> None:
        self.place = place
        self.generation = place.generation
        self.told: list[tuple[Generation | None, How]] = []
        self._pod = pod
        self._obeys = obeys

    def leave(self, to: Generation | None, how: How) -> None:
        """See `Mover`."""
        self.told.append((to, how))
        if to is not None and self._obeys:
            asyncio.get_running_loop().call_soon(self.arrive, to)

    def arrive(self, to: Generation) -> None:
        """It has moved."""
        self._pod.manager.repin(self, to)
        self.generation = to


class PlayedPod:
    """A manager and all that is played around it.

    Attributes:
        now: By its clock.
        how: How streams get from one model to another.
    """

    def __init__(self, first: Wanted) -> None:
        self.now = 0.0
        self.how = How.CARRIED
        self.source = Wishes(first)
        self.workshop = Workshop(self._hang_seconds)
        self.manager = Manager(
            self.source,
            self.workshop,
            Judge(),
            self._verify,
            Pod(PodName("one"), CHANNEL),
            TIMES,
            hang_seconds=5.0,
            cores=2,
            clock=lambda: self.now,
        )
        self._streams: dict[Stream, AbstractContextManager[None]] = {}

    def _hang_seconds(self) -> float | None:
        return self.manager.hang_seconds()

    def _verify(self, old: BoundModel, new: BoundModel) -> How:
        del old, new
        return self.how

    def stream(self, session: str = "", *, obeys: bool = True) -> Stream:
        """Begins one, which ends with the pod or when it is let go."""
        stream = Stream(self, self.manager.place(session), obeys=obeys)
        self._streams[stream] = self.manager.pinned(stream.place, stream)
        self._streams[stream].__enter__()
        return stream

    def end(self, *streams: Stream) -> None:
        """Ends streams; without any, all."""
        for stream in streams or list(self._streams):
            self._streams.pop(stream).__exit__(None, None, None)

    def loaded(self, version: str) -> Generation:
        """The newest generation of a version."""
        views = [view for view in self.manager.snapshot().generations if view.pin == pin(version)]
        generation = self.manager._roster.get(views[-1].number)
        assert generation is not None
        return generation

    def on(self, version: str) -> int:
        """Streams on a version."""
        views = self.manager.snapshot().generations
        return sum(view.streams for view in views if view.pin == pin(version))

    def states(self) -> dict[str, str]:
        """State of each version that is shown."""
        return {
            view.pin.version.rpartition("/")[2]: view.state.value
            for view in self.manager.snapshot().shown()
        }

    async def until(self, condition: Callable[[], Any]) -> None:
        """Waits for it; the manager looks at once."""
        async with asyncio.timeout(20):
            while not condition():
                self.manager._wake.set()
                await asyncio.sleep(0.001)


@asynccontextmanager
async def pod(first: Wanted, **attributes: Any) -> AsyncIterator[PlayedPod]:
    """One that serves the first version and follows what is wanted."""
    played = PlayedPod(first)
    for name, value in attributes.items():
        setattr(played, name, value)
    await played.manager.start()
    following = asyncio.create_task(played.manager.run())
    try:
        yield played
    finally:
        played.end()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await played.manager.close()
