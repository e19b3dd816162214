"""Which steps lead where: on values, and on every way of being interrupted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceflow.errors import NotAllowedNow
from voiceflow.rollout.planning import Wish, plan_blue_green, plan_canary, standing_pods
from voiceflow.rollout.state import (
    COLOUR_LABEL,
    Autoscaler,
    Colour,
    Pod,
    Selection,
    Serving,
    Side,
    Situation,
)
from voiceflow.rollout.steps import (
    AwaitEmpty,
    AwaitServing,
    Drain,
    Forget,
    HoldSize,
    ReleaseSize,
    Resize,
    Select,
    Settle,
    Step,
    TakeIntoService,
)

BLUE, GREEN = Colour.BLUE, Colour.GREEN
APP = {"app": "inference"}


def pods(
    colour: Colour, count: int, streams: int = 0, *, draining: bool = False
) -> tuple[Pod, ...]:
    """So many that serve."""
    said = Serving(streams=streams, draining=draining, versions=("1.0.0",))
    return tuple(Pod(f"{colour}-{number}", serving=said) for number in range(count))


def side(
    colour: Colour, replicas: int, streams: int = 0, *, scaler: Autoscaler | None = None
) -> Side:
    """One with all its pods."""
    return Side(
        colour,
        f"inference-{colour}",
        replicas,
        labels=APP | {COLOUR_LABEL: colour},
        pods=pods(colour, replicas, streams),
        autoscaler=scaler,
    )


def situation(selected: Colour | None, blue: Side, green: Side) -> Situation:
    """With a Service that selects so."""
    return Situation("speech", "inference", Selection(selected, APP), blue, green)


def test_a_switch_grows_one_side_and_empties_the_other() -> None:
    """In this order: nothing is sent to green before it serves, nothing taken from blue before."""
    now = situation(BLUE, side(BLUE, 9, streams=3), side(GREEN, 2))
    wish = Wish(standing=1, deadline_seconds=300.0, settle_seconds=10.0)
    assert plan_blue_green(now, GREEN, wish) == (
        Resize(GREEN, 2, 9),
        AwaitServing(GREEN, 9),
        Select("inference", BLUE, GREEN),
        Settle(10.0),
        Drain(BLUE, 300.0),
        AwaitEmpty(BLUE),
        Resize(BLUE, 9, 1),
        TakeIntoService(BLUE),
        Forget("inference", BLUE),
    )


def test_an_autoscaler_is_held_until_the_other_side_is_empty() -> None:
    """And gets back what it had, also where an earlier rollout was interrupted."""
    scaler = Autoscaler("green", 2, 20)
    now = situation(BLUE, side(BLUE, 9, streams=1), side(GREEN, 2, scaler=scaler))
    steps = plan_blue_green(now, GREEN, Wish())
    assert steps[0] == HoldSize(GREEN, "green", 2, 9)
    assert steps[-2] == ReleaseSize(GREEN, "green", 9, 2)
    held = replace(scaler, minimum=9, minimum_before=2)
    later = situation(GREEN, side(BLUE, 1), side(GREEN, 9, scaler=held))
    assert plan_blue_green(later, GREEN, Wish()) == (ReleaseSize(GREEN, "green", 9, 2),)


def test_a_side_that_drains_is_taken_into_service_before_it_is_waited_for() -> None:
    """Or it would never be ready: that is the way back in the middle of a switch."""
    drained = replace(side(BLUE, 9), pods=pods(BLUE, 9, streams=2, draining=True))
    now = situation(GREEN, drained, side(GREEN, 9, streams=1))
    steps = plan_blue_green(now, BLUE, Wish())
    assert steps[:3] == (
        TakeIntoService(BLUE),
        AwaitServing(BLUE, 9),
        Select("inference", GREEN, BLUE),
    )


def test_what_is_left_of_a_switch_is_planned_from_what_is_there() -> None:
    """A side of standing size is drained too, as long as it was not seen empty."""
    now = situation(GREEN, side(BLUE, 1), side(GREEN, 9))
    left = replace(now, selection=Selection(GREEN, APP, left=BLUE))
    assert plan_blue_green(now, GREEN, Wish()) == ()
    assert plan_blue_green(left, GREEN, Wish()) == (
        Drain(BLUE, None),
        AwaitEmpty(BLUE),
        TakeIntoService(BLUE),
        Forget("inference", BLUE),
    )


@pytest.mark.parametrize(
    ("now", "wish", "reason"),
    [
        (situation(BLUE, side(BLUE, 0), side(GREEN, 0)), Wish(), "NO_PODS"),
        (
            situation(BLUE, side(BLUE, 9), side(GREEN, 2, scaler=Autoscaler("green", 2, 8))),
            Wish(),
            "AUTOSCALER_TOO_SMALL",
        ),
        (
            situation(BLUE, side(BLUE, 9), replace(side(GREEN, 2), labels={})),
            Wish(),
            "SELECTOR_MISMATCH",
        ),
    ],
)
def test_a_switch_that_would_lead_nowhere_is_refused(
    now: Situation, wish: Wish, reason: str
) -> None:
    """Before anything is done."""
    with pytest.raises(NotAllowedNow) as refused:
        plan_blue_green(now, GREEN, wish)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("percent", "wanted"), [(10.0, 1), (1.0, 1), (50.0, 9), (25.0, 3), (90.0, 81)]
)
def test_a_canary_is_a_share_of_all_pods_behind_the_service(percent: float, wanted: int) -> None:
    """One at least; the Service selects both then."""
    steps = plan_canary(situation(BLUE, side(BLUE, 9), side(GREEN, 0)), GREEN, percent, Wish())
    assert steps == (
        Resize(GREEN, 0, wanted),
        AwaitServing(GREEN, wanted),
        Select("inference", BLUE, None),
    )


def test_a_canary_is_no_smaller_than_its_autoscaler_lets_it_be() -> None:
    """Which would grow it anyway."""
    green = side(GREEN, 2, scaler=Autoscaler("green", 2, 20))
    steps = plan_canary(situation(BLUE, side(BLUE, 9), green), GREEN, 1.0, Wish())
    assert steps == (AwaitServing(GREEN, 2), Select("inference", BLUE, None))


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (situation(GREEN, side(BLUE, 1), side(GREEN, 9)), "CANARY_SERVES_ALL"),
        (situation(BLUE, side(BLUE, 9), side(GREEN, 5)), "CANARY_SHRINKS"),
        (situation(None, side(BLUE, 9), side(GREEN, 5)), "CANARY_SHRINKS"),
        (situation(BLUE, side(BLUE, 0), side(GREEN, 0)), "NO_PODS"),
        (
            replace(situation(BLUE, side(BLUE, 9), side(GREEN, 0)), selection=Selection(BLUE, {})),
            "SELECTOR_MISMATCH",
        ),
    ],
)
def test_a_canary_that_makes_no_sense_is_refused(now: Situation, reason: str) -> None:
    """Callers of pods that would go are not cut, and a Service is not left without a selector."""
    with pytest.raises(NotAllowedNow) as refused:
        plan_canary(now, GREEN, 10.0, Wish())
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("scaler", "wanted", "standing"),
    [(None, None, 1), (None, 0, 0), (None, 3, 3)]
    + [(Autoscaler("a", 2, 9), *one) for one in ((None, 2), (0, 0), (1, 2), (4, 4))]
    + [(Autoscaler("a", 7, 9, minimum_before=2), None, 2)],
)
def test_the_standing_size_is_one_that_lasts(
    scaler: Autoscaler | None, wanted: int | None, standing: int
) -> None:
    """An autoscaler is off at no pods at all, and grows what is below its minimum."""
    assert standing_pods(side(BLUE, 5, scaler=scaler), wanted) == standing


# Every way of being interrupted: a model of a cluster takes the steps.


def taken(now: Situation, step: Step) -> Situation:
    """What stands after a step."""
    if isinstance(step, Select):
        left = None if step.to is None else step.to.other
        assert step.before is now.selection.colour
        return replace(now, selection=replace(now.selection, colour=step.to, left=left))
    if isinstance(step, Forget):
        return replace(now, selection=replace(now.selection, left=None))
    if isinstance(step, Settle):
        return now
    old = now.side(step.colour)
    new = _changed(old, step)
    return replace(now, blue=new) if step.colour is BLUE else replace(now, green=new)


def _changed(old: Side, step: Step) -> Side:
    scaler = old.autoscaler
    if isinstance(step, HoldSize):
        assert scaler is not None
        return replace(
            old, autoscaler=replace(scaler, minimum=step.to, minimum_before=scaler.standing)
        )
    if isinstance(step, ReleaseSize):
        assert scaler is not None
        assert step.before == scaler.minimum
        return replace(old, autoscaler=replace(scaler, minimum=step.to, minimum_before=None))
    if isinstance(step, Resize):
        more = pods(old.colour, step.to)[len(old.pods) :]
        return replace(old, replicas=step.to, pods=(old.pods + more)[: step.to])
    if isinstance(step, Drain | TakeIntoService):
        draining = isinstance(step, Drain)
        said = [replace(pod.serving or Serving(), draining=draining) for pod in old.pods]
        return _saying(old, said)
    if isinstance(step, AwaitEmpty):
        assert all(pod.draining for pod in old.pods)
        return _saying(old, [replace(pod.serving or Serving(), streams=0) for pod in old.pods])
    assert isinstance(step, AwaitServing)
    assert len(old.pods) >= step.pods
    assert not old.draining
    return old


def _saying(old: Side, said: Sequence[Serving]) -> Side:
    both = zip(old.pods, said, strict=True)
    return replace(old, pods=tuple(replace(pod, serving=one) for pod, one in both))


def serves(now: Situation) -> bool:
    """Whether new connections meet pods that take streams."""
    chosen = [BLUE, GREEN] if now.selection.colour is None else [now.selection.colour]
    return all(now.side(one).pods and not now.side(one).draining for one in chosen)


scalers = st.none() | st.builds(
    Autoscaler, st.just("scaler"), st.integers(1, 3), st.integers(50, 60)
)
sides = st.tuples(st.integers(1, 6), st.integers(0, 3), scalers)
directions = st.tuples(st.sampled_from(Colour), st.booleans(), st.integers(0, 9))


@given(sides, sides, st.lists(directions, max_size=5), st.sampled_from(Colour))
def test_a_rollout_ends_well_however_often_it_was_interrupted_and_turned(
    blue: tuple[int, int, Autoscaler | None],
    green: tuple[int, int, Autoscaler | None],
    turns: list[tuple[Colour, bool, int]],
    to: Colour,
) -> None:
    """New connections always meet pods that take streams; in the end nothing is held or left."""
    now = situation(
        BLUE,
        side(BLUE, blue[0], blue[1], scaler=blue[2]),
        side(GREEN, green[0], green[1], scaler=green[2]),
    )
    for towards, canary, stop in turns:
        try:
            steps: tuple[Step, ...] = (
                plan_canary(now, towards, 20.0, Wish())
                if canary
                else plan_blue_green(now, towards, Wish())
            )
        except NotAllowedNow:
            continue
        for step in steps[:stop]:
            now = taken(now, step)
            assert serves(now)
    for step in plan_blue_green(now, to, Wish()):
        now = taken(now, step)
    assert serves(now)
    assert now.selection.colour is to
    assert now.selection.left is None
    assert plan_blue_green(now, to, Wish()) == ()
    for one in (now.blue, now.green):
        assert not one.draining
        assert one.autoscaler is None or one.autoscaler.minimum_before is None
    left = now.side(to.other)
    assert left.replicas <= standing_pods(left, None)
