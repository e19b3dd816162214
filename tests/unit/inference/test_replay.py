"""The audio that a stream keeps, to be heard again."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_array_equal

from tests.unit.inference.fakes import manifest
from voiceflow.artifact import LatencyMode
from voiceflow.pipeline.replay import from_int16, to_int16
from voiceflow_inference.replay import Heard


def test_what_is_kept_is_what_was_heard_last() -> None:
    """After hops of any length, longer than all that is kept among them, from wherever on."""
    generator = np.random.default_rng(0)
    heard = Heard(manifest(), LatencyMode.DENSITY, start_samples=1000)
    whole = np.zeros(0, np.float32)
    for samples in [*generator.integers(1, heard.kept_samples // 3, 20), heard.kept_samples + 77]:
        hop = generator.uniform(-1, 1, samples).astype(np.float32)
        heard.add(hop)
        whole = np.concatenate([whole, hop])
        kept = from_int16(to_int16(whole[-heard.kept_samples :]))
        assert heard.end_samples == 1000 + len(whole)
        assert_array_equal(heard.since(0), kept)
        assert_array_equal(heard.since(heard.end_samples - 5), kept[-5:])
        assert not len(heard.since(heard.end_samples))
