"""Training batches follow from the seed and the step alone."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is only in the training environment")

from training import augment, corpus, turn_taking  # noqa: E402
from training.batches import NOBODY, Batches, Recipe, Sources  # noqa: E402

RECIPE = Recipe(1, 0, crops=3, kept_crops=2, conversations=2, conversation_seconds=4.0)


def test_same_seed_and_step_give_the_same_batch() -> None:
    """Two makers with one seed make equal batches, in whatever order they are asked."""
    one, other = Batches(_sources(), RECIPE, seed=5), Batches(_sources(), RECIPE, seed=5)
    later, first = one[3], one[0]
    for parts, again in ((first, other[0]), (later, other[3])):
        for part, same in zip(parts, again, strict=True):
            assert torch.equal(part.features, same.features)
            assert torch.equal(part.who, same.who)


def test_another_step_gives_another_batch() -> None:
    """Steps do not repeat one another."""
    batches = Batches(_sources(), RECIPE, seed=5)
    assert not torch.equal(batches[2][1].features, batches[3][1].features)


def test_labels_name_as_many_voices_as_speak() -> None:
    """A track has a voice exactly where that many speak, and the two are never one voice."""
    batches = Batches(_sources(), RECIPE, seed=1)
    for step in range(1, 6):
        part = batches[step][1]
        assert torch.equal(part.who[..., 0] != NOBODY, part.active > 0)
        assert torch.equal(part.who[..., 1] != NOBODY, part.active > 1)
        both = part.active > 1
        assert bool((part.who[..., 0] != part.who[..., 1])[both].all())


def _sources() -> Sources:
    rng = np.random.default_rng(2)
    audio = (rng.standard_normal(16 * 16_000) * 3_000).astype(np.int16)
    voices = [
        corpus.Voice(
            f"arabic-{number}",
            "arabic",
            1.0,
            (corpus.Clip(number * 32_000, 32_000, ((800, 14_000), (17_000, 31_000))),),
        )
        for number in range(8)
    ]
    rooms = augment.make_rooms(rng, 2)
    spread = turn_taking.Histogram(np.array([-0.5, 0.5, 1.5]), np.array([0.6, 1.0]))
    length = turn_taking.Histogram(np.array([0.5, 3.0]), np.array([1.0]))
    manner = turn_taking.TurnTaking(0.2, 0.3, length, spread, length, length)
    noise = rng.standard_normal(8_000).astype(np.float32)
    return Sources(corpus.Corpus(audio, voices), rooms, [noise], (manner,))
