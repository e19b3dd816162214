"""Each part of a stream's memory goes on in another one as it was."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tests.unit.pipeline.synthetic import DIM, voice
from voiceflow.pipeline.births import Nursery
from voiceflow.pipeline.enrolment import Enrolment
from voiceflow.pipeline.gallery import Gallery
from voiceflow.pipeline.model import FloatArray
from voiceflow.pipeline.path import SpeakerPath
from voiceflow.pipeline.recluster import MAXIMUM_SEGMENTS, SegmentMemory


def gallery() -> Gallery:
    """Three speakers: one with two prototypes, one that was merged, one as it was born."""
    known = Gallery(4, DIM)
    for number in range(3):
        known.add(voice(number) * 30, 30.0)
    known.learn(0, voice(7) * 20, 20.0)
    known.merge(2, 1)
    return known


def test_a_gallery_goes_on_with_its_prototypes_and_aliases() -> None:
    """Scores, who is whom, who is left, and what new speech makes of them."""
    one, other = gallery(), Gallery(4, DIM)
    other.resume(*one.known())
    heard = np.array([voice(number) for number in (0, 1, 2, 7, 9)])
    for _ in range(2):
        assert_array_equal(other.scores(heard), one.scores(heard))
        assert len(one.prototypes(0, 0.04)) == 2
        for mine, theirs in zip(other.prototypes(0, 0.04), one.prototypes(0, 0.04), strict=True):
            assert_array_equal(mine.values, theirs.values)
            assert mine.speech_seconds == theirs.speech_seconds
        assert other.live() == one.live() == [0, 1]
        assert other.resolve(2) == one.resolve(2) == 1
        assert other.size == one.size
        for known in (one, other):
            known.learn(0, voice(7) * 10, 10.0)


def test_a_gallery_makes_room_for_those_it_has() -> None:
    """Three speakers go on where there may be one; no other is born."""
    other = Gallery(1, DIM)
    other.resume(*gallery().known())
    assert (other.size, other.maximum_speakers) == (3, 1)


def test_what_re_clustering_remembers_goes_on() -> None:
    """Also when it is full: what is joined next is the same."""
    nobody = Enrolment.of((), DIM, 0.04)
    one, other = SegmentMemory(DIM, nobody), SegmentMemory(DIM, nobody)
    generator = np.random.default_rng(0)

    def segment() -> FloatArray:
        return generator.normal(size=DIM).astype(np.float32)

    for number in range(MAXIMUM_SEGMENTS + 5):
        one.add(number % 3, segment(), 20.0)
    other.resume(*one.known())
    last = segment()
    for memory in (one, other):
        memory.add(1, last, 10.0)
    for mine, theirs in zip(other.known(), one.known(), strict=True):
        assert_array_equal(mine, theirs)


def test_a_nursery_goes_on_with_its_voices() -> None:
    """What is recalled of a voice that has no name yet."""
    one, other = Nursery(0.6), Nursery(0.6)
    one.remember(voice(1) * 10, 10)
    one.remember(voice(2) * 8, 8)
    other.resume(one.voices())
    for number in (1, 2, 3):
        mine, theirs = other.recall(voice(number)), one.recall(voice(number))
        assert_array_equal(mine[0], theirs[0])
        assert mine[1] == theirs[1]


@pytest.mark.parametrize("final", [0, 3, 12])
def test_a_search_goes_on_from_before_the_first_frame_that_it_holds(final: int) -> None:
    """The frames that are held are given again, and have the states that they had."""
    scores = np.random.default_rng(3).random((12, 3)).astype(np.float32)
    spoken = np.ones(12, np.bool_)
    one, other = SpeakerPath(1.0), SpeakerPath(1.0)
    one.restart(3, 1)
    one.extend(scores, spoken)
    states = one.states()[final:]
    one.forget(final)
    other.resume(one.totals())
    other.extend(scores[final:], spoken[final:])
    assert_array_equal(other.states(), states)
