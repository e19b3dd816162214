"""Two diarizations are compared frame by frame, whatever either calls its speakers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceflow.pipeline.turns import UNKNOWN, Region
from voiceflow_inference.serving.agreement import Agreement

FRAME = 640


def regions(*frames: tuple[int, str], start: int = 0) -> list[Region]:
    """A partition: how many frames, and who."""
    made = []
    for count, speakers in frames:
        end = start + count * FRAME
        made.append(Region(start, end, tuple(speakers.split())))
        start = end
    return made


def test_other_names_for_the_same_speakers_are_no_difference() -> None:
    """Labels are given in order of appearance, and a shadow may have missed the first."""
    ours = regions((10, "S1"), (5, ""), (20, "S2"), (10, "S1 S2"))
    theirs = regions((10, "S2"), (5, ""), (20, "S1"), (10, "S1 S2"))
    assert Agreement(FRAME).compare(ours, theirs) == (45, 0)


def test_frames_with_other_speakers_differ() -> None:
    """More, fewer or other ones; silence is another thing than a voice that nobody knows."""
    ours = regions((100, "S1"), (100, "S2"), (7, "S1"), (5, "S1 S2"), (3, ""), (2, UNKNOWN))
    for changed, frames in (
        (regions((7, "S2"), start=200 * FRAME), 7),
        (regions((5, "S1"), start=207 * FRAME), 5),
        (regions((3, UNKNOWN), start=212 * FRAME), 3),
        (regions((2, ""), start=215 * FRAME), 2),
        (regions((2, "S3"), start=215 * FRAME), 2),
    ):
        place = next(
            n for n, region in enumerate(ours) if region.start_samples == changed[0].start_samples
        )
        theirs = [*ours[:place], *changed, *ours[place + 1 :]]
        assert Agreement(FRAME).compare(ours, theirs) == (217, frames)


def test_a_speaker_that_the_shadow_splits_in_two_is_one_of_them() -> None:
    """The mapping is one to one: the rarer half differs."""
    ours, theirs = regions((100, "S1")), regions((60, "S1"), (40, "S2"))
    assert Agreement(FRAME).compare(ours, theirs) == (100, 40)


def test_equal_labels_of_the_two_mean_nothing() -> None:
    """Who is S2 here and S3 there is not mixed up with who is S2 there."""
    ours = regions((100, "S1"), (100, "S2"))
    theirs = regions((100, "S1"), (100, "S3"), (10, "S2"))
    agreement = Agreement(FRAME)
    assert agreement.compare(ours, theirs) == (200, 0)
    assert agreement.compare(regions((10, "S2"), start=200 * FRAME)) == (10, 10)


def test_only_what_both_have_is_compared() -> None:
    """A shadow that began later, or is behind, has not been wrong."""
    agreement = Agreement(FRAME)
    assert agreement.compare(regions((10, "S1"), (40, "S1"))) == (0, 0)
    assert agreement.compare((), regions((10, "S1"), start=20 * FRAME)) == (10, 0)
    assert agreement.compare((), regions((30, "S1"), start=30 * FRAME)) == (20, 0)
    assert agreement.waiting_regions == 1


@given(
    st.lists(st.tuples(st.integers(1, 30), st.sampled_from(["", "S1", "S2", "S1 S2"]))),
    st.lists(st.tuples(st.integers(1, 30), st.sampled_from(["", "S1", "S3", UNKNOWN]))),
)
def test_in_whatever_pieces_they_come_the_same_frames_are_compared(
    one: list[tuple[int, str]], two: list[tuple[int, str]]
) -> None:
    """Every frame that both have, once; none waits longer than the other needs."""
    ours, theirs = regions(*one), regions(*two)
    agreement = Agreement(FRAME)
    total = 0
    nothing: list[Region] = []
    for mine, yours in itertools.zip_longest(_pieces(ours), _pieces(theirs), fillvalue=nothing):
        compared, differing = agreement.compare(mine, yours)
        assert 0 <= differing <= compared
        total += compared
    ends = [side[-1].end_samples if side else 0 for side in (ours, theirs)]
    assert total == min(ends) // FRAME
    assert agreement.waiting_regions <= max(len(ours), len(theirs))


def _pieces(of: list[Region]) -> Iterator[list[Region]]:
    for start in range(0, len(of), 2):
        yield of[start : start + 2]


@pytest.mark.parametrize("frame", [480, 640, 1000])
def test_frames_of_another_grid_are_counted_by_their_length(frame: int) -> None:
    """What differs is never more than what was compared."""
    agreement = Agreement(frame)
    compared, differing = agreement.compare(regions((100, "S1")), regions((99, "S1"), (1, "")))
    assert compared == 100 * FRAME // frame
    assert differing == FRAME // frame
