"""RTTM as it is read and written."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voiceflow.errors import InvalidInput
from voiceflow.evaluation import Spoken, read_rttm, write_rttm

RTTM = "SPEAKER talk 1 0.5 1.5 <NA> <NA> ann <NA> <NA>\n;; a comment\n"


def test_a_reference_gives_speakers_and_times() -> None:
    """Only the lines that name a speaker count."""
    assert read_rttm(RTTM) == [Spoken("ann", 0.5, 2.0)]


@pytest.mark.parametrize(
    "line",
    [
        "SPEAKER talk 1 0.5",
        "SPEAKER talk 1 x 1.5 a b ann",
        "SPEAKER talk 1 -1 2 a b ann",
        "SPEAKER talk 1 nan 2 a b ann",
    ],
)
def test_a_line_that_is_none_is_refused(line: str) -> None:
    """The line is named, and what is allowed."""
    with pytest.raises(InvalidInput, match="line 2") as refused:
        read_rttm(f"{RTTM.splitlines()[0]}\n{line}\n", "talk.rttm")
    assert refused.value.reason == "REFERENCE_INVALID"


def test_what_is_written_has_the_fields_of_the_format() -> None:
    """Ten fields a line, in order of start; what is shorter than half a sample is left out."""
    spoken = [Spoken("bob", 2.0, 2.5), Spoken("ann", 0.5, 1.25), Spoken("cy", 3.0, 3.00003)]
    assert write_rttm("talk", spoken) == (
        "SPEAKER talk 1 0.5000000 0.7500000 <NA> <NA> ann <NA> <NA>\n"
        "SPEAKER talk 1 2.0000000 0.5000000 <NA> <NA> bob <NA> <NA>\n"
    )


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(0, 10**9), st.integers(1, 10**6)), max_size=8
    )
)
def test_what_is_written_is_read_to_the_sample(samples: list[tuple[str, int, int]]) -> None:
    """Scoring the file gives the rates of what was said, to the last digit."""
    said = [(start, start + length, speaker) for speaker, start, length in samples]
    text = write_rttm("talk", [Spoken(who, a / 16_000, b / 16_000) for a, b, who in said])
    read = [
        (round(one.start_seconds * 16_000), round(one.end_seconds * 16_000), one.speaker)
        for one in read_rttm(text)
    ]
    assert read == sorted(said)


@pytest.mark.parametrize(("name", "speaker"), [("my talk", "S1"), ("talk", "Ann B"), ("talk", "")])
def test_a_name_that_would_shift_the_fields_is_not_written(name: str, speaker: str) -> None:
    """White space separates fields: a name with some in it would be read as two."""
    with pytest.raises(ValueError, match="one word is allowed"):
        write_rttm(name, [Spoken(speaker, 0.0, 1.0)])
