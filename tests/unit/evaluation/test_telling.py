"""What a system said when, and what was known after a delay."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voiceflow.errors import InvalidInput
from voiceflow.evaluation import Spoken, united
from voiceflow.evaluation.telling import Telling, final, known_after, read_tellings, write_tellings

REVISED = [
    Telling(1.0, 0.0, (Spoken("S1", 0.2, 1.0),)),
    Telling(2.0, 0.5, (Spoken("S1", 0.2, 0.8), Spoken("S2", 0.8, 2.0))),
]
"""After two seconds, what was S1's since 0.8 is S2's."""


@st.composite
def tellings(draw: st.DrawFn) -> list[Telling]:
    """Of six seconds, on multiples of 10 ms: from anywhere, over anything, overlapping or not."""
    covered = sorted(draw(st.lists(st.integers(0, 600), max_size=6)))
    turn = st.tuples(st.sampled_from("abc"), st.integers(0, 600), st.integers(0, 600))
    return [
        Telling(
            at / 100,
            draw(st.integers(0, at)) / 100,
            tuple(
                Spoken(who, min(a, b) / 100, max(a, b) / 100)
                for who, a, b in draw(st.lists(turn, max_size=3))
            ),
        )
        for at in covered
    ]


def said_of(moment: float, told: list[Telling]) -> set[str]:
    """What tellings say of one moment, by the words of their definition."""
    for telling in reversed(told):
        if telling.from_seconds <= moment:
            turns = telling.turns
            return {one.speaker for one in turns if one.start_seconds <= moment < one.end_seconds}
    return set()


def speakers_at(moment: float, spoken: list[Spoken]) -> set[str]:
    """Who speaks at one moment."""
    return {one.speaker for one in spoken if one.start_seconds <= moment < one.end_seconds}


def test_the_last_word_counts_in_the_end() -> None:
    """What was said of audio that a later telling speaks of is replaced; what it leaves stays."""
    assert final(REVISED) == [Spoken("S1", 0.2, 0.8), Spoken("S2", 0.8, 2.0)]


def test_what_is_known_after_a_delay_is_what_was_told_by_then() -> None:
    """Half a second after 0.5 s one second is covered; of what lies before nobody told in time."""
    assert known_after(REVISED, 0.5, 2.0) == [Spoken("S1", 0.5, 1.0), Spoken("S2", 1.5, 2.0)]
    assert known_after(REVISED, 1.0, 2.0) == [Spoken("S1", 0.2, 1.0), Spoken("S2", 1.0, 2.0)]


def test_nothing_told_is_nothing_known() -> None:
    """A system that says nothing is silent, at any delay."""
    assert final([]) == known_after([], 1.0, 2.0) == known_after(REVISED, 0.0, 0.5) == []


def test_a_telling_says_nothing_of_audio_before_its_own() -> None:
    """A turn that begins before `from_seconds` leaves there what was said earlier."""
    told = [Telling(1.0, 0.0, (Spoken("S1", 0.0, 0.5),)), Telling(2.0, 1.0, (Spoken("S2", 0, 2),))]
    assert final(told) == [Spoken("S1", 0.0, 0.5), Spoken("S2", 1.0, 2.0)]
    assert known_after(told, math.inf, 2.0) == final(told)


@settings(deadline=None)
@given(tellings(), st.integers(0, 300))
def test_each_moment_is_known_by_the_definition(told: list[Telling], delay: int) -> None:
    """Moment by moment: the last telling that covers the moment and the delay."""
    known = known_after(told, delay / 100, 6.0)
    for frame in range(600):
        moment = (frame + 0.5) / 100
        heard = [one for one in told if one.covered_seconds <= moment + delay / 100]
        assert speakers_at(moment, known) == said_of(moment, heard)


@settings(deadline=None)
@given(tellings())
def test_what_is_known_for_ever_is_what_is_said_in_the_end(told: list[Telling]) -> None:
    """On the grid and to the digit, and by the definition."""
    end, known = final(told), known_after(told, math.inf, 6.0)
    for frame in range(600):
        moment = (frame + 0.5) / 100
        assert speakers_at(moment, end) == speakers_at(moment, known) == said_of(moment, told)
    assert end == united(end)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 1e5), st.text(max_size=5), st.floats(0, 1e5), st.floats(0, 1e5)),
        max_size=4,
    )
)
def test_tellings_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, values: list[tuple[float, str, float, float]]
) -> None:
    """Names of any letters, times to the last bit."""
    path = tmp_path_factory.getbasetemp() / "talk.tellings.jsonl"
    told = [Telling(at, a, (Spoken(who, a, b),)) for at, who, a, b in sorted(values)]
    write_tellings(path, told)
    assert read_tellings(path) == told


GOOD = '{"covered_seconds": 1, "from_seconds": 0, "turns": [["S1", 0.5, 1]]}'


@pytest.mark.parametrize(
    "line",
    [
        "S1 0.5 1.0",
        "{}",
        '{"covered_seconds": 2, "from_seconds": 0}',
        '{"covered_seconds": -1, "from_seconds": 0, "turns": []}',
        '{"covered_seconds": 2, "from_seconds": "0", "turns": []}',
        '{"covered_seconds": 2, "from_seconds": NaN, "turns": []}',
        '{"covered_seconds": Infinity, "from_seconds": 0, "turns": []}',
        '{"covered_seconds": 2, "from_seconds": 0, "turns": [["S1", 0.5]]}',
        '{"covered_seconds": 2, "from_seconds": 0, "turns": [[1, 0.5, 1]]}',
        '{"covered_seconds": 2, "from_seconds": 0, "turns": [["S1", -0.5, 1]]}',
        '{"covered_seconds": 0.5, "from_seconds": 0, "turns": []}',
    ],
)
def test_a_line_that_is_no_telling_is_refused(tmp_path: Path, line: str) -> None:
    """The line is named, and what is allowed: also that no audio is heard less of than before."""
    path = tmp_path / "talk.tellings.jsonl"
    path.write_text(f"{GOOD}\n\n{line}\n", "utf-8")
    with pytest.raises(InvalidInput, match=r"talk\.tellings\.jsonl: line 3 is") as refused:
        read_tellings(path)
    assert refused.value.reason == "TELLINGS_INVALID"
