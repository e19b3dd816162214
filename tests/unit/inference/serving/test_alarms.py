"""Alarms are told once, counted while they stand, and cleared."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from tests.fakes.metrics import counted
from voiceflow_inference.serving.alarms import Alarm, Alarms


@pytest.fixture
def standing() -> Callable[[str], float]:
    """How many alarms stand, by reason, more than before the test."""

    def now(reason: str) -> float:
        return counted("voiceflow.trust.alarms", reason=reason)

    before = {
        reason: now(reason) for reason in ("PROMOTION_EXPIRED", "ROOT_EXPIRED", "KEY_REVOKED")
    }
    return lambda reason: now(reason) - before[reason]


def test_an_alarm_stands_until_it_is_cleared(
    standing: Callable[[str], float], caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged once, however often it sounds, and counted as long as it stands."""
    alarms = Alarms()
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            alarms.sound("promotion", "PROMOTION_EXPIRED", "promotion 3 expired")
    assert len(caplog.records) == 1
    assert "PROMOTION_EXPIRED: promotion 3 expired" in caplog.text
    assert alarms.raised == {"promotion": Alarm("PROMOTION_EXPIRED", "promotion 3 expired")}
    assert standing("PROMOTION_EXPIRED") == 1
    alarms.clear("promotion")
    alarms.clear("promotion")
    assert alarms.raised == {}
    assert standing("PROMOTION_EXPIRED") == 0


def test_one_alarm_stands_about_each_subject(
    standing: Callable[[str], float], caplog: pytest.LogCaptureFixture
) -> None:
    """Another reason takes the place of the first one, and is logged."""
    alarms = Alarms()
    with caplog.at_level(logging.ERROR):
        alarms.sound("promotion", "PROMOTION_EXPIRED", "old")
        alarms.sound("trust root", "ROOT_EXPIRED", "old")
        alarms.sound("promotion", "KEY_REVOKED", "stolen")
    assert len(caplog.records) == 3
    assert {subject: alarm.reason for subject, alarm in alarms.raised.items()} == {
        "promotion": "KEY_REVOKED",
        "trust root": "ROOT_EXPIRED",
    }
    assert standing("PROMOTION_EXPIRED") == 0
    assert standing("ROOT_EXPIRED") == 1
    assert standing("KEY_REVOKED") == 1
