"""Which steps lead from what stands in a cluster to what is wanted: pure rules.

A plan is made from what is there and never from what an earlier run has done, so that a rollout
that was interrupted anywhere goes on, or back, by being asked for again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from voiceflow.errors import NotAllowedNow
from voiceflow.rollout.state import COLOUR_LABEL, Colour, Selection, Side, Situation
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

STANDING_PODS: Final = 1
"""Of a side without an autoscaler, when the other one serves."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of a rollout besides its direction.

    Attributes:
        pods: Of the new side; None: as many as the side that serves has.
        standing: Pods that the old side keeps; None: as its autoscaler says, or `STANDING_PODS`.
        deadline_seconds: After which streams on the old side are told to go; None: never.
        settle_seconds: From the switch until the old side is drained.
    """

    pods: int | None = None
    standing: int | None = None
    deadline_seconds: float | None = None
    settle_seconds: float = 0.0


def plan_blue_green(now: Situation, to: Colour, wish: Wish) -> tuple[Step, ...]:
    """All new connections to one side, and the other one empty.

    Args:
        now: What stands.
        to: The side.
        wish: Details.

    Returns:
        The steps, in order; empty: it is done.

    Raises:
        NotAllowedNow: NO_PODS, AUTOSCALER_TOO_SMALL, SELECTOR_MISMATCH: the switch would lead
            nowhere.
    """
    new, old = now.side(to), now.side(to.other)
    steps: list[Step] = []
    if now.selection.colour is not to:
        _check_selected(now.selection, new)
        pods = wish.pods or max(new.replicas, old.replicas)
        steps += _grown(new, pods)
        steps += [
            Select(now.service, now.selection.colour, to),
            *([Settle(wish.settle_seconds)] if wish.settle_seconds else []),
        ]
    elif new.draining:
        steps.append(TakeIntoService(to))
    leaving = now.selection.colour is not to or now.selection.left is old.colour
    steps += _emptied(old, wish, leaving=leaving)
    held = next((step for step in steps if isinstance(step, HoldSize)), None)
    steps += _released(new, held)
    if leaving:
        steps.append(Forget(now.service, old.colour))
    return tuple(steps)


def plan_canary(now: Situation, to: Colour, percent: float, wish: Wish) -> tuple[Step, ...]:
    """A share of the new connections to a side, by its share of the pods behind the Service.

    Args:
        now: What stands.
        to: The side that is on trial.
        percent: Above 0, below 100; left aside where `wish.pods` says how many.
        wish: Details.

    Returns:
        The steps, in order; empty: it is so.

    Raises:
        NotAllowedNow: CANARY_SERVES_ALL, CANARY_SHRINKS, and as `plan_blue_green`.
    """
    new, old = now.side(to), now.side(to.other)
    if now.selection.colour is to:
        raise NotAllowedNow(
            f"{to} gets all that is new; a canary is of the other side: --to {to.other}",
            reason="CANARY_SERVES_ALL",
        )
    pods = wish.pods or max(1, round(old.replicas * percent / (100 - percent)))
    if new.autoscaler is not None:
        pods = max(pods, new.autoscaler.standing)
    if old.replicas == 0:
        raise _no_pods(old)
    if new.replicas > pods:
        raise NotAllowedNow(
            f"{to} has {new.replicas} pods, {pods} are asked for, and a canary only grows:"
            f" blue-green --to {to.other} --standing {pods} comes first",
            reason="CANARY_SHRINKS",
        )
    if now.selection.colour is None:
        idle = new.replicas == pods and not new.draining
        return () if idle else _grown(new, pods)
    both = Selection(None, now.selection.labels)
    for side in (new, old):
        _check_selected(both, side)
    return (*_grown(new, pods), Select(now.service, now.selection.colour, None))


def standing_pods(side: Side, wanted: int | None) -> int:
    """How many pods a side keeps when the other one serves.

    Args:
        side: The side.
        wanted: As asked for; None: as its autoscaler says.
    """
    if side.autoscaler is None:
        return STANDING_PODS if wanted is None else wanted
    least = side.autoscaler.standing
    # An autoscaler is off at 0 pods, and raises anything else to its minimum.
    return least if wanted is None else wanted and max(wanted, least)


def _grown(side: Side, pods: int) -> tuple[Step, ...]:
    """Until so many pods of a side serve; it never becomes smaller."""
    if pods == 0:
        raise _no_pods(side)
    scaler = side.autoscaler
    steps: list[Step] = []
    if scaler is not None and scaler.maximum < pods:
        raise NotAllowedNow(
            f"autoscaler {scaler.name} allows {scaler.maximum} pods, {pods} are needed; raise its"
            " maxReplicas, or say --pods",
            reason="AUTOSCALER_TOO_SMALL",
        )
    if scaler is not None and scaler.minimum < pods:
        steps.append(HoldSize(side.colour, scaler.name, scaler.minimum, pods))
    if side.replicas < pods:
        steps.append(_resize(side, pods))
    if side.draining:
        steps.append(TakeIntoService(side.colour))
    return (*steps, AwaitServing(side.colour, pods))


def _emptied(side: Side, wish: Wish, *, leaving: bool) -> tuple[Step, ...]:
    """Until a side that nothing new is sent to has its standing size, without callers."""
    standing = standing_pods(side, wish.standing)
    steps: list[Step] = []
    shrinks = side.replicas > standing
    callers = bool(side.pods) and (leaving or shrinks or side.streams > 0)
    if callers:
        steps += [Drain(side.colour, wish.deadline_seconds), AwaitEmpty(side.colour)]
    steps += _released(side)
    if shrinks:
        steps.append(_resize(side, standing))
    if standing and (callers or side.draining):
        steps.append(TakeIntoService(side.colour))
    return tuple(steps)


def _released(side: Side, held: HoldSize | None = None) -> tuple[Step, ...]:
    """Once nothing needs a side to be larger than its load; `held`: by this plan."""
    scaler = side.autoscaler
    if scaler is None or (held is None and scaler.minimum_before is None):
        return ()
    minimum = scaler.minimum if held is None else held.to
    return (ReleaseSize(side.colour, scaler.name, minimum, scaler.standing),)


def _resize(side: Side, pods: int) -> Resize:
    return Resize(side.colour, side.replicas, pods, autoscaled=side.autoscaler is not None)


def _check_selected(selection: Selection, side: Side) -> None:
    wanted = dict(selection.labels)
    if not wanted and selection.colour is None:
        raise NotAllowedNow(
            "the Service selects by its colour alone; without one it would select nothing",
            reason="SELECTOR_MISMATCH",
        )
    wanted[COLOUR_LABEL] = side.colour
    lacking = {name: value for name, value in wanted.items() if side.labels.get(name) != value}
    if lacking:
        labels = ", ".join(f"{name}={value}" for name, value in sorted(lacking.items()))
        raise NotAllowedNow(
            f"the Service asks for {labels}, which pods of {side.deployment} do not have",
            reason="SELECTOR_MISMATCH",
        )


def _no_pods(side: Side) -> NotAllowedNow:
    return NotAllowedNow(
        f"{side.deployment} has no pods, nor is it to have any: say --pods", reason="NO_PODS"
    )
