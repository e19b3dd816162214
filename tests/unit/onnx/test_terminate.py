"""A call that does not come back is ended from another thread, and those that follow are not."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from tests.fakes.models import FRAME_SAMPLES, write_stream_package
from tests.fakes.planted import LOUD, hanging_graph
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow.pipeline.model import BoundModel, FloatArray, empty_state


def heard(model: BoundModel, level: float) -> FloatArray:
    """What a model says of one hop."""
    audio = np.full((1, 2 * FRAME_SAMPLES), level, np.float32)
    frames, _ = model.run(audio, empty_state(model, 1))
    return frames.speech


def test_a_call_can_be_ended_and_the_next_one_comes_back(tmp_path: Path) -> None:
    """Whatever runs when it is said ends with an error, however often it is said."""
    model = bind(load_package(write_stream_package(tmp_path, graph=hanging_graph())))
    before = heard(model, 0.3)
    for _ in range(2):
        ended = threading.Event()

        def end(ended: threading.Event = ended) -> None:
            while not ended.wait(0.01):
                model.terminate()

        thread = threading.Thread(target=end)
        thread.start()
        with pytest.raises(Exception, match="terminate"):
            heard(model, LOUD)
        ended.set()
        thread.join()
    assert (heard(model, 0.3) == before).all()
