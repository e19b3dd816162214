"""What a pod is after something was done, or has happened. Pure: from a snapshot to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from voiceflow.catalog.channels import Role, Rollout
from voiceflow.catalog.pods import GenerationState
from voiceflow_inference.serving.policy import Action, Assign, Drain, Load, MoveStreams, Retire
from voiceflow_inference.serving.state import (
    Failure,
    GenerationView,
    Snapshot,
    Wanted,
    check_move,
)


def after(snapshot: Snapshot, action: Action, number: int = 0) -> Snapshot:
    """What an action makes of a pod.

    Args:
        snapshot: Before.
        action: That the policy chose.
        number: Of the generation that is begun, for `Load`.

    Raises:
        ValueError: It is against the moves of states: the policy is wrong.
    """
    match action:
        case Load():
            begun = GenerationView(number, action.pin, GenerationState.DOWNLOADING, action.role)
            return replace(snapshot, generations=(*snapshot.generations, begun))
        case Assign():
            return _assigned(snapshot, action)
        case Drain():
            return changed(snapshot, action.number, state=GenerationState.DRAINING)
        case MoveStreams():
            streams = view_of(snapshot, action.number).streams
            return changed(snapshot, action.number, leaving=streams)
        case Retire():
            return _retired(snapshot, action.number)


def view_of(snapshot: Snapshot, number: int) -> GenerationView:
    """The generation of that number."""
    return next(view for view in snapshot.generations if view.number == number)


def changed(snapshot: Snapshot, number: int, **fields: Any) -> Snapshot:
    """With other fields of one generation.

    Raises:
        ValueError: No move leads to its new state.
    """
    views = []
    for view in snapshot.generations:
        if view.number == number:
            new = replace(view, **fields)
            if new.state is not view.state:
                check_move(view.state, new.state)
            views.append(new)
        else:
            views.append(view)
    return replace(snapshot, generations=tuple(views))


def want(snapshot: Snapshot, wanted: Sequence[Wanted]) -> Snapshot:
    """With other wishes, the best first; failures of what is in none of them are forgotten."""
    pins = {pin for one in wanted for pin in one.rollout.pins().values()}
    numbers = {view.number for view in snapshot.generations}
    failures = tuple(
        failure for failure in snapshot.failures if failure.pin in pins or failure.number in numbers
    )
    return replace(snapshot, wanted=tuple(wanted), failures=failures)


def fail(snapshot: Snapshot, failure: Failure) -> Snapshot:
    """A version could not be taken, or is rejected.

    What is not ready is dropped; what serves goes on until another has its role.
    """
    others = tuple(
        known
        for known in snapshot.failures
        if known.retry_seconds is None or known.pin != failure.pin
    )
    snapshot = replace(snapshot, failures=(*others, failure))
    view = next((view for view in snapshot.generations if view.number == failure.number), None)
    return snapshot if view is None or view.ready else _retired(snapshot, failure.number)


def die(snapshot: Snapshot, number: int, reason: str, message: str) -> Snapshot:
    """The engine of a generation does not come back: it serves nobody from now on."""
    view = view_of(snapshot, number)
    return changed(
        snapshot,
        number,
        state=GenerationState.FAILED,
        assigned=False,
        dead=True,
        percentage=0.0,
        left_seconds=snapshot.now_seconds if view.left_seconds is None else view.left_seconds,
        reason=reason,
        message=message,
    )


def _retired(snapshot: Snapshot, number: int) -> Snapshot:
    return replace(
        snapshot,
        generations=tuple(view for view in snapshot.generations if view.number != number),
        fallback=None if snapshot.fallback == number else snapshot.fallback,
    )


def _assigned(snapshot: Snapshot, action: Assign) -> Snapshot:
    roles = {number: role for role, number in action.roles.items()}
    before = snapshot.assigned().get(Role.PRIMARY)
    for view in snapshot.generations:
        if view.number in roles:
            role = roles[view.number]
            snapshot = changed(
                snapshot,
                view.number,
                state=GenerationState.ACTIVE,
                role=role,
                assigned=True,
                percentage=_percentage(action.wanted.rollout, role),
                since=action.wanted.since(role),
                left_seconds=None,
                leaving=0,
            )
        elif view.assigned:
            snapshot = _left(snapshot, view, drains=view.number == action.drain)
        elif view.number == action.drain:
            snapshot = changed(snapshot, view.number, state=GenerationState.DRAINING)
    fallback = snapshot.fallback
    if before is not None and before.number not in roles:
        fallback = before.number
    elif fallback in roles:
        fallback = None
    return replace(
        snapshot,
        in_force=action.wanted,
        fallback=fallback,
        serving_sequence=_serving_sequence(snapshot, action.wanted),
    )


def _left(snapshot: Snapshot, view: GenerationView, *, drains: bool) -> Snapshot:
    """A generation without the role that it had."""
    failure = _failure_of(snapshot, view.number)
    if failure is not None:
        state = GenerationState.FAILED
    else:
        state = GenerationState.DRAINING if drains else view.state
    return changed(
        snapshot,
        view.number,
        state=state,
        assigned=False,
        percentage=0.0,
        left_seconds=snapshot.now_seconds,
        reason="" if failure is None else failure.reason,
        message="" if failure is None else failure.message,
    )


def _failure_of(snapshot: Snapshot, number: int) -> Failure | None:
    return next((failure for failure in snapshot.failures if failure.number == number), None)


def _percentage(rollout: Rollout, role: Role) -> float:
    match role:
        case Role.CANARY if rollout.canary is not None:
            return rollout.canary.percentage
        case Role.SHADOW if rollout.shadow is not None:
            return rollout.shadow.percentage
        case _:
            return 0.0


def _serving_sequence(snapshot: Snapshot, wanted: Wanted) -> int:
    """Of the newest promotion that is served just as it says.

    While one is only partly in force it is the one before; where a role of the one that was served
    has ended, and no other promotion says what is left, it is none.
    """
    for known in sorted(snapshot.wanted, key=lambda known: -known.sequence):
        if known.rollout == wanted.rollout:
            return known.sequence
    served = snapshot.serving_sequence
    return 0 if served == wanted.sequence else served
