"""The synthetic conversation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from voiceflow.sample import conversation, write_sample


def test_the_same_code_gives_the_same_samples() -> None:
    """Another seed gives others."""
    assert np.array_equal(conversation(), conversation())
    assert not np.array_equal(conversation(seed=2)[:48_000], conversation()[:48_000])


def test_the_file_is_half_a_minute_of_audible_16_bit_audio(tmp_path: Path) -> None:
    """At the rate of the models, without clipping; its folder is made."""
    path = tmp_path / "new" / "sample.wav"
    write_sample(path)
    samples, rate = soundfile.read(path)
    assert rate == 16_000
    assert soundfile.info(path).subtype == "PCM_16"
    assert 20 < len(samples) / rate < 40
    assert 0.65 < np.max(np.abs(samples)) < 0.75
    assert np.sqrt(np.mean(samples**2)) > 0.03
