"""What a load comes to, from what was noted of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from voiceflow.bench.figures import (
    Answered,
    Heard,
    Percentiles,
    StreamFigures,
    Usage,
    call_figures,
    lag_growth_milliseconds,
    left_share,
    percentiles,
    stream_figures,
)

USAGE = Usage(10.0, 2, 4.0, 10.0, server_cpu_seconds=5.0, server_resident_bytes=200_000_000,
              server_grown_bytes=4_000_000)  # fmt: skip
ELSEWHERE = Usage(10.0, 2, 4.0, 10.0)


def stream(*latencies: float, failure: str = "", admitted: bool = True) -> Heard:
    """What a stream has seen."""
    return Heard([0.0], [0.001], list(latencies), failure, admitted)


def figures(*heard: Heard, usage: Usage = USAGE) -> StreamFigures:
    """Of streams of 10 s each."""
    return stream_figures(heard, 10.0, usage)


def test_percentiles_are_of_all_of_them() -> None:
    """In milliseconds; between two values by their distance."""
    assert percentiles(n / 1000 for n in range(1, 102)) == Percentiles(51.0, 96.0, 100.0, 101.0)
    assert percentiles([]) is None


def test_lag_grows_where_the_last_third_is_later_than_the_first() -> None:
    """By medians over all streams; one that is too short says nothing."""
    assert lag_growth_milliseconds([[0.01] * 9, [0.01] * 9]) == 0.0
    assert lag_growth_milliseconds([[0.01, 0.02, 0.03], [0.01, 0.02, 0.03], [9.0]]) == 20.0
    assert lag_growth_milliseconds([[0.01, 0.02]]) is None


def test_processor_time_and_memory_are_told_for_a_stream() -> None:
    """Of those that were admitted, and of the seconds that they spoke."""
    found = figures(stream(0.01), stream(0.02), stream(failure="FULL", admitted=False),
                    stream(0.01, failure="CUT"))  # fmt: skip
    assert found.server_cpu_milliseconds == pytest.approx(5000 / 30, abs=1e-3)
    assert found.generator_cpu_milliseconds == pytest.approx(4000 / 30, abs=1e-3)
    assert found.server_resident_megabytes == 200.0
    assert found.server_resident_megabytes_per_stream == 1.0
    assert (found.streams, found.hops, found.refused, found.failed) == (4, 3, 1, 1)
    assert found.reasons == {"CUT": 1, "FULL": 1}


def test_of_a_server_elsewhere_nothing_is_made_up() -> None:
    """Its processor time and its memory are not known."""
    found = figures(stream(0.01), usage=ELSEWHERE)
    assert found.server_cpu_milliseconds is None
    assert found.server_resident_megabytes is None
    assert found.server_resident_megabytes_per_stream is None


@pytest.mark.parametrize(
    "change",
    [
        {"refused": 1},
        {"failed": 1},
        {"latency": None},
        {"latency": Percentiles(1.0, 2.0, 100.0, 100.0)},
        {"lag_growth_milliseconds": 10.0},
    ],
)
def test_a_load_holds_only_if_nothing_is_wrong(change: dict[str, object]) -> None:
    """Nobody refused or failed, P99 under the bound, and no growing lag."""
    good = figures(stream(0.01, 0.01, 0.01))
    assert good.holds(100.0)
    assert not replace(good, **change).holds(100.0)  # type: ignore[arg-type]


def test_a_closed_loop_is_accounted_for_what_it_took_of_the_machine() -> None:
    """4 s of clients and 10 % for others, of 10 s on two cores, leave 0.7 of it."""
    assert left_share(USAGE) == pytest.approx(0.7)
    answered = [Answered([0.1] * 50, []), Answered([0.3] * 20, ["FULL", "CUT", "CUT"])]
    found = call_figures(answered, USAGE, paced=False)
    assert (found.clients, found.calls, found.succeeded) == (2, 73, 70)
    assert found.success_percent == pytest.approx(95.89)
    assert found.calls_per_second == 7.0
    assert found.calls_per_second_accounted == 10.0
    assert found.calls_per_server_cpu_second == 14.0
    assert found.reasons == {"CUT": 2, "FULL": 1}


def test_nothing_is_accounted_where_that_says_nothing() -> None:
    """Paced calls are as many as they are; of a server elsewhere, this machine tells nothing."""
    answered = [Answered([0.1] * 5, [])]
    assert call_figures(answered, USAGE, paced=True).calls_per_second_accounted is None
    found = call_figures(answered, ELSEWHERE, paced=False)
    assert found.calls_per_second_accounted is None
    assert found.calls_per_server_cpu_second is None
