"""How many refusals of one caller are recorded."""

from __future__ import annotations

import pytest

from voiceflow_registry.audit import allowance
from voiceflow_registry.audit.allowance import BURST, PER_SECOND, Allowance


class Time:
    """Seconds, as a test sets them."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.seconds


def taken(bucket: Allowance, principal: str, times: int) -> int:
    """How many of so many are recorded."""
    return sum(bucket.take(principal) for _ in range(times))


def test_who_goes_on_and_on_is_recorded_a_bounded_number_of_times() -> None:
    """A burst, then one now and then."""
    time = Time()
    bucket = Allowance(time)
    assert taken(bucket, "a", 1000) == BURST
    time.seconds += 1.0 / PER_SECOND
    assert taken(bucket, "a", 1000) == 1
    time.seconds += 1e9
    assert taken(bucket, "a", 1000) == BURST, "what was not used does not pile up"


def test_nobody_uses_up_what_is_anothers() -> None:
    """Each principal has a bucket of its own."""
    bucket = Allowance(Time())
    taken(bucket, "a", 1000)
    assert taken(bucket, "b", 1000) == BURST


def test_what_is_remembered_of_callers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was heard of last stays longest."""
    monkeypatch.setattr(allowance, "_PRINCIPALS", 2)
    bucket = Allowance(Time())
    for principal in ("a", "b", "a", "c"):
        taken(bucket, principal, 1000)
    assert taken(bucket, "a", 1) == 0
    assert taken(bucket, "b", 1) == 1
