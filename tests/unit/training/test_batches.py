"""Training batches follow from the seed and the step alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is only in the training environment")

from training import augment, corpus, pieces, teachers, turn_taking  # noqa: E402
from training.batches import NOBODY, Batches, Recipe, Sources  # noqa: E402
from training.features import log_mel  # noqa: E402

RECIPE = Recipe(1, 0, crops=6, kept_crops=4, conversations=2, conversation_seconds=4.0)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """Eight voices of noise."""
    folder = tmp_path_factory.mktemp("pieces")
    rng = np.random.default_rng(2)
    audio = (rng.standard_normal(16 * 16_000) * 3_000).astype(np.int16)
    voices = [
        corpus.Voice(
            f"arabic-{number}",
            "arabic",
            corpus.PLAIN,
            (corpus.Clip(number * 32_000, 32_000, ((800, 14_000), (17_000, 31_000))),),
        )
        for number in range(8)
    ]
    rooms = augment.make_rooms(rng, 2)
    spread = turn_taking.Histogram(np.array([-0.5, 0.5, 1.5]), np.array([0.6, 1.0]))
    length = turn_taking.Histogram(np.array([0.5, 3.0]), np.array([1.0]))
    manner = turn_taking.TurnTaking(0.2, 0.3, length, spread, length, length)
    noise = rng.standard_normal(8_000).astype(np.float32)
    said = corpus.Corpus(audio, voices)
    cut = pieces.cut(said, folder)
    vectors = rng.standard_normal((len(cut.voices) + len(voices), 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    answers = teachers.Answers(vectors[len(voices) :], vectors[: len(voices)])
    return Sources(said, cut, answers, rooms, [noise], (manner,))


def test_same_seed_and_step_give_the_same_batch(sources: Sources) -> None:
    """Two makers with one seed make equal batches, in whatever order they are asked."""
    one, other = Batches(sources, RECIPE, seed=5), Batches(sources, RECIPE, seed=5)
    later, first = one[3], one[0]
    for parts, again in ((first, other[0]), (later, other[3])):
        for part, same in zip(parts, again, strict=True):
            assert torch.equal(part.features, same.features)
            assert torch.equal(part.who, same.who)
            assert torch.equal(part.voices, same.voices)
            assert torch.equal(part.answers, same.answers)


def test_another_step_gives_another_batch(sources: Sources) -> None:
    """Steps do not repeat one another."""
    batches = Batches(sources, RECIPE, seed=5)
    assert not torch.equal(batches[2][1].features, batches[3][1].features)


def test_labels_name_as_many_voices_as_speak(sources: Sources) -> None:
    """A track has a voice exactly where that many speak, and the two are never one voice."""
    batches = Batches(sources, RECIPE, seed=1)
    for step in range(1, 6):
        part = batches[step][1]
        assert torch.equal(part.who[..., 0] != NOBODY, part.active > 0)
        assert torch.equal(part.who[..., 1] != NOBODY, part.active > 1)
        both = part.active > 1
        assert bool((part.who[..., 0] != part.who[..., 1])[both].all())


def test_a_crop_has_the_answer_of_the_piece_that_it_is(sources: Sources) -> None:
    """However it was recorded: what is heard in it is what the teachers have heard."""
    (part,) = Batches(sources, RECIPE, seed=1)[0]
    answers = {answer.tobytes() for answer in sources.answers.of_pieces}
    assert {answer.numpy().tobytes() for answer in part.answers[:, 0]} <= answers
    assert set(part.who.unique().tolist()) <= {0, NOBODY}


def test_every_voice_has_two_crops(sources: Sources) -> None:
    """So that there are pairs of one voice to be known as such; no voice has more."""
    (part,) = Batches(sources, RECIPE, seed=1)[0]
    _, count = part.voices.unique(return_counts=True)
    assert count.tolist() == [2, 2, 2]


def test_share_of_voices_as_they_were_recorded(sources: Sources) -> None:
    """However few of the voices they are."""
    changed = replace(sources.corpus.voices[0], copy=corpus.Copy(0.9))
    voices = [*sources.corpus.voices[:1], *([changed] * 27)]
    some = replace(sources, corpus=corpus.Corpus(sources.corpus.audio, voices))
    weights = Batches(some, replace(RECIPE, plain=0.25), seed=1).weights
    assert weights[0] == pytest.approx(0.25 + 0.75 / 28)
    assert weights.sum() == pytest.approx(1)


def test_speakers_of_a_conversation_have_the_answers_of_their_voices(sources: Sources) -> None:
    """Whoever is named in a frame has one, of unit length."""
    batches = Batches(sources, RECIPE, seed=1)
    for step in range(1, 6):
        part = batches[step][1]
        for who, answers in zip(part.who, part.answers, strict=True):
            named = [speaker for speaker in who.unique().tolist() if speaker != NOBODY]
            assert torch.allclose(answers[named].norm(dim=1), torch.ones(len(named)))


@pytest.mark.parametrize(("untouched", "same"), [(1.0, True), (0.0, False)])
def test_what_is_untouched_is_heard_as_it_was_recorded(
    sources: Sources, untouched: float, same: bool
) -> None:
    """Louder or fainter; anything else is heard somewhere else."""
    (part,) = Batches(sources, replace(RECIPE, untouched=untouched), seed=1)[0]
    pieces = {answer.tobytes(): n for n, answer in enumerate(sources.answers.of_pieces)}
    drawn = np.array([pieces[answer.numpy().tobytes()] for answer in part.answers[:, 0]])
    heard = log_mel(sources.pieces.heard(drawn))
    spoken = heard > heard.max(axis=(1, 2), keepdims=True) - 5
    louder = np.ma.masked_array(part.features.numpy() - heard, ~spoken)
    assert bool((louder.std(axis=(1, 2)) < 0.1).all()) is same
