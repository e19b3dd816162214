"""Outcomes added up over pods, and two versions beside each other."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from voiceflow.catalog.channels import Role
from voiceflow.catalog.pods import Comparison, Histogram, OutcomeComparison, VersionOutcomes
from voiceflow.rpc.registry import comparison_from_wire, comparison_to_wire
from voiceflow_registry.pods.outcomes import added_up, comparisons, merged, quantile


def outcomes(role: Role = Role.PRIMARY, **counts: object) -> VersionOutcomes:
    """What one pod reports."""
    return VersionOutcomes(version="models/diarizer/versions/1.0.0", role=role, **counts)  # type: ignore[arg-type]


def compared(base: list[VersionOutcomes], target: list[VersionOutcomes]) -> dict[str, Comparison]:
    """The comparisons by name."""
    return {comparison.name: comparison for comparison in comparisons(base, target)}


def test_counts_of_all_pods_are_added() -> None:
    """Every count is the sum, the latencies too."""
    parts = [
        outcomes(
            streams=n,
            turns=10 * n,
            speech_seconds=1.5 * n,
            compute_latency_seconds=Histogram(upper_bounds=(0.1,), counts=(n, 1), sum=n),
        )
        for n in (1, 2, 3)
    ]
    whole = added_up(parts)
    assert (whole.streams, whole.turns, whole.speech_seconds) == (6, 60, 9.0)
    assert whole.compute_latency_seconds == Histogram(upper_bounds=(0.1,), counts=(6, 3), sum=6.0)


bounds = st.sets(st.sampled_from([0.01, 0.02, 0.05, 0.1, 0.2]), min_size=1).map(sorted)
values = st.lists(st.floats(0.0, 0.5), max_size=30)


def counted(bounds: list[float], values: list[float]) -> Histogram:
    """The histogram of some values."""
    edges = [-math.inf, *bounds, math.inf]
    counts = tuple(sum(low < value <= high for value in values) for low, high in pairwise(edges))
    return Histogram(upper_bounds=tuple(bounds), counts=counts, sum=math.fsum(values))


@given(parts=st.lists(st.tuples(bounds, values), min_size=1, max_size=4))
def test_histograms_with_other_bounds_add_up_exactly(
    parts: list[tuple[list[float], list[float]]],
) -> None:
    """The sum is the histogram of all values over the bounds that every part has."""
    filled = [part for part in parts if part[1]]
    whole = merged(counted(*part) for part in parts)
    if not filled:
        assert whole == Histogram()
        return
    shared = sorted(set.intersection(*(set(bounds) for bounds, _ in filled)))
    exact = counted(shared, [value for _, values in filled for value in values])
    assert (whole.upper_bounds, whole.counts) == (exact.upper_bounds, exact.counts)
    assert whole.sum == pytest.approx(exact.sum)


def test_a_quantile_lies_between_the_bounds_of_its_bin() -> None:
    """Spread evenly within a bin, from 0 in the first, and never beyond the last bound."""
    histogram = Histogram(upper_bounds=(0.1, 0.2, 0.4), counts=(50, 0, 50, 0), sum=0)
    assert quantile(histogram, 0.25) == pytest.approx(0.05)
    assert quantile(histogram, 0.75) == pytest.approx(0.3)
    beyond = Histogram(upper_bounds=(0.1,), counts=(1, 99), sum=0)
    assert quantile(beyond, 0.99) == 0.1
    assert quantile(Histogram(), 0.5) is None


def test_every_figure_that_both_have_is_compared() -> None:
    """By name, with the unit in it; what only one side has is left out."""
    full = outcomes(
        streams=10,
        failed_streams=1,
        hops=1000,
        failed_hops=10,
        non_finite_hops=1,
        speech_seconds=600.0,
        turns=200,
        speakers=20,
        speakers_merged=2,
        label_changes=30,
        compute_latency_seconds=Histogram(upper_bounds=(0.1, 0.2), counts=(50, 50, 0), sum=10),
        score_count=4,
        score_sum=16.0,
        score_sum_of_squares=66.0,
    )
    found = compared([full], [full.model_copy(update={"turns": 100})])
    assert {name: (one.base, one.target) for name, one in found.items()} == {
        "turns_per_stream": (20.0, 10.0),
        "speakers_per_stream": (2.0, 2.0),
        "merged_speakers_percent": (10.0, 10.0),
        "label_changes_per_speech_minute": (3.0, 3.0),
        "failed_streams_percent": (10.0, 10.0),
        "failed_hops_percent": (1.0, 1.0),
        "non_finite_hops_percent": (0.1, 0.1),
        "compute_latency_p50_seconds": (0.1, 0.1),
        "compute_latency_p99_seconds": (pytest.approx(0.198), pytest.approx(0.198)),
        "mean_score": (4.0, 4.0),
    }
    assert compared([full], []) == {}
    assert set(compared([full], [outcomes(hops=5)])) == {
        "failed_hops_percent",
        "non_finite_hops_percent",
    }


def test_a_shadows_disagreement_is_set_beside_none() -> None:
    """The primary was compared with nothing, and does not differ from itself."""
    shadow = outcomes(Role.SHADOW, compared_frames=1000, differing_frames=25)
    found = compared([outcomes(streams=1)], [shadow])["differing_frames_percent"]
    assert (found.base, found.target, found.difference_low) == (0.0, 2.5, None)


def test_one_pod_gives_no_bounds_of_what_varies_between_pods() -> None:
    """Too little: the bounds are unset, and so they are where nothing varies."""
    one = outcomes(streams=10, turns=100)
    assert compared([one], [one])["turns_per_stream"].difference_low is None
    assert compared([one, one], [one, one])["turns_per_stream"].difference_low is None


def test_bounds_of_the_mean_score_are_welchs() -> None:
    """The same as scipy's Welch interval of the scores themselves."""
    base, target = [3.0, 4.0, 4.5, 5.0, 2.0], [2.0, 2.5, 3.0]

    def scored(scores: list[float]) -> VersionOutcomes:
        return outcomes(
            score_count=len(scores),
            score_sum=sum(scores),
            score_sum_of_squares=sum(score**2 for score in scores),
        )

    found = compared([scored(base)], [scored(target)])["mean_score"]
    welch = stats.ttest_ind(target, base, equal_var=False).confidence_interval(0.95)
    assert found.difference_low == pytest.approx(welch.low)
    assert found.difference_high == pytest.approx(welch.high)


def test_bounds_of_failed_streams_are_newcombes() -> None:
    """56/70 and 48/80: the interval of method 10 in table II of Newcombe (1998)."""
    found = compared(
        [outcomes(streams=80, failed_streams=48)], [outcomes(streams=70, failed_streams=56)]
    )["failed_streams_percent"]
    assert found.difference_low == pytest.approx(5.24, abs=0.01)
    assert found.difference_high == pytest.approx(33.39, abs=0.01)


def test_bounds_of_a_ratio_hold_at_their_confidence() -> None:
    """Of many drawn comparisons without a true difference about 95 % have 0 within the bounds."""
    chance = random.Random(5)

    def pods() -> list[VersionOutcomes]:
        found = []
        for _ in range(12):
            streams = chance.randint(50, 150)
            rate = chance.gauss(20.0, 3.0)  # pods hear other people
            found.append(outcomes(streams=streams, turns=max(0, round(streams * rate))))
        return found

    covered = 0
    for _ in range(400):
        found = compared(pods(), pods())["turns_per_stream"]
        assert found.difference_low is not None
        assert found.difference_high is not None
        covered += found.difference_low <= 0.0 <= found.difference_high
    assert 0.92 * 400 <= covered <= 0.98 * 400


LARGEST = 2**63 - 1


@pytest.mark.parametrize(
    "hostile",
    [
        {"streams": LARGEST, "failed_streams": LARGEST, "hops": LARGEST, "turns": LARGEST},
        {"compute_latency_seconds": Histogram(upper_bounds=(1.0, 2.0), counts=(LARGEST,) * 3)},
        {
            "compute_latency_seconds": Histogram(
                upper_bounds=(1.0,), counts=(LARGEST // 2 + 1, 0), sum=1.7e308
            )
        },
        {"score_count": 3, "score_sum": 1.7e308, "score_sum_of_squares": 1.7e308},
        {"score_count": 3, "score_sum": 1e200, "score_sum_of_squares": 1.0},
        {"score_count": 3, "score_sum": -1.7e308, "score_sum_of_squares": 0.0},
        {"score_count": 3, "score_sum": 0.0, "score_sum_of_squares": 1e-200},
        {"score_count": LARGEST, "score_sum": 0.0, "score_sum_of_squares": 1e-300},
        {"speech_seconds": 315_576_000_000.0, "streams": 1},
        {"speech_seconds": 1e-9, "label_changes": 10**12, "streams": 1},
    ],
)
def test_no_numbers_keep_others_from_being_added_up(hostile: dict[str, object]) -> None:
    """Sums neither wrap nor raise, and the answer can be sent."""
    pods = [outcomes(**hostile)] * 3  # type: ignore[arg-type]
    fine = [outcomes(streams=2, turns=4, score_count=2, score_sum=3.0, score_sum_of_squares=5.0)]
    base, target = added_up(pods), added_up(fine)
    found = OutcomeComparison(
        base=base, target=target, base_pods=3, target_pods=1, comparisons=comparisons(pods, fine)
    )
    assert comparison_from_wire(comparison_to_wire(found)).comparisons == found.comparisons
    assert min(base.streams, base.turns, *base.compute_latency_seconds.counts, 0) == 0
