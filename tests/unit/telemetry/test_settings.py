"""What is recorded follows from the settings, and by default nothing is."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from voiceflow.telemetry import OFF, TelemetrySettings
from voiceflow_inference.settings import Settings as InferenceSettings
from voiceflow_registry.settings import Settings as RegistrySettings


def test_nothing_is_recorded_unless_somebody_asks() -> None:
    """Neither spans nor metrics go anywhere by default."""
    assert not OFF.traces
    assert not OFF.metrics


@pytest.mark.parametrize(
    ("settings", "traces", "metrics"),
    [
        (TelemetrySettings(otlp_endpoint="http://127.0.0.1:4317"), True, True),
        (TelemetrySettings(telemetry_file=Path("spans")), True, False),
        (TelemetrySettings(metrics_port=0), False, True),
        (TelemetrySettings(log_format="json"), False, False),
    ],
)
def test_each_way_out_says_what_it_takes(
    settings: TelemetrySettings, traces: bool, metrics: bool
) -> None:
    """A collector takes both, a file spans, Prometheus metrics."""
    assert (settings.traces, settings.metrics) == (traces, metrics)


@pytest.mark.parametrize("endpoint", ["collector:4317", "127.0.0.1", "ftp://x:1", "http://"])
def test_an_endpoint_says_how_it_is_reached(endpoint: str) -> None:
    """Whether in plain text or with TLS stands in it; nothing is guessed."""
    with pytest.raises(ValidationError, match="http://HOST:PORT or https://HOST:PORT"):
        TelemetrySettings(otlp_endpoint=endpoint)


@pytest.mark.parametrize("service", [InferenceSettings, RegistrySettings])
def test_both_services_have_the_same_options(service: type[TelemetrySettings]) -> None:
    """An operator learns them once."""
    assert TelemetrySettings.model_fields.keys() <= service.model_fields.keys()


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_is_one(share: float) -> None:
    """Of all hops, between none and all."""
    with pytest.raises(ValidationError):
        TelemetrySettings(trace_share=share)
