"""Streams are drawn for canary and shadow by their session alone, in the share that is asked."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from voiceflow.catalog.channels import Canary, Role, Rollout, Shadow, VersionPin
from voiceflow_inference.serving.assignment import is_shadowed, role_of

SESSIONS = [f"session-{number}" for number in range(20_000)]
PRIMARY = VersionPin(version="models/diarizer/versions/1.0.0")


def pin(version: str) -> VersionPin:
    """Of a version of the model."""
    return VersionPin(version=f"models/diarizer/versions/{version}")


def canary(percentage: float, version: str = "1.1.0") -> Rollout:
    """A rollout with a canary."""
    return Rollout(primary=PRIMARY, canary=Canary(pin=pin(version), percentage=percentage))


def shadow(percentage: float, *, beside: Canary | None = None) -> Rollout:
    """A rollout with a shadow."""
    return Rollout(
        primary=PRIMARY, canary=beside, shadow=Shadow(pin=pin("1.2.0"), percentage=percentage)
    )


def drawn(rollout: Rollout) -> set[str]:
    """The sessions that the canary takes."""
    return {session for session in SESSIONS if role_of(session, rollout) is Role.CANARY}


def test_no_canary_takes_nobody_and_no_shadow_hears_nobody() -> None:
    """A rollout with a primary alone."""
    rollout = Rollout(primary=PRIMARY)
    assert not drawn(rollout)
    assert not any(is_shadowed(session, rollout) for session in SESSIONS)


def test_the_shares_end_at_nobody_and_at_everybody() -> None:
    """No session is a rounding error of its percentage."""
    assert not drawn(canary(0.0))
    assert drawn(canary(100.0)) == set(SESSIONS)


def test_a_canary_takes_its_share() -> None:
    """Within five standard deviations of a binomial, down to the smallest step."""
    for percentage in (0.01, 1.0, 5.0, 33.33, 50.0, 99.99):
        share = percentage / 100
        spread = (len(SESSIONS) * share * (1 - share)) ** 0.5
        assert abs(len(drawn(canary(percentage))) - len(SESSIONS) * share) <= 5 * spread


def test_who_is_in_a_canary_stays_when_it_grows() -> None:
    """A client that comes back while the canary grows meets the same version."""
    shares = [drawn(canary(percentage)) for percentage in (1.0, 5.0, 20.0, 60.0)]
    for smaller, larger in itertools.pairwise(shares):
        assert smaller < larger


def test_another_version_on_trial_draws_anew() -> None:
    """Else the same sessions would bear the risk of every canary."""
    first, second = drawn(canary(10.0)), drawn(canary(10.0, "1.1.1"))
    assert 0.5 * 0.01 < len(first & second) / len(SESSIONS) < 1.5 * 0.01


def test_a_shadow_hears_its_share_of_what_the_primary_serves() -> None:
    """Independent of who is in the canary, and never one of those."""
    whole = shadow(100.0, beside=Canary(pin=pin("1.1.0"), percentage=20.0))
    heard = {session for session in SESSIONS if is_shadowed(session, whole)}
    assert heard == set(SESSIONS) - drawn(whole)
    half = shadow(50.0, beside=Canary(pin=pin("1.1.0"), percentage=20.0))
    some = {session for session in SESSIONS if is_shadowed(session, half)}
    assert some < heard
    assert 0.47 < len(some) / len(heard) < 0.53
    assert all(is_shadowed(session, shadow(100.0)) for session in SESSIONS)


@given(st.text(), st.floats(0.01, 99.99))
def test_the_same_session_is_assigned_alike_by_every_pod(session: str, percentage: float) -> None:
    """Whatever a session is called; nothing but session and rollout counts."""
    rollout = canary(round(percentage, 2))
    again = Rollout.model_validate_json(rollout.model_dump_json())
    assert role_of(session, rollout) is role_of(session, again)


def test_the_draw_is_that_of_earlier_releases() -> None:
    """Pods of two releases that serve side by side must agree: these places never change."""
    taken = [session for session in SESSIONS[:40] if role_of(session, canary(10.0)) is Role.CANARY]
    assert taken == ["session-4", "session-6", "session-25", "session-27"]
