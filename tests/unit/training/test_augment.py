"""What lies between a voice and its recording."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the training environment")

from training import augment


@pytest.mark.parametrize("seed", range(8))
def test_transients_are_short_and_no_louder_than_speech(seed: int) -> None:
    """Most of the time there is nothing; what there is has an RMS of one at most, over 20 ms."""
    heard = augment.transients(np.random.default_rng(seed), 10 * 16_000)
    power = np.square(heard).reshape(-1, 320).mean(axis=1)
    assert heard.dtype == np.float32
    assert np.isfinite(heard).all()
    assert np.mean(power > 0) > 0
    assert np.median(power) < 1e-2
    assert power.max() < 8  # a burst has its RMS over its whole length


def test_transients_follow_from_the_seed() -> None:
    """And are other ones with another."""
    one, same, other = (
        augment.transients(np.random.default_rng(seed), 16_000) for seed in (3, 3, 4)
    )
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
