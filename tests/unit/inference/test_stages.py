"""The stages of a hop add up to it, whatever becomes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from voiceflow_inference.stages import BatchTimes, HopTimes, Stage

_PROTO: Final = Path("protos/voiceflow/diarization/v1/diarization.proto")


def test_the_names_are_those_of_the_api() -> None:
    """`Timings.Stage.name` has them in this order."""
    comment = f"    // {', '.join([*Stage][:-1])} or {[*Stage][-1]}.\n    string name = 1;"
    assert comment in _PROTO.read_text(encoding="utf-8")


@given(st.lists(st.tuples(st.sampled_from(Stage), st.integers(0, 10**9))))
def test_stages_add_up(steps: list[tuple[Stage, int]]) -> None:
    """Whichever come, however often: nothing lies between two marks."""
    times, now = HopTimes(5, 1280), 5
    for stage, passed in steps:
        now += passed
        times.mark(stage, now)
    assert sum(times.elapsed_ns().values()) == times.total_ns == now - 5


def test_the_engine_says_how_long_its_stages_took() -> None:
    """What comes after them is scatter, to the moment at which the stream goes on."""
    times = HopTimes(100, 1280)
    times.mark(Stage.DECODE, 110)
    times.batch = BatchTimes(3, 150, 160, 190, 195)
    times.mark_computed(200)
    assert times.elapsed_ns() == {
        Stage.DECODE: 10,
        Stage.QUEUE: 40,
        Stage.GATHER: 10,
        Stage.INFER: 30,
        Stage.SCATTER: 10,
    }


def test_a_hop_that_was_not_computed_ended_where_it_was() -> None:
    """In the queue of an engine that is gone, or in a call that failed or does not come back."""
    for batch, reached in (
        (None, Stage.QUEUE),
        (BatchTimes(1, 120), Stage.GATHER),
        (BatchTimes(1, 120, 130), Stage.INFER),
        (BatchTimes(1, 120, 130, 300), Stage.INFER),  # it came back just now, too late
    ):
        times = HopTimes(100, 1280, batch=batch)
        times.mark_computed(200)
        assert times.marks[-1] == (reached, 200)
        assert times.total_ns == 100


def test_a_hop_that_is_computed_twice_adds_up() -> None:
    """Both ways through an engine count."""
    times = HopTimes(0, 1280)
    for start in (0, 100):
        times.batch = BatchTimes(1, start + 10, start + 20, start + 40)
        times.mark_computed(start + 50)
    assert times.elapsed_ns()[Stage.INFER] == 40
    assert times.elapsed_ns()[Stage.QUEUE] == 10 + 60
    assert times.total_ns == 150
