"""What is taken of many looks like the many, and of few all are taken."""

from __future__ import annotations

from voiceflow.telemetry.thinning import Thinner

SECOND = 1_000_000_000


def admitted(thinner: Thinner, second: int, count: int) -> list[int]:
    """Which of so many, evenly over a second, are taken."""
    return [n for n in range(count) if thinner.admits(second * SECOND + n * SECOND // count)]


def test_of_few_all_are_taken() -> None:
    """As long as there are no more than so many a second."""
    thinner = Thinner(20)
    assert [len(admitted(thinner, second, 20)) for second in range(5, 10)] == [20] * 5


def test_of_many_about_so_many_are_taken() -> None:
    """Whatever the rate: the mean over many seconds is as asked for."""
    thinner = Thinner(20)
    taken = [len(admitted(thinner, second, 5000)) for second in range(5, 105)]
    assert 15 <= sum(taken[1:]) / 99 <= 25


def test_a_sudden_crowd_is_bounded() -> None:
    """In the first second nothing is known of how many will come."""
    assert len(admitted(Thinner(20), 5, 100_000)) == 40


def test_a_silence_is_forgotten() -> None:
    """After it, the first that come are all taken again."""
    thinner = Thinner(20)
    admitted(thinner, 5, 5000)
    assert len(admitted(thinner, 9, 20)) == 20


def test_what_is_taken_looks_like_what_came() -> None:
    """Of two kinds that come in turns, both are taken alike: nothing but chance decides."""
    thinner = Thinner(20)
    kinds = [n % 8 == 0 for second in range(5, 205) for n in admitted(thinner, second, 1600)]
    assert 0.08 < sum(kinds) / len(kinds) < 0.18
