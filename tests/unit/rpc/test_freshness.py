"""What servers read from files is kept fresh, and what was refused is counted."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Sum

from voiceflow.identity.reloading import Reloaded
from voiceflow.rpc.freshness import keep_fresh


async def test_r43_values_follow_their_files_and_refused_contents_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bad content of one file counts once under its name, and stops none of the others."""
    collected = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[collected])
    monkeypatch.setattr(metrics, "get_meter", provider.get_meter)
    paths = {what: tmp_path / what for what in ("bad", "good")}
    for path in paths.values():
        path.write_text("1", encoding="utf-8")

    def number(path: Path) -> int:
        return int(path.read_text("utf-8"))

    bad = Reloaded("bad", lambda: number(paths["bad"]), [paths["bad"]])
    good = Reloaded("good", lambda: number(paths["good"]), [paths["good"]])
    keeping = asyncio.create_task(keep_fresh([bad, good], every_seconds=0.001))
    try:
        paths["bad"].write_text("none", encoding="utf-8")
        for value in (2, 3, 4):
            paths["good"].write_text(str(value), encoding="utf-8")
            async with asyncio.timeout(30):
                while good.value != value:
                    await asyncio.sleep(0.001)
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
    assert bad.value == 1
    data = collected.get_metrics_data()
    provider.shutdown()
    assert data is not None
    (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
    assert metric.name == "voiceflow.reload.failures"
    assert isinstance(metric.data, Sum)
    (point,) = metric.data.data_points
    assert point.attributes == {"what": "bad"}
    assert point.value == 1
