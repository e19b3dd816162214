"""The loaded generations, the streams on each, and how streams get from one to another."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from voiceflow.catalog.channels import Role
from voiceflow.catalog.pods import GenerationState
from voiceflow.errors import Unavailable
from voiceflow.telemetry.metrics import STREAM_MOVES
from voiceflow_inference.batcher import EngineLoad
from voiceflow_inference.serving.assignment import is_shadowed, role_of
from voiceflow_inference.serving.generation import Generation
from voiceflow_inference.serving.pairs import PairedCalls
from voiceflow_inference.serving.placing import How, Mover, Place
from voiceflow_inference.serving.state import GenerationView, Snapshot

_LOG = logging.getLogger(__name__)


@dataclass(eq=False)
class _Loaded:
    """A generation and who is on it.

    Attributes:
        generation: Which.
        streams: Pinned to it, each with whether it was asked to leave.
        arriving: Asked to come, and not here yet.
    """

    generation: Generation
    streams: dict[Mover, bool] = field(default_factory=dict)
    arriving: set[Mover] = field(default_factory=set)


class Roster:
    """Knows every loaded generation; used by the event loop alone.

    Args:
        call_clock: Seconds that calls of a canary and of the primary are compared by.

    Attributes:
        moves: Streams moved since the start, by how.
    """

    def __init__(self, call_clock: Callable[[], float]) -> None:
        self.moves: Counter[str] = Counter()
        self._call_clock = call_clock
        self._loaded: dict[int, _Loaded] = {}
        self._where: dict[Mover, int] = {}
        self._hows: dict[tuple[int, int], How] = {}
        self._pair: tuple[int | None, int | None] = (None, None)

    def add(self, generation: Generation, hows: dict[tuple[int, int], How]) -> None:
        """Takes a generation in, with how streams get to it from each other, and back."""
        self._loaded[generation.number] = _Loaded(generation)
        self._hows |= hows

    def remove(self, number: int) -> Generation:
        """Takes one out, for good."""
        self._hows = {pair: how for pair, how in self._hows.items() if number not in pair}
        return self._loaded.pop(number).generation

    def get(self, number: int) -> Generation | None:
        """The generation of that number, if it is loaded."""
        loaded = self._loaded.get(number)
        return None if loaded is None else loaded.generation

    def generations(self) -> list[Generation]:
        """Every one, in the order of their numbers."""
        return [self._loaded[number].generation for number in sorted(self._loaded)]

    def assign(self, roles: Mapping[Role, int]) -> None:
        """Has engines do as their roles ask from now on.

        A shadow's steps back. A canary's calls are measured beside the primary's, and no others.
        """
        pair = roles.get(Role.CANARY), roles.get(Role.PRIMARY)
        for number, loaded in self._loaded.items():
            batcher, tally = loaded.generation.batcher, loaded.generation.tally
            if roles.get(Role.SHADOW) == number:
                batcher.calm()
            elif number in roles.values():
                batcher.rouse()
            if number != pair[0]:
                batcher.after_batch = None
            elif pair != self._pair and pair[1] is not None:
                tally.forget_pairs()
                models = loaded.generation.model, self._loaded[pair[1]].generation.model
                calls = PairedCalls(*models, tally.pair, self._call_clock)
                batcher.after_batch = calls.after_batch
        self._pair = pair

    def counted(self, view: GenerationView) -> GenerationView:
        """A generation with its streams as they are now."""
        loaded = self._loaded.get(view.number)
        if loaded is None:
            return view
        return replace(
            view,
            streams=len(loaded.streams),
            leaving=sum(loaded.streams.values()),
            arriving=len(loaded.arriving),
        )

    def serving(self, snapshot: Snapshot, role: Role) -> Generation | None:
        """The generation that has a role, if one has."""
        view = snapshot.assigned().get(role)
        return None if view is None else self.get(view.number)

    # Where streams go

    def place(
        self, snapshot: Snapshot, session: str, fits: Callable[[Generation], bool] | None
    ) -> Place:
        """See `Places.place`."""
        in_force = snapshot.in_force
        own = Role.PRIMARY if in_force is None else role_of(session, in_force.rollout)
        serving = {
            role: generation
            for role in sorted((Role.PRIMARY, Role.CANARY), key=lambda role: role is not own)
            if (generation := self.serving(snapshot, role)) is not None
        }
        if not serving:
            spare = self._spare(snapshot, without=None)
            if spare is None:
                raise _not_ready("no model is ready to serve; try again, or another server")
            return Place(spare, Role.PRIMARY)
        chosen = next(iter(serving))
        if fits is not None and not fits(serving[chosen]):
            chosen = next((role for role, other in serving.items() if fits(other)), chosen)
        shadow = None
        if chosen is Role.PRIMARY and in_force is not None:
            heard = is_shadowed(session, in_force.rollout)
            shadow = self.serving(snapshot, Role.SHADOW) if heard else None
        return Place(serving[chosen], chosen, shadow)

    def fallback(self, snapshot: Snapshot, generation: Generation) -> Generation | None:
        """See `Places.fallback`."""
        primary = self.serving(snapshot, Role.PRIMARY)
        return self._spare(snapshot, generation) if primary in {None, generation} else primary

    def how(self, old: Generation, new: Generation) -> How:
        """See `Places.how`."""
        return self._hows.get((old.number, new.number), How.TOLD)

    @contextmanager
    def pinned(self, place: Place, mover: Mover) -> Iterator[None]:
        """See `Places.pinned`."""
        loaded = self._loaded.get(place.generation.number)
        if loaded is None:
            raise _not_ready("the model was replaced just now; try again")
        loaded.streams[mover] = False
        self._where[mover] = place.generation.number
        try:
            yield
        finally:
            self._forget(mover)

    def repin(self, mover: Mover, generation: Generation) -> None:
        """See `Places.repin`."""
        old, new = self._where.get(mover), self._loaded.get(generation.number)
        if old is None or new is None or old == generation.number:
            return
        self._count(self._hows.get((old, generation.number), How.TOLD))
        self._forget(mover)
        new.streams[mover] = False
        self._where[mover] = generation.number

    def ask_to_leave(self, number: int, to: int) -> None:
        """Asks every stream of a generation that was not asked yet to go to another."""
        old, new = self._loaded[number], self._loaded[to]
        how = self.how(old.generation, new.generation)
        for mover in [mover for mover, asked in old.streams.items() if not asked]:
            old.streams[mover] = True
            if how is How.TOLD:
                self._count(how)
                mover.leave(None, how)
            else:
                new.arriving.add(mover)
                mover.leave(new.generation, how)

    def expect_nobody(self, number: int) -> None:
        """No stream can come to a generation any more: who was asked to stays, for now."""
        arriving = self._loaded[number].arriving
        for mover in arriving:
            self._loaded[self._where[mover]].streams[mover] = False
        arriving.clear()

    def load(self, cores: int) -> EngineLoad:
        """How busy all engines are together, or the busiest where each has a core of its own."""
        loads = [loaded.generation.batcher.load() for loaded in self._loaded.values()]
        factors = [load.real_time_factor for load in loads]
        return EngineLoad(
            sum(load.queue_hops for load in loads),
            max((load.queue_age_seconds for load in loads), default=0.0),
            max([sum(factors) / cores, *factors], default=0.0),
            max((load.delivery_seconds for load in loads), default=0.0),
        )

    def _spare(self, snapshot: Snapshot, without: Generation | None) -> Generation | None:
        """What was primary before, or any other that still computes."""
        views = [
            view
            for view in snapshot.generations
            if view.ready
            and view.state in {GenerationState.ACTIVE, GenerationState.DRAINING}
            and view.role is not Role.SHADOW
            and (without is None or view.number != without.number)
        ]
        views.sort(key=lambda view: (view.number == snapshot.fallback, view.left_seconds or 0.0))
        return self.get(views[-1].number) if views else None

    def _count(self, how: How) -> None:
        """A stream moves, or is told to."""
        self.moves[how.value] += 1
        STREAM_MOVES.add(1, {"how": how.value})

    def _forget(self, mover: Mover) -> None:
        """Takes a stream from where it is."""
        number = self._where.pop(mover)
        if number in self._loaded:
            del self._loaded[number].streams[mover]
        for loaded in self._loaded.values():
            loaded.arriving.discard(mover)


_RETRY_SECONDS: Final = 2.0


def _not_ready(message: str) -> Unavailable:
    return Unavailable(message, reason="NOT_READY", retry_after_seconds=_RETRY_SECONDS)
