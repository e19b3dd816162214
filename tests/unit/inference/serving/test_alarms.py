"""Alarms are told once, counted while they stand, and cleared."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from voiceflow_inference.serving.alarms import Alarm, Alarms


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemoryMetricReader]:
    """What the metrics say."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    monkeypatch.setattr(metrics, "get_meter", provider.get_meter)
    yield reader
    provider.shutdown()


def standing(reader: InMemoryMetricReader) -> dict[object, int | float]:
    """How many alarms stand, by reason."""
    told = reader.get_metrics_data()
    assert told is not None
    (metric,) = told.resource_metrics[0].scope_metrics[0].metrics
    assert metric.name == "voiceflow.trust.alarms"
    return {
        dict(point.attributes or {})["reason"]: point.value  # type: ignore[union-attr]
        for point in metric.data.data_points
    }


def test_an_alarm_stands_until_it_is_cleared(
    counted: InMemoryMetricReader, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged once, however often it sounds, and counted as long as it stands."""
    alarms = Alarms()
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            alarms.sound("promotion", "PROMOTION_EXPIRED", "promotion 3 expired")
    assert len(caplog.records) == 1
    assert "PROMOTION_EXPIRED: promotion 3 expired" in caplog.text
    assert alarms.raised == {"promotion": Alarm("PROMOTION_EXPIRED", "promotion 3 expired")}
    assert standing(counted) == {"PROMOTION_EXPIRED": 1}
    alarms.clear("promotion")
    alarms.clear("promotion")
    assert alarms.raised == {}
    assert standing(counted) == {"PROMOTION_EXPIRED": 0}


def test_one_alarm_stands_about_each_subject(
    counted: InMemoryMetricReader, caplog: pytest.LogCaptureFixture
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
    assert standing(counted) == {"PROMOTION_EXPIRED": 0, "ROOT_EXPIRED": 1, "KEY_REVOKED": 1}
