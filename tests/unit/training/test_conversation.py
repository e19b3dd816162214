"""Conversations mixed from separate recordings."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the training environment")

from training import conversation, corpus
from training.turn_taking import Turn

SECOND = 16_000
RNG_SEEDS = range(6)


@pytest.fixture(scope="module")
def said() -> corpus.Corpus:
    """A voice whose recording has speech of 2 s, rests of half a second between."""
    samples = 50 * SECOND
    speech = tuple((start, start + 2 * SECOND) for start in range(0, samples, 5 * SECOND // 2))
    audio = np.full(samples, 1000, np.int16)
    clip = corpus.Clip(0, samples, speech)
    return corpus.Corpus(audio, [corpus.Voice("arabic-1", "arabic", corpus.PLAIN, (clip,))])


@pytest.mark.parametrize("seed", RNG_SEEDS)
def test_a_finished_turn_ends_with_speech_and_not_within_it(said: corpus.Corpus, seed: int) -> None:
    """Its last sample is the last of a stretch of speech, wherever in the recording it lies."""
    rng = np.random.default_rng(seed)
    turn = [Turn(0, 1.0, 3.0)]
    made = conversation.render(rng, said, np.array([0]), turn, 5 * SECOND, None, 0.0, 1.0)
    spoken = made.speech[0]
    assert spoken[299]
    assert not spoken[300:].any()
    longer, mask = said.material(np.random.default_rng(seed), 0, 5 * SECOND)
    _, kept = conversation._to_an_end(longer, mask, 2 * SECOND)
    ends = np.flatnonzero(mask[:-1] & ~mask[1:]) + 1
    end = next(int(each) for each in ends if each >= 2 * SECOND)
    assert np.array_equal(kept, mask[end - 2 * SECOND : end])


def test_speech_without_an_end_is_cut() -> None:
    """Where it goes on through all there is."""
    said, spoken = np.arange(100, dtype=np.float32), np.ones(100, np.bool_)
    kept, mask = conversation._to_an_end(said, spoken, 30)
    assert np.array_equal(kept, said[:30])
    assert mask.all()
