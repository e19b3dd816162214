"""The latency budget: stages in their order, versions apart, and hops that do not add up told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceflow.budget import STAGES, MeasuredHop, budgets

V1, V2 = "models/m/versions/1.0.0", "models/m/versions/2.0.0"


def hop(version: str = V1, whole: float | None = None, **stages: float) -> MeasuredHop:
    """A hop with these stages, in seconds; its end to end is their sum, unless it is said."""
    named = {name.replace("_", " "): seconds for name, seconds in stages.items()}
    return MeasuredHop(version, named, sum(stages.values()) if whole is None else whole)


def test_stages_come_in_the_order_of_a_hops_way() -> None:
    """Whatever order they were told in; those that nobody knows come last."""
    told = dict.fromkeys(["polish", *reversed(STAGES)], 0.001)
    (made,) = budgets([MeasuredHop(V1, told, 0.014)])
    assert [row.name for row in made.stages] == [*STAGES, "polish"]


def test_what_was_not_recorded_has_no_row() -> None:
    """Where only a server recorded, nothing is said of its clients."""
    (made,) = budgets([hop(queue=0.01, infer=0.02)])
    assert [row.name for row in made.stages] == ["queue", "infer"]


def test_quantiles_and_shares_are_of_all_hops() -> None:
    """A hop without a stage took no time in it."""
    (made,) = budgets([hop(infer=0.001 * n) for n in range(1, 100)] + [hop(network=0.1)])
    network, infer = made.stages
    assert infer.median_seconds == pytest.approx(0.0495)
    assert infer.p99_seconds == pytest.approx(0.09801)
    assert network.median_seconds == network.p95_seconds == 0.0
    assert infer.share == pytest.approx(4.95 / 5.05)
    assert made.end_to_end.median_seconds == pytest.approx(0.0505)
    assert made.slowest is infer


def test_the_slowest_stage_is_where_most_of_the_time_goes() -> None:
    """Not the one that is seldom the longest."""
    hops = [hop(infer=0.01, turns=0.002)] * 9 + [hop(infer=0.01, turns=0.05)]
    (made,) = budgets(hops)
    assert made.slowest.name == "infer"


def test_each_version_has_a_budget_of_its_own() -> None:
    """The one with the most hops first."""
    made = budgets([hop(V2, infer=0.1), hop(V1, infer=0.01), hop(V1, infer=0.03)])
    assert [(one.version, one.hops) for one in made] == [(V1, 2), (V2, 1)]
    assert [one.end_to_end.median_seconds for one in made] == [0.02, 0.1]
    assert budgets([]) == []


@pytest.mark.parametrize(
    ("whole", "adds_up"),
    [(0.010, True), (0.0109, True), (0.0112, False), (0.0088, False)],
)
def test_short_hops_add_up_to_the_millisecond(whole: float, adds_up: bool) -> None:
    """10 ms of stages: 5 % would be half a millisecond."""
    assert hop(infer=0.010, whole=whole).adds_up is adds_up


@pytest.mark.parametrize(("whole", "adds_up"), [(0.1, True), (0.105, True), (0.106, False)])
def test_long_hops_add_up_to_five_per_cent(whole: float, adds_up: bool) -> None:
    """100 ms of stages, out of as much or a little more."""
    assert hop(infer=0.1, whole=whole).adds_up is adds_up


def test_hops_that_do_not_add_up_are_counted() -> None:
    """And the sums are shown beside what was measured."""
    (made,) = budgets([hop(infer=0.1)] * 3 + [hop(infer=0.1, whole=0.2)])
    assert made.adding_up == 0.75
    assert made.total.p99_seconds == pytest.approx(0.1)
    assert made.end_to_end.p99_seconds > 0.19


@given(
    st.lists(
        st.dictionaries(st.sampled_from(STAGES), st.floats(0, 10), min_size=1),
        min_size=1,
        max_size=20,
    )
)
def test_shares_sum_to_one(stages: list[dict[str, float]]) -> None:
    """Where hops add up and took any time at all."""
    (made,) = budgets(MeasuredHop(V1, one, sum(one.values())) for one in stages)
    if sum(sum(one.values()) for one in stages) > 1e-9:
        assert sum(row.share for row in made.stages) == pytest.approx(1.0)
    assert made.adding_up == 1.0
