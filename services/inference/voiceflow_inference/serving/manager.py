"""Carries out what the policy decides: fetches, loads, swaps, moves streams, drains, goes back.

Everything here runs in the event loop and never waits for a stream. One version is loaded at a
time, and while that takes, all else goes on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import AbstractContextManager, aclosing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Final, Never

from voiceflow.catalog.channels import Role
from voiceflow.catalog.pods import Cause, GenerationState, VersionOutcomes
from voiceflow.errors import Unavailable, VoiceFlowError
from voiceflow.pipeline.model import BoundModel
from voiceflow_inference.batcher import EngineLoad, ModelFailed
from voiceflow_inference.serving.generation import Generation
from voiceflow_inference.serving.inspection import Inspector
from voiceflow_inference.serving.judge import Breach
from voiceflow_inference.serving.making import Maker, NotNow, Pauses
from voiceflow_inference.serving.outcomes import Outcomes
from voiceflow_inference.serving.placing import How, Mover, Place
from voiceflow_inference.serving.policy import (
    Action,
    Assign,
    Load,
    MoveStreams,
    Retire,
    Times,
    next_action,
    to_serve,
)
from voiceflow_inference.serving.reverts import Pod, Reverts
from voiceflow_inference.serving.roster import Roster
from voiceflow_inference.serving.seams import Judges, Loads
from voiceflow_inference.serving.source import Source
from voiceflow_inference.serving.state import Failure, GenerationView, Snapshot, Wanted
from voiceflow_inference.serving.steps import after, changed, die, fail, view_of, want
from voiceflow_inference.serving.tracing import (
    Drains,
    loading,
    new_trace,
    reverting,
    swapping,
)
from voiceflow_inference.serving.wishes import Wishes

_LOG = logging.getLogger(__name__)


class Manager:
    """The loaded versions of a process, and the streams on them; implements `Places`.

    ``start`` returns when the first version serves; ``run`` follows what is wanted from then on;
    ``close`` ends all.

    Args:
        source: Says what is wanted, and fetches it.
        loader: Makes generations.
        judge: Says when one is to be left.
        verify: Says how streams get from one model to another; called in a thread.
        pod: Who this is.
        times: How long what was replaced stays.
        hang_seconds: When a call hangs, where the policy says nothing.
        cores: That the process may count on.
        draining: Whether the server takes no new streams, to be told.
        call_clock: Seconds that calls of a canary and of the primary are compared by.
        clock: Monotonic seconds.
        now: The time, to be told.
    """

    def __init__(
        self,
        source: Source,
        loader: Loads,
        judge: Judges,
        verify: Callable[[BoundModel, BoundModel], How],
        pod: Pod,
        times: Times,
        *,
        hang_seconds: float,
        cores: int,
        draining: Callable[[], bool] = lambda: False,
        call_clock: Callable[[], float] = time.thread_time,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._source = source
        self._channel = pod.channel
        self._reverts = Reverts(pod, now)
        self._times = times
        self._hang_seconds = hang_seconds
        self._draining = draining
        self._clock = clock
        self._cores = cores
        self._wake = asyncio.Event()
        self._roster = Roster(call_clock)
        self._outcomes = Outcomes(self._roster)
        self._inspector = Inspector(judge, self._roster)
        self._maker = Maker(source, loader, verify, self._roster)
        self._snapshot = Snapshot(clock())
        self._wishes = Wishes(source.instead)
        self._told: AsyncGenerator[Wanted, None] | None = None
        self._pauses = Pauses()
        self._drains = Drains()
        self._numbers = 0
        self._loading: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._error: VoiceFlowError | None = None

    # Life

    async def start(self) -> Generation:
        """Serves the first version from now on.

        Raises:
            VoiceFlowError: There is none that can be served, or it stayed away.
        """
        self._told = self._source.wanted()
        self._take(await anext(self._told))
        while (primary := self._roster.serving(self._snapshot, Role.PRIMARY)) is None:
            if self._loading is None:
                raise self._error or Unavailable("there is nothing to serve", reason="NOT_READY")
            await self._loading
        return primary

    async def run(self) -> None:
        """Follows what is wanted, and leaves what fails, until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            tasks.create_task(self._keep_working())

    async def stop_loading(self) -> None:
        """The process ends: what is being loaded is given up, and nothing is loaded any more."""
        self._snapshot = replace(self._snapshot, stopping=True)
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.wait([self._loading])

    async def close(self) -> None:
        """Drops every model; streams have ended, or end now."""
        await self.stop_loading()
        if self._told is not None:
            await self._told.aclose()
        for view in self._snapshot.generations:
            self._drop(view.number)
        await asyncio.gather(*self._closing)

    # What others ask

    def snapshot(self) -> Snapshot:
        """What should be served, and is."""
        snapshot = self._snapshot
        return replace(
            snapshot,
            now_seconds=self._clock(),
            generations=tuple(self._roster.counted(view) for view in snapshot.generations),
            draining=self._draining(),
            moves=dict(self._roster.moves),
            reverts=self._reverts.pending(),
        )

    def outcomes(self) -> Sequence[VersionOutcomes]:
        """How each version fares, and those dropped last have fared; see `Outcomes`."""
        return self._outcomes.told(self._snapshot.generations)

    def acknowledge(self, names: Collection[str]) -> None:
        """The registry has kept these reverts: they are not told again."""
        self._reverts.acknowledge(names)

    def load(self) -> EngineLoad:
        """How busy the engines are."""
        return self._roster.load(self._cores)

    def hang_seconds(self) -> float:
        """How long a call may take."""
        return self._wishes.rules.hang_after_seconds or self._hang_seconds

    @property
    def primary(self) -> Generation:
        """What serves now.

        Raises:
            Unavailable: NOT_READY, nothing does.
        """
        return self._roster.place(self._snapshot, "", None).generation

    # What streams ask: see `Places`

    def place(self, session: str, fits: Callable[[Generation], bool] | None = None) -> Place:
        """Where a new stream goes."""
        return self._roster.place(self._snapshot, session, fits)

    def pinned(self, place: Place, mover: Mover) -> AbstractContextManager[None]:
        """Counts a stream while the block runs."""
        return self._roster.pinned(place, mover)

    def repin(self, mover: Mover, generation: Generation) -> None:
        """A stream has moved."""
        self._roster.repin(mover, generation)

    def fallback(self, generation: Generation) -> Generation | None:
        """Where a generation's streams go if it fails them now."""
        return self._roster.fallback(self._snapshot, generation)

    def how(self, old: Generation, new: Generation) -> How:
        """How streams get from one to the other."""
        return self._roster.how(old, new)

    def failed(self, generation: Generation, error: ModelFailed) -> None:
        """A hop has failed: looked at soon; an engine that does not come back is left at once."""
        _LOG.debug("%s: %s", generation.name, error.message)
        known = self._view(generation.number)
        if known is not None and self._inspector.hangs(known):
            self._look()
        self._wake.set()

    # Work

    async def _follow(self) -> None:
        assert self._told is not None  # noqa: S101 - since the start
        try:
            async with aclosing(self._told) as wishes:
                async for wanted in wishes:
                    self._take(wanted)
        except Exception:  # noqa: BLE001 what is served goes on being served
            _LOG.exception("what is wanted is not known any more")

    async def _keep_working(self) -> Never:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._wake.wait()
            self._wake.clear()
            try:
                self._look()
            except Exception:  # noqa: BLE001 likewise
                _LOG.exception("what is loaded is not looked after")

    def _look(self) -> None:
        """Leaves what breaks a rule, then does whatever is to be done."""
        for view in self._snapshot.generations:
            self._try(view)
        self._work()

    def _take(self, wanted: Wanted) -> None:
        self._wishes.take(replace(wanted, trace_parent=wanted.trace_parent or new_trace()))
        self._snapshot = replace(self._snapshot, desired_sequence=wanted.sequence)
        self._pauses.forget()
        self._reconsider()
        self._work()

    def _reconsider(self) -> None:
        """What is wanted, and what to go back to, after something has changed."""
        self._snapshot = want(self._snapshot, self._wishes.ranked(self._snapshot))

    def _work(self) -> None:
        """Carries out actions until none is left."""
        while True:
            views = tuple(self._roster.counted(view) for view in self._snapshot.generations)
            self._snapshot = replace(self._snapshot, now_seconds=self._clock(), generations=views)
            self._drains.look(self._snapshot)
            action = next_action(self._snapshot, self._times)
            if action is None:
                return
            self._carry_out(action)

    def _carry_out(self, action: Action) -> None:
        before = self._snapshot
        if isinstance(action, Load):
            self._numbers += 1
        self._snapshot = after(before, action, self._numbers)
        match action:
            case Load():
                with loading(before, action):
                    self._loading = asyncio.create_task(self._load(action, self._numbers))
            case Assign():
                with swapping(self._channel, before, action):
                    self._swapped(before, action)
            case MoveStreams():
                self._roster.ask_to_leave(action.number, action.to)
            case Retire():
                self._outcomes.keep(view_of(before, action.number))
                self._drop(action.number)
                self._keep()

    # Loading

    async def _load(self, action: Load, number: int) -> None:
        """Makes a generation; whatever becomes of it, the policy hears of it."""
        try:
            made = await self._maker.make(action.pin, number, partial(self._enter, number))
        except NotNow as later:
            self._error = later.cause
            _LOG.warning("%s is not served yet: %s", action.pin.version, later.cause.message)
            view = view_of(self._snapshot, number)
            self._put_off(view, action.sequence, later.cause.reason, later.cause.message)
        except VoiceFlowError as error:
            self._error = error
            breach = Breach(Cause.WARM_FAILED, error.message, "", 0)
            view = view_of(self._snapshot, number)
            self._reject(view.failed(action.sequence, error.reason, error.message), breach)
        else:
            manifest = made.generation.manifest
            self._roster.add(made.generation, made.hows)
            self._snapshot = changed(
                self._snapshot,
                number,
                ready=True,
                model_digest=manifest.files.get("model.onnx", ""),
                contract=manifest.contract,
            )
        self._loading = None
        self._work()

    def _enter(self, number: int, state: GenerationState) -> None:
        self._snapshot = changed(self._snapshot, number, state=state)

    def _put_off(self, view: GenerationView, sequence: int, reason: str, message: str) -> None:
        """A version is made again after a pause."""
        retry_seconds = self._clock() + self._pauses.next(view.pin)
        self._snapshot = fail(self._snapshot, view.failed(sequence, reason, message, retry_seconds))

    # Swapping

    def _swapped(self, before: Snapshot, action: Assign) -> None:
        wanted = action.wanted
        if before.in_force is None or before.in_force.rollout != wanted.rollout:
            _LOG.info("%s serves %s", self._channel, wanted.rollout.in_short)
        self._roster.assign(action.roles)
        full = self._wishes.serve(self._snapshot, wanted)
        self._reconsider()
        if full.rollout == wanted.rollout:
            self._source.holds(full)
        self._keep()

    def _keep(self) -> None:
        """Tells the source what is in use, and what may be gone back to."""
        loaded = {view.pin for view in self._snapshot.generations}
        self._source.keep(loaded | self._wishes.pins)

    def _drop(self, number: int) -> None:
        """Ends a generation, or the loading of it."""
        generation = self._roster.get(number)
        if generation is None:
            if self._loading is not None:
                self._loading.cancel()
                self._loading = None
            return
        _LOG.info("%s is dropped", generation.name)
        self._roster.remove(number)
        task = asyncio.create_task(generation.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    # Leaving what fails

    def _try(self, view: GenerationView) -> None:
        """Leaves a generation if it breaks a rule."""
        served = self._snapshot.in_force
        if served is None:
            return
        breach = self._inspector.breach(self._snapshot, view, self._wishes.rules)
        if breach is not None:
            message = f"{breach.seen}; allowed: {breach.allowed}"
            reason = breach.cause.value.upper()
            self._reject(view.failed(served.sequence, reason, message), breach)
        if self._inspector.hangs(view):
            self._bury(view)

    def _bury(self, view: GenerationView) -> None:
        """An engine does not come back; where there is nothing else, its version is loaded anew."""
        message = "a call did not come back"
        self._snapshot = die(self._snapshot, view.number, Cause.HANG.value.upper(), message)
        self._roster.expect_nobody(view.number)
        target = to_serve(self._snapshot)
        if target is not None and target.rollout.primary == view.pin:
            self._put_off(view, target.sequence, "MODEL_HUNG", message)

    def _reject(self, failure: Failure, breach: Breach) -> None:
        """Leaves a version for good, under the promotion that wanted it."""
        self._snapshot = fail(self._snapshot, failure)
        self._reconsider()
        target = to_serve(self._snapshot)
        with reverting(self._snapshot, failure):
            self._reverts.add(failure, breach, None if target is None else target.rollout.primary)

    def _view(self, number: int) -> GenerationView | None:
        views = self._snapshot.generations
        return next((view for view in views if view.number == number), None)


_LOOK_SECONDS: Final = 0.25
