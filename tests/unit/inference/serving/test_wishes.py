"""What a pod goes back to, and in which order."""

from __future__ import annotations

from tests.unit.inference.serving.pods import pin, wanted
from voiceflow.catalog.channels import Role
from voiceflow_inference.serving.state import Failure, Snapshot, Wanted
from voiceflow_inference.serving.wishes import Wishes

OLD, BETTER, BROKEN = wanted(1, "1.0.0"), wanted(2, "2.0.0"), wanted(2, "3.0.0")


def offered(one: Wanted) -> Wanted | None:
    """As a folder does: what lies below a version that does not load."""
    return BETTER if one == BROKEN else None


def rejecting(one: Wanted) -> Snapshot:
    """A pod that serves the old one and has rejected another."""
    role, version = Role.PRIMARY, one.rollout.primary
    failure = Failure(2, one.sequence, version, role, "MODEL_CRASHED", "it crashed")
    return Snapshot(0.0, wanted=[OLD], in_force=OLD, failures=[failure])


def served_before(newest: Wanted) -> Wishes:
    """Wishes of a pod that has served the old one."""
    wishes = Wishes(offered)
    wishes.take(OLD)
    wishes.serve(Snapshot(0.0, wanted=[OLD]), OLD)
    wishes.take(newest)
    return wishes


def test_what_the_source_offers_instead_comes_before_what_was_served() -> None:
    """Under a version that does not load, one newer than what is served waits for nobody."""
    ranked = served_before(BROKEN).ranked(rejecting(BROKEN))
    assert [one.rollout.primary for one in ranked] == [pin("3.0.0"), pin("2.0.0"), pin("1.0.0")]


def test_the_source_is_asked_only_where_the_newest_was_rejected() -> None:
    """And what it offers is not tried beside one that can be served."""
    ranked = served_before(BROKEN).ranked(Snapshot(0.0, wanted=[OLD], in_force=OLD))
    assert ranked == [BROKEN, OLD]


def test_nothing_is_ranked_before_anything_is_wanted() -> None:
    """And nothing is offered."""
    assert Wishes(offered).ranked(Snapshot(0.0)) == []
