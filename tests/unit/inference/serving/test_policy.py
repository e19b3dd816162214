"""What a pod does next, on snapshots."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from voiceflow.catalog.channels import Canary, Role, Rollout, Shadow, VersionPin
from voiceflow.catalog.pods import GenerationState
from voiceflow_inference.serving.policy import (
    Action,
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
    MOVES,
    Failure,
    GenerationView,
    Snapshot,
    Wanted,
    check_move,
)

TIMES = Times(drain_deadline_seconds=100.0, keep_seconds=10.0)
ACTIVE, DRAINING = GenerationState.ACTIVE, GenerationState.DRAINING
WARMING, FAILED = GenerationState.WARMING, GenerationState.FAILED
LOADING = GenerationState.LOADING


def pin(letter: str) -> VersionPin:
    """A version."""
    return VersionPin(version=f"models/diarizer/versions/{letter}", manifest_digest=letter)


def rollout(primary: str, canary: str = "", shadow: str = "") -> Rollout:
    """A canary of 5 %, a shadow of all."""
    return Rollout(
        primary=pin(primary),
        canary=Canary(pin=pin(canary), percentage=5.0) if canary else None,
        shadow=Shadow(pin=pin(shadow)) if shadow else None,
    )


def wanted(sequence: int, *versions: str) -> Wanted:
    """A promotion: primary, canary, shadow."""
    return Wanted(sequence, rollout(*versions))


def primary(number: int, letter: str, **fields: Any) -> GenerationView:
    """What serves."""
    return _view(number, letter, assigned=True, **fields)


def canary(number: int, letter: str, **fields: Any) -> GenerationView:
    """What is on trial."""
    return _view(number, letter, role=Role.CANARY, assigned=True, **fields)


def shadow(number: int, letter: str, **fields: Any) -> GenerationView:
    """What hears beside."""
    return _view(number, letter, role=Role.SHADOW, assigned=True, **fields)


def left(number: int, letter: str, at: float = 0.0, **fields: Any) -> GenerationView:
    """What has lost its role."""
    return _view(number, letter, left_seconds=at, **{"state": DRAINING} | fields)


def warm(number: int, letter: str, **fields: Any) -> GenerationView:
    """What is ready, and has no role yet."""
    return _view(number, letter, state=WARMING, **fields)


def loading(number: int, letter: str) -> GenerationView:
    """What is on the way."""
    return _view(number, letter, state=LOADING, ready=False)


def _view(number: int, letter: str, **fields: Any) -> GenerationView:
    values: dict[str, Any] = {"state": ACTIVE, "role": Role.PRIMARY, "ready": True}
    return GenerationView(number, pin(letter), **values | fields)


def failure(number: int, letter: str, sequence: int, retry: float | None = None) -> Failure:
    """A version that was rejected, or could not be fetched."""
    return Failure(number, sequence, pin(letter), Role.PRIMARY, "BAD", "bad", retry)


def doing(
    want: Wanted | tuple[Wanted, ...],
    *views: GenerationView,
    in_force: Wanted | None = None,
    now: float = 50.0,
    **fields: Any,
) -> Action | None:
    """The next action of a pod."""
    candidates = want if isinstance(want, tuple) else (want,)
    snapshot = Snapshot(now, candidates, in_force, views, **fields)
    return next_action(snapshot, TIMES)


A, AB, B = wanted(1, "a"), wanted(2, "a", "b"), wanted(3, "b")


def test_the_first_version_is_loaded_and_assigned() -> None:
    """A pod that serves nothing loads the primary, waits for it, and gives it its role."""
    assert doing(A) == Load(pin("a"), Role.PRIMARY, 1)
    assert doing(A, loading(1, "a")) is None
    assert doing(A, warm(1, "a")) == Assign(A, {Role.PRIMARY: 1})
    assert doing(A, primary(1, "a"), in_force=A) is None
    assert doing(()) is None


def test_a_canary_is_loaded_while_the_primary_serves() -> None:
    """It takes its role when ready, and another percentage without loading anything."""
    assert doing(AB, primary(1, "a"), in_force=A) == Assign(
        replace(AB, rollout=rollout("a")), {Role.PRIMARY: 1}
    )
    alone = replace(AB, rollout=rollout("a"))
    assert doing(AB, primary(1, "a"), in_force=alone) == Load(pin("b"), Role.CANARY, 2)
    both = doing(AB, primary(1, "a"), warm(2, "b"), in_force=alone)
    assert both == Assign(AB, {Role.PRIMARY: 1, Role.CANARY: 2})
    assert doing(AB, primary(1, "a"), canary(2, "b"), in_force=AB) is None
    trial = Canary(pin=pin("b"), percentage=50.0)
    more = Wanted(3, rollout("a").model_copy(update={"canary": trial}))
    again = doing(more, primary(1, "a"), canary(2, "b"), in_force=AB)
    assert again == Assign(more, {Role.PRIMARY: 1, Role.CANARY: 2})


def test_a_canary_that_is_promoted_is_not_loaded_again() -> None:
    """The swap is one step: it becomes primary, and what was primary drains."""
    swap = doing(B, primary(1, "a"), canary(2, "b"), in_force=AB)
    assert swap == Assign(B, {Role.PRIMARY: 2}, drain=1)


def test_the_primary_stays_until_another_is_warm() -> None:
    """While the wanted one loads, nothing changes but trials that failed."""
    assert doing(B, primary(1, "a"), loading(2, "b"), in_force=A) is None
    failed = (failure(3, "c", 2),)
    views = (primary(1, "a"), loading(2, "b"), canary(3, "c"))
    ended = doing(B, *views, in_force=wanted(2, "a", "c"), failures=failed)
    assert ended == Assign(wanted(2, "a"), {Role.PRIMARY: 1})


def test_a_version_that_drains_is_taken_back() -> None:
    """A rollback to what is still loaded loads nothing; what it replaces drains instead."""
    back = doing(wanted(4, "a"), left(1, "a", streams=3), primary(2, "b"), in_force=B)
    assert back == Assign(wanted(4, "a"), {Role.PRIMARY: 1}, drain=2)


def test_over_the_cap_a_promotion_waits() -> None:
    """With three active and one that drains, all with streams, nothing is loaded or dropped."""
    views = (
        left(1, "a", 40.0, streams=1),
        left(2, "b", 45.0, streams=1, state=ACTIVE),
        left(3, "c", 46.0, streams=1, state=ACTIVE),
        primary(4, "d", streams=1),
    )
    assert doing(wanted(9, "e"), *views, in_force=wanted(8, "d")) is None
    gone = doing(wanted(9, "e"), replace(views[0], streams=0), *views[1:], in_force=wanted(8, "d"))
    assert gone == Retire(1)
    drains = doing(wanted(9, "e"), *views[1:], in_force=wanted(8, "d"))
    assert drains == Drain(2), "the place is free for what has waited longest"
    after = (replace(views[1], state=DRAINING), *views[2:])
    assert doing(wanted(9, "e"), *after, in_force=wanted(8, "d")) == Load(pin("e"), Role.PRIMARY, 9)


def test_a_swap_does_not_wait_for_another_to_drain() -> None:
    """What is replaced while another drains stays active without role until that one is gone."""
    views = (left(1, "a", streams=1), primary(2, "b"), warm(3, "c"))
    assert doing(wanted(4, "c"), *views, in_force=B) == Assign(wanted(4, "c"), {Role.PRIMARY: 3})
    waits = (left(1, "a", streams=1, state=ACTIVE), *views[1:])
    first = doing(wanted(4, "c"), *waits, in_force=B)
    assert first == Assign(wanted(4, "c"), {Role.PRIMARY: 3}, drain=1)


def test_the_shadow_goes_first_where_a_primary_needs_room() -> None:
    """A new primary does not wait for a place that a shadow has; the canary keeps its own."""
    old, new = wanted(1, "a", "b", "c"), wanted(2, "d", "b", "c")
    views = (left(9, "z", streams=1), primary(1, "a"), canary(2, "b"))
    ended = doing(new, *views, shadow(3, "c"), in_force=old)
    less = replace(old, rollout=rollout("a", "b"))
    assert ended == Assign(less, {Role.PRIMARY: 1, Role.CANARY: 2})
    gone = left(3, "c", 50.0, role=Role.SHADOW, state=ACTIVE)
    assert doing(new, *views, gone, in_force=less) == Retire(3)
    assert doing(new, *views, in_force=less) == Load(pin("d"), Role.PRIMARY, 2)


def test_streams_are_moved_when_the_deadline_has_passed() -> None:
    """Not before, not twice, and from where their version was replaced to the primary."""
    views = (left(1, "a", 50.0, streams=2, leaving=1), primary(2, "b"))
    assert doing(B, *views, in_force=B, now=149.9) is None
    assert doing(B, *views, in_force=B, now=150.0) == MoveStreams(1, to=2)
    told = (replace(views[0], leaving=2), views[1])
    assert doing(B, *told, in_force=B, now=999.0) is None, "nothing is retired with streams"


def test_streams_leave_at_once_what_has_failed() -> None:
    """Whatever the deadline."""
    views = (left(1, "a", 50.0, streams=2, state=FAILED), primary(2, "b"))
    assert doing(B, *views, in_force=B, now=50.0) == MoveStreams(1, to=2)
    assert doing(B, replace(views[0], streams=0), views[1], in_force=B) == Retire(1)


def test_what_was_primary_last_is_kept_for_a_while() -> None:
    """Without streams too; any other that was left goes as soon as it has none."""
    views = (left(1, "a", 50.0), primary(2, "b"))
    assert doing(B, *views, in_force=B, now=59.9, fallback=1) is None
    assert doing(B, *views, in_force=B, now=60.0, fallback=1) == Retire(1)
    assert doing(B, *views, in_force=B, now=50.0, fallback=None) == Retire(1)


@pytest.mark.parametrize("change", [{"streams": 1}, {"arriving": 1}])
def test_nothing_is_retired_with_streams(change: dict[str, int]) -> None:
    """Nor while some are about to come."""
    views = (left(1, "a", **change), primary(2, "b"))
    assert doing(B, *views, in_force=B, now=60.0) is None


def test_what_is_not_wanted_any_more_is_given_up() -> None:
    """While it loads, and when it is warm and never had a role."""
    assert doing(A, primary(1, "a"), loading(2, "b"), in_force=A) == Retire(2)
    assert doing(A, primary(1, "a"), warm(2, "b"), in_force=A) == Retire(2)
    assert doing(A, primary(1, "a"), warm(2, "a"), in_force=A) == Retire(2), "one is enough"


def test_a_rejected_version_is_not_taken_again_under_its_promotion() -> None:
    """Nor under an older one; under a newer one it is."""
    failed = (failure(2, "b", 3),)
    serving = (primary(1, "a"),)
    assert doing((B, A), *serving, in_force=A, failures=failed) is None
    anew = doing((wanted(4, "b"), A), *serving, in_force=A, failures=failed)
    assert anew == Load(pin("b"), Role.PRIMARY, 4)
    old = Snapshot(0.0, (AB, A), A, serving, failed)
    assert to_serve(old) == replace(AB, rollout=rollout("a"))


def test_a_newer_promotion_tries_a_rejected_version_anew() -> None:
    """With another generation: nothing that the first one did is held against it."""
    failed = (failure(2, "b", 3),)
    assert doing(wanted(4, "b"), primary(2, "b"), in_force=B, failures=failed) == Load(
        pin("b"), Role.PRIMARY, 4
    )
    anew = (primary(2, "b"), warm(3, "b"))
    swap = doing(wanted(4, "b"), *anew, in_force=B, failures=failed)
    assert swap == Assign(wanted(4, "b"), {Role.PRIMARY: 3})


def test_a_version_has_one_role() -> None:
    """What is primary is on trial no more, whoever says so."""
    both = wanted(2, "a", "a", "a")
    assert doing(both, primary(1, "a"), in_force=A) == Assign(wanted(2, "a"), {Role.PRIMARY: 1})


def test_a_primary_that_is_rejected_gives_way_to_the_one_before() -> None:
    """If that is loaded, at once; otherwise it is loaded again, and nothing changes meanwhile."""
    failed = (failure(2, "b", 3),)
    loaded = (left(1, "a"), primary(2, "b"))
    assert doing((B, A), *loaded, in_force=B, failures=failed) == Assign(A, {Role.PRIMARY: 1})
    again = doing((B, A), primary(2, "b"), in_force=B, failures=failed)
    assert again == Load(pin("a"), Role.PRIMARY, 1)


def test_the_last_version_stays_whatever_it_does() -> None:
    """Nothing is better, and to serve none would be worse."""
    assert doing(B, primary(2, "b"), in_force=B, failures=(failure(2, "b", 3),)) is None


def test_a_dead_engine_is_replaced_though_its_version_was_rejected() -> None:
    """Where there is no other version, it is loaded again, after a pause."""
    dead = _view(2, "b", state=FAILED, dead=True, left_seconds=50.0)
    failed = (failure(2, "b", 3),)
    assert doing(B, dead, in_force=B, failures=failed) == Retire(2)
    pause = (*failed, failure(2, "b", 3, retry=55.0))
    assert doing(B, in_force=B, failures=pause) is None
    assert doing(B, in_force=B, failures=pause, now=55.0) == Load(pin("b"), Role.PRIMARY, 3)
    served = doing(B, warm(3, "b"), in_force=B, failures=pause)
    assert served == Assign(B, {Role.PRIMARY: 3})


def test_what_cannot_be_fetched_is_asked_for_again_after_a_pause() -> None:
    """A canary does not hold up a shadow; nothing is loaded past a primary that is missing."""
    pause = (failure(2, "b", 2, retry=60.0),)
    abc = wanted(2, "a", "b", "c")
    alone = replace(abc, rollout=rollout("a"))
    assert doing(abc, primary(1, "a"), in_force=alone, failures=pause) == Load(
        pin("c"), Role.SHADOW, 2
    )
    assert doing(wanted(2, "b", "c"), primary(1, "a"), in_force=A, failures=pause) is None
    assert doing(abc, primary(1, "a"), shadow(3, "c"), in_force=A, failures=pause, now=60.0)


def test_a_pod_that_stops_loads_nothing() -> None:
    """But goes on to move streams away from what fails."""
    assert doing(B, primary(1, "a"), in_force=A, stopping=True) is None
    views = (left(1, "a", streams=1, state=FAILED), primary(2, "b"))
    assert doing(B, *views, in_force=B, stopping=True) == MoveStreams(1, to=2)


def test_states_change_by_the_moves_that_stand() -> None:
    """What has failed comes back from nowhere, and nothing is active before it is warm."""
    check_move(WARMING, ACTIVE)
    check_move(DRAINING, ACTIVE)
    assert set(MOVES) == set(GenerationState)
    assert not MOVES[FAILED]
    for old, new in [(FAILED, ACTIVE), (LOADING, ACTIVE), (DRAINING, WARMING), (ACTIVE, ACTIVE)]:
        with pytest.raises(ValueError, match="cannot become"):
            check_move(old, new)


def test_people_are_shown_what_could_not_be_taken() -> None:
    """Beside every generation; what is still loaded is shown once."""
    snapshot = Snapshot(
        0.0, (B,), A, (primary(1, "a"), left(3, "c")), (failure(2, "b", 3), failure(3, "c", 2))
    )
    shown = [(view.number, view.state, view.reason) for view in snapshot.shown()]
    assert shown == [(1, ACTIVE, ""), (2, FAILED, "BAD"), (3, DRAINING, "")]
