"""How a process is set up by the time it serves."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

from tests.fakes.models import write_stream_package
from tests.fakes.service import in_process
from voiceflow_inference import lifetime
from voiceflow_inference.app import App


def test_threads_and_the_collector_are_set_for_many_streams(tmp_path: Path) -> None:
    """A thread asks for the interpreter after 0.1 ms, and the collector looks seldom."""
    seen: list[object] = []

    async def look(app: App) -> None:
        microseconds = round(sys.getswitchinterval() * 1e6)
        seen.extend([microseconds, gc.get_threshold(), gc.get_freeze_count() > 0])
        app.server.end()

    settings = in_process(model_dir=write_stream_package(tmp_path))
    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()
    try:
        why = lifetime.run(settings, lambda _address, _model: None, before_serving=look)
    finally:
        sys.setswitchinterval(interval)
        gc.unfreeze()
        gc.set_threshold(*thresholds)
    assert why is None
    assert seen == [100, (20_000, 20, thresholds[2]), True]
