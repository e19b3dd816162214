"""What a pod does next. Pure: from a snapshot to one action, the same for the same snapshot.

Whoever carries actions out asks again after each, and whenever something has changed. The rules:

- There is always a primary once there was one; another takes its place in one step, when it is
  warm.
- What this pod has rejected is not taken again under the same promotion, or an older one: it goes
  on with, or back to, the best that is left.
- At most `MAXIMUM_ACTIVE` are active, at most `MAXIMUM_DRAINING` drain. Where a promotion needs
  more room it waits, but for the shadow, which nobody would miss: it goes first.
- Nothing is dropped while it has a role or streams. Streams leave a version that was replaced by
  themselves, or are moved when its time is up; from one that failed they are moved at once.
- What was primary last is kept for a while, to go back to.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from voiceflow.catalog.channels import Role, Rollout, VersionPin
from voiceflow.catalog.pods import GenerationState
from voiceflow_inference.serving.state import (
    MAXIMUM_DRAINING,
    MAXIMUM_LOADED,
    GenerationView,
    Snapshot,
    Wanted,
)


@dataclass(frozen=True, slots=True)
class Times:
    """How long what was replaced stays.

    Attributes:
        drain_deadline_seconds: Streams may go on on it for so long.
        keep_seconds: It stays loaded for so long, without streams too, to go back to.
    """

    drain_deadline_seconds: float
    keep_seconds: float


@dataclass(frozen=True, slots=True)
class Load:
    """Fetch a version, load it, warm it."""

    pin: VersionPin
    role: Role
    sequence: int


@dataclass(frozen=True, slots=True)
class Assign:
    """Swap: from now on these generations have these roles, and no others have any.

    One that drained is taken back. One that loses its role and was rejected, fails.

    Attributes:
        wanted: What is in force then.
        roles: Number of the generation that has each role.
        drain: What drains from now on; None: nothing does that did not.
    """

    wanted: Wanted
    roles: Mapping[Role, int]
    drain: int | None = None


@dataclass(frozen=True, slots=True)
class Drain:
    """A generation without role begins to drain: the place is free."""

    number: int


@dataclass(frozen=True, slots=True)
class MoveStreams:
    """Ask the streams of a generation to leave it, for another."""

    number: int
    to: int


@dataclass(frozen=True, slots=True)
class Retire:
    """Drop a generation, or give up loading it."""

    number: int


Action = Load | Assign | Drain | MoveStreams | Retire


def next_action(snapshot: Snapshot, times: Times) -> Action | None:
    """What to do now; None: nothing until something changes, or time passes."""
    target = to_serve(snapshot)
    return (
        _assign(snapshot, target)
        or _move_streams(snapshot, times)
        or _retire(snapshot, target, times)
        or _drain(snapshot)
        or _load(snapshot, target)
    )


def to_serve(snapshot: Snapshot) -> Wanted | None:
    """The best of what is wanted, without what this pod has rejected; None: nothing is left.

    Where every primary was rejected, it is the one that is served: better than none.
    """
    for wanted in snapshot.wanted:
        if not _rejected(snapshot, wanted.rollout.primary, wanted.sequence):
            return _without_rejected(snapshot, wanted)
    if snapshot.in_force is None:
        return None
    return replace(snapshot.in_force, rollout=Rollout(primary=snapshot.in_force.rollout.primary))


def _without_rejected(snapshot: Snapshot, wanted: Wanted) -> Wanted:
    refused = {
        role
        for role, pin in wanted.rollout.pins().items()
        if role is not Role.PRIMARY
        and (pin == wanted.rollout.primary or _rejected(snapshot, pin, wanted.sequence))
    }
    return replace(wanted, rollout=without(wanted.rollout, refused))


def without(rollout: Rollout, roles: Collection[Role]) -> Rollout:
    """A rollout that does without canary, shadow, or both."""
    return Rollout(
        primary=rollout.primary,
        canary=None if Role.CANARY in roles else rollout.canary,
        shadow=None if Role.SHADOW in roles else rollout.shadow,
    )


def _rejected(snapshot: Snapshot, pin: VersionPin, sequence: int) -> bool:
    return any(
        failure.pin == pin and failure.sequence >= sequence and failure.retry_seconds is None
        for failure in snapshot.failures
    )


def _rejected_itself(snapshot: Snapshot, view: GenerationView) -> bool:
    """Whether it was this very generation."""
    return any(failure.number == view.number for failure in snapshot.failures)


def _of_pin(snapshot: Snapshot, pin: VersionPin, sequence: int) -> GenerationView | None:
    """The generation of a version: loaded, or on the way.

    One that was rejected under an older promotion is none: a newer one tries the version anew, with
    nothing held against it.
    """
    views = [
        view
        for view in snapshot.generations
        if view.pin == pin
        and view.state is not GenerationState.FAILED
        and not any(
            failure.number == view.number and failure.sequence < sequence
            for failure in snapshot.failures
        )
    ]
    return max(views, key=lambda view: (view.assigned, view.ready), default=None)


def _ready(snapshot: Snapshot, pin: VersionPin, sequence: int) -> GenerationView | None:
    view = _of_pin(snapshot, pin, sequence)
    return view if view is not None and view.ready else None


def _assign(snapshot: Snapshot, target: Wanted | None) -> Assign | None:
    present = snapshot.assigned()
    ready = {}
    if target is not None:
        pins = target.rollout.pins()
        ready = {role: _ready(snapshot, pin, target.sequence) for role, pin in pins.items()}
    if target is not None and ready[Role.PRIMARY] is not None:
        wanted, found = target, ready
    elif snapshot.in_force is not None:
        # The primary stays until another is ready, whatever it is; a trial ends at once.
        wanted = snapshot.in_force
        kept = {
            role: view
            for role, view in present.items()
            if role is Role.PRIMARY or not _rejected_itself(snapshot, view)
        }
        found = {role: kept.get(role) for role in wanted.rollout.pins()}
        if _pressed(snapshot, target):
            found[Role.SHADOW] = None
    else:
        return None
    absent = {role for role, view in found.items() if view is None}
    wanted = replace(wanted, rollout=without(wanted.rollout, absent))
    roles = {role: view.number for role, view in found.items() if view is not None}
    if wanted == snapshot.in_force and roles == {
        role: view.number for role, view in present.items()
    }:
        return None
    return Assign(wanted, roles, _next_to_drain(snapshot, set(roles.values())))


def _next_to_drain(snapshot: Snapshot, assigned: set[int]) -> int | None:
    """What may begin to drain when only those have roles."""
    others = [
        view
        for view in snapshot.generations
        if view.number not in assigned and not _rejected_itself(snapshot, view)
    ]
    draining = [view for view in others if view.state is GenerationState.DRAINING]
    if len(draining) >= MAXIMUM_DRAINING:
        return None
    waiting = [view for view in others if view.state is GenerationState.ACTIVE]
    # What loses its role only now has not been waiting yet.
    longest = min(waiting, key=lambda view: (view.assigned, view.left_seconds or 0.0), default=None)
    return None if longest is None else longest.number


def _drain(snapshot: Snapshot) -> Drain | None:
    assigned = {view.number for view in snapshot.generations if view.assigned}
    number = _next_to_drain(snapshot, assigned)
    return None if number is None else Drain(number)


def _move_streams(snapshot: Snapshot, times: Times) -> MoveStreams | None:
    primary = snapshot.assigned().get(Role.PRIMARY)
    if primary is None:
        return None
    for view in snapshot.generations:
        overdue = (
            view.left_seconds is not None
            and snapshot.now_seconds >= view.left_seconds + times.drain_deadline_seconds
        )
        must = view.state is GenerationState.FAILED or overdue
        if must and view.streams > view.leaving:
            return MoveStreams(view.number, primary.number)
    return None


def _retire(snapshot: Snapshot, target: Wanted | None, times: Times) -> Retire | None:
    pins = () if target is None else target.rollout.pins().values()
    sequence = 0 if target is None else target.sequence
    wanted = [_of_pin(snapshot, pin, sequence) for pin in pins]
    pressed = _pressed(snapshot, target)
    for view in snapshot.generations:
        if view.assigned or view.streams or view.arriving:
            continue
        fresh = (
            view.number == snapshot.fallback
            and view.left_seconds is not None
            and snapshot.now_seconds < view.left_seconds + times.keep_seconds
        )
        of_use = view in wanted or fresh
        if pressed and view.left_seconds is not None:
            of_use = False
        if view.state is GenerationState.FAILED or not of_use:
            return Retire(view.number)
    return None


def _load(snapshot: Snapshot, target: Wanted | None) -> Load | None:
    busy = any(
        not view.ready and view.state is not GenerationState.FAILED for view in snapshot.generations
    )
    if target is None or busy or snapshot.stopping:
        return None
    for role, pin in _missing(snapshot, target):
        if _room(snapshot) and not _pausing(snapshot, pin):
            return Load(pin, role, target.sequence)
        if role is Role.PRIMARY:
            return None
    return None


def _missing(snapshot: Snapshot, target: Wanted) -> Iterator[tuple[Role, VersionPin]]:
    """The versions that are not here, the primary first."""
    for role, pin in target.rollout.pins().items():
        if _of_pin(snapshot, pin, target.sequence) is None:
            yield role, pin


def _pressed(snapshot: Snapshot, target: Wanted | None) -> bool:
    """Whether a primary waits for room."""
    return (
        target is not None
        and any(role is Role.PRIMARY for role, _ in _missing(snapshot, target))
        and not _room(snapshot)
        and not _pausing(snapshot, target.rollout.primary)
    )


def _room(snapshot: Snapshot) -> bool:
    """Whether one more may be loaded. What failed is on its way out."""
    loaded = [view for view in snapshot.generations if view.state is not GenerationState.FAILED]
    return len(loaded) < MAXIMUM_LOADED


def _pausing(snapshot: Snapshot, pin: VersionPin) -> bool:
    """Whether it could not be fetched just now."""
    return any(
        failure.pin == pin
        and failure.retry_seconds is not None
        and snapshot.now_seconds < failure.retry_seconds
        for failure in snapshot.failures
    )
