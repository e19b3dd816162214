"""How a process is set up by the time it serves."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import pytest

from tests.fakes.models import write_stream_package
from voiceflow_inference import lifetime
from voiceflow_inference.app import App
from voiceflow_inference.settings import Settings


def test_threads_and_the_collector_are_set_for_many_streams(tmp_path: Path) -> None:
    """A thread asks for the interpreter after 0.1 ms, and the collector looks seldom."""
    seen: list[tuple[float, tuple[int, int, int], bool]] = []

    async def look(app: App) -> None:
        seen.append((sys.getswitchinterval(), gc.get_threshold(), gc.get_freeze_count() > 0))
        app.server.end()

    settings = Settings(model_dir=write_stream_package(tmp_path), port=0, streams=1)
    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()
    try:
        why = lifetime.run(settings, lambda _address, _model: None, before_serving=look)
    finally:
        sys.setswitchinterval(interval)
        gc.unfreeze()
        gc.set_threshold(*thresholds)
    assert why is None
    assert seen == [(pytest.approx(1e-4), (20_000, 20, thresholds[2]), True)]
