"""The policy carried out on a pod that is only played: whatever happens, its promises hold."""

from __future__ import annotations

from dataclasses import replace

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from voiceflow.catalog.channels import Canary, Role, Rollout, Shadow, VersionPin
from voiceflow.catalog.pods import GenerationState
from voiceflow_inference.serving.policy import (
    Assign,
    Drain,
    Load,
    MoveStreams,
    Retire,
    Times,
    next_action,
    to_serve,
)
from voiceflow_inference.serving.state import (
    MAXIMUM_ACTIVE,
    MAXIMUM_DRAINING,
    MAXIMUM_LOADED,
    Failure,
    GenerationView,
    Snapshot,
    Wanted,
)
from voiceflow_inference.serving.steps import after, changed, die, fail, view_of, want

TIMES = Times(drain_deadline_seconds=100.0, keep_seconds=10.0)
VERSIONS = st.sampled_from("abcdef")


def pin(letter: str) -> VersionPin:
    """A version."""
    return VersionPin(version=f"models/diarizer/versions/{letter}", manifest_digest=letter)


@st.composite
def rollouts(draw: st.DrawFn) -> Rollout:
    """Any that a registry takes: a version has one role."""
    letters = draw(st.lists(VERSIONS, min_size=3, max_size=3, unique=True))
    percentage = draw(st.sampled_from([1.0, 50.0]))
    canary = Canary(pin=pin(letters[1]), percentage=percentage) if draw(st.booleans()) else None
    shadow = Shadow(pin=pin(letters[2])) if draw(st.booleans()) else None
    return Rollout(primary=pin(letters[0]), canary=canary, shadow=shadow)


def test_an_action_against_the_moves_of_states_is_refused() -> None:
    """What is not warm yet cannot drain: then the policy is wrong, and must not be obeyed."""
    loading = after(Snapshot(0.0), Load(pin("a"), Role.PRIMARY, 1), 1)
    with pytest.raises(ValueError, match="downloading cannot become draining"):
        after(loading, Drain(1))


def test_each_version_that_could_not_be_fetched_has_a_pause_of_its_own() -> None:
    """The last one counts."""
    later = [
        Failure(number, 1, pin(letter), Role.PRIMARY, "AWAY", "away", float(number))
        for number, letter in enumerate("aba", 1)
    ]
    snapshot = Snapshot(0.0)
    for failure in later:
        snapshot = fail(snapshot, failure)
    assert list(snapshot.failures) == later[1:]


def swapped(snapshot: Snapshot, wanted: Wanted, roles: dict[Role, int]) -> Snapshot:
    """A pod after a swap to what is wanted, or a part of it."""
    return after(snapshot, Assign(wanted, roles))


def warm_pod(*letters: str) -> Snapshot:
    """With versions that are warm."""
    snapshot = Snapshot(0.0)
    for number, letter in enumerate(letters, 1):
        snapshot = after(snapshot, Load(pin(letter), Role.PRIMARY, 1), number)
        for state in (GenerationState.LOADING, GenerationState.WARMING):
            snapshot = changed(snapshot, number, state=state)
        snapshot = changed(snapshot, number, ready=True)
    return snapshot


def test_a_promotion_is_served_when_all_of_it_is() -> None:
    """Until then it is the one before; when a part of it was left, none, if no other says so."""
    one = Wanted(1, Rollout(primary=pin("a")))
    trial = Canary(pin=pin("b"), percentage=1.0)
    two = Wanted(2, Rollout(primary=pin("c"), canary=trial))
    part = replace(two, rollout=Rollout(primary=pin("c")))
    pod = want(warm_pod("a", "b", "c"), [two, one])
    pod = swapped(pod, one, {Role.PRIMARY: 1})
    assert pod.serving_sequence == 1
    pod = swapped(pod, part, {Role.PRIMARY: 3})
    assert pod.serving_sequence == 1
    pod = swapped(pod, two, {Role.PRIMARY: 3, Role.CANARY: 2})
    assert pod.serving_sequence == 2
    pod = swapped(pod, part, {Role.PRIMARY: 3})
    assert pod.serving_sequence == 0


def test_what_was_primary_last_is_what_is_gone_back_to() -> None:
    """Until it has a role again, or is gone."""
    one, two = (
        Wanted(number, Rollout(primary=pin(letter))) for number, letter in [(1, "a"), (2, "b")]
    )
    pod = swapped(warm_pod("a", "b"), one, {Role.PRIMARY: 1})
    assert pod.fallback is None
    pod = swapped(pod, two, {Role.PRIMARY: 2})
    assert pod.fallback == 1
    trial = Wanted(3, Rollout(primary=pin("b"), canary=Canary(pin=pin("a"), percentage=1.0)))
    assert swapped(pod, trial, {Role.PRIMARY: 2, Role.CANARY: 1}).fallback is None
    assert after(pod, Retire(1)).fallback is None


class Pod(RuleBasedStateMachine):
    """A pod without models: streams are numbers, loads end when a rule says so."""

    def __init__(self) -> None:
        super().__init__()
        self.snapshot = Snapshot(0.0)
        self.number = 0
        self.known: list[Wanted] = []
        self.had_primary = False
        self.died = False

    @rule(rollout=rollouts())
    def promote(self, rollout: Rollout) -> None:
        """Something else is wanted."""
        self.known.insert(0, Wanted(len(self.known) + 1, rollout))
        self._want()

    @precondition(lambda self: self._loading())
    @rule(ready=st.booleans())
    def finish_loading(self, *, ready: bool) -> None:
        """A version is warm, or is rejected."""
        view = self._loading()[0]
        if ready:
            for state in (GenerationState.LOADING, GenerationState.WARMING):
                self.snapshot = changed(self.snapshot, view.number, state=state)
            self.snapshot = changed(self.snapshot, view.number, ready=True)
        else:
            self._reject(view)
        self._work()

    @precondition(lambda self: self._loading())
    @rule()
    def miss_loading(self) -> None:
        """A version cannot be fetched now."""
        self._reject(self._loading()[0], retry=self.snapshot.now_seconds + 5.0)
        self._work()

    @precondition(lambda self: self.snapshot.assigned())
    @rule(data=st.data())
    def stream_begins(self, data: st.DataObject) -> None:
        """On the primary, or on the canary."""
        roles = [role for role in self.snapshot.assigned() if role is not Role.SHADOW]
        if roles:
            view = self.snapshot.assigned()[data.draw(st.sampled_from(roles))]
            self._count(view.number, 1)

    @precondition(lambda self: any(view.streams for view in self.snapshot.generations))
    @rule(data=st.data())
    def stream_ends(self, data: st.DataObject) -> None:
        """One that was asked to leave, if there is one."""
        views = [view for view in self.snapshot.generations if view.streams]
        view = data.draw(st.sampled_from(views))
        self.snapshot = changed(
            self.snapshot, view.number, streams=view.streams - 1, leaving=max(0, view.leaving - 1)
        )
        self._work()

    @rule(seconds=st.sampled_from([1.0, 10.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        """Deadlines come."""
        self.snapshot = replace(self.snapshot, now_seconds=self.snapshot.now_seconds + seconds)
        self._work()

    @precondition(lambda self: self.snapshot.assigned())
    @rule(data=st.data(), dead=st.booleans())
    def breach(self, data: st.DataObject, *, dead: bool) -> None:
        """A version that serves is rejected, and perhaps does not come back."""
        views = list(self.snapshot.assigned().values())
        view = data.draw(st.sampled_from(views))
        if view.number not in {failure.number for failure in self.snapshot.failures}:
            self._reject(view)
        if dead:
            self.died |= view.role is Role.PRIMARY
            self.snapshot = die(self.snapshot, view.number, "HANG", "hung")
        self._work()

    @invariant()
    def there_is_a_primary(self) -> None:
        """Once there was one, but for an engine that died."""
        primary = self.snapshot.assigned().get(Role.PRIMARY)
        assert primary or not self.had_primary or self.died
        if primary is not None:
            assert primary.ready
            assert primary.state is GenerationState.ACTIVE
            self.had_primary, self.died = True, False

    @invariant()
    def the_cap_is_held(self) -> None:
        """Of active ones, of those that drain, and of all that is loaded."""
        states = [view.state for view in self.snapshot.generations]
        assert states.count(GenerationState.ACTIVE) <= MAXIMUM_ACTIVE
        assert states.count(GenerationState.DRAINING) <= MAXIMUM_DRAINING
        assert sum(state is not GenerationState.FAILED for state in states) <= MAXIMUM_LOADED
        assert sum(not view.ready for view in self.snapshot.generations) <= 1

    @invariant()
    def a_rejected_trial_has_no_role(self) -> None:
        """Nor has a primary, where something better is there."""
        failed = {failure.number for failure in self.snapshot.failures}
        for role, view in self.snapshot.assigned().items():
            assert role is Role.PRIMARY or view.number not in failed

    def teardown(self) -> None:
        """When streams end, loads succeed and nothing more happens, what is wanted is served."""
        for _ in range(60):
            self.snapshot = replace(
                self.snapshot,
                now_seconds=self.snapshot.now_seconds + 100.0,
                generations=tuple(
                    replace(view, streams=0, leaving=0) for view in self.snapshot.generations
                ),
            )
            self._work()
            if self._loading():
                self.finish_loading(ready=True)
        target = to_serve(self.snapshot)
        assert self.snapshot.in_force == target
        roles = {role: view.pin for role, view in self.snapshot.assigned().items()}
        assert roles == ({} if target is None else target.rollout.pins())
        fresh = {view.number for view in self.snapshot.generations if view.assigned}
        assert {view.number for view in self.snapshot.generations} == fresh

    def _want(self) -> None:
        self.snapshot = want(self.snapshot, self.known[:4])
        self._work()

    def _reject(self, view: GenerationView, retry: float | None = None) -> None:
        served = self.snapshot.in_force
        sequence = served.sequence if view.assigned and served else self.known[0].sequence
        failure = Failure(view.number, sequence, view.pin, view.role, "BAD", "bad", retry)
        self.snapshot = fail(self.snapshot, failure)

    def _work(self) -> None:
        """Carries out what the policy says, until it is content."""
        for _ in range(50):
            before = self.snapshot
            action = next_action(before, TIMES)
            if action is None:
                return
            if isinstance(action, Load):
                self.number += 1
            if isinstance(action, Retire):
                gone = view_of(before, action.number)
                assert not gone.streams
                assert not gone.assigned
            if isinstance(action, Assign):
                lost = set(before.assigned()) - set(action.roles)
                assert Role.PRIMARY not in lost
            self.snapshot = after(before, action, self.number)
            if isinstance(action, MoveStreams):  # every second one cannot move, and is told
                assert view_of(before, action.to).assigned
                view = view_of(self.snapshot, action.number)
                moved = view.streams // 2
                self._count(action.number, -moved)
                self.snapshot = changed(self.snapshot, action.number, leaving=view.streams - moved)
                self._count(action.to, moved)
        raise AssertionError(f"the policy does not come to rest; it would {action}")

    def _count(self, number: int, streams: int) -> None:
        view = view_of(self.snapshot, number)
        self.snapshot = changed(self.snapshot, number, streams=view.streams + streams)

    def _loading(self) -> list[GenerationView]:
        return [view for view in self.snapshot.generations if not view.ready]


Pod.TestCase.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
TestPod = pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")(
    Pod.TestCase
)
