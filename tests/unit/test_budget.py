"""The latency budget: stages in their order, versions apart, and hops that do not add up told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voiceflow.budget import (
    COMPARED_HOPS,
    STAGES,
    WAITING,
    Change,
    Difference,
    MeasuredHop,
    Period,
    budgets,
    differences,
)

V1, V2 = "models/m/versions/1.0.0", "models/m/versions/2.0.0"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


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


@settings(deadline=None)
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


def test_each_period_of_a_version_has_a_budget_of_its_own() -> None:
    """What it took as a canary says nothing of what it takes as the primary."""
    canary = Period("canary", Change(4, "promote", NOON))
    hops = [hop(infer=0.1), replace(hop(infer=0.2), period=canary), hop(infer=0.1)]
    assert [(one.period, one.hops) for one in budgets(hops)] == [(None, 2), (canary, 1)]


def test_the_busiest_stage_is_none_in_which_hops_wait() -> None:
    """Those that wait most wait for the one that is slow."""
    (made,) = budgets([hop(infer=0.01, identity=0.03, send=0.09)])
    assert made.slowest.name == "send"
    assert made.busiest is not None
    assert made.busiest.name == "identity"
    (made,) = budgets([hop(network=0.01)])
    assert made.busiest is None
    assert set(STAGES) > WAITING


def of(version: str, count: int = COMPARED_HOPS, **stages: float) -> list[MeasuredHop]:
    """As many hops as are compared."""
    return [hop(version, **stages)] * count


def differs(*hops: list[MeasuredHop]) -> Difference:
    """The one difference."""
    (found,) = differences([one for group in hops for one in group])
    return found


def test_versions_differ_in_the_stage_that_is_slow_and_not_where_hops_wait_for_it() -> None:
    """30 ms planted in the one's identity; hops of the other are sent late for it, too."""
    base = of(V1, 40, infer=0.005, identity=0.0006, scatter=0.03, send=0.06)
    found = differs(base, of(V2, infer=0.005, identity=0.031, scatter=0.05, send=0.12))
    assert (found.version, found.base) == (V2, V1)
    assert found.working is not None
    assert found.working.stage == "identity"
    assert (found.working.seconds, found.working.base_seconds) == (0.031, 0.0006)
    assert found.waiting is not None
    assert found.waiting.stage == "send"


def test_waiting_is_told_only_where_it_is_more() -> None:
    """Otherwise it follows from what is slow."""
    found = differs(of(V1, 40, infer=0.005), of(V2, infer=0.035, send=0.02))
    assert found.working is not None
    assert found.waiting is None


def test_a_version_may_be_faster() -> None:
    """The stage is where they differ, whichever way."""
    found = differs(of(V1, 40, infer=0.05), of(V2, infer=0.01))
    assert found.working is not None
    assert found.working.size_seconds == pytest.approx(0.04)


@pytest.mark.parametrize(("seconds", "matters"), [(0.0109, False), (0.0112, True)])
def test_small_differences_are_none(seconds: float, matters: bool) -> None:
    """More than 1 ms, for hops of 10 ms."""
    found = differs(of(V1, 40, infer=0.01), of(V2, infer=seconds))
    assert (found.working is not None) is matters


@pytest.mark.parametrize(("seconds", "matters"), [(0.104, False), (0.106, True)])
def test_small_differences_of_long_hops_are_none(seconds: float, matters: bool) -> None:
    """More than 5 %, for hops of 100 ms."""
    found = differs(of(V1, 40, infer=0.1), of(V2, infer=seconds))
    assert (found.working is not None) is matters


def test_a_few_hops_are_not_compared() -> None:
    """Nor does one hop that took long make a version slow: medians are compared."""
    few = differs(of(V1, 40, infer=0.01), of(V2, COMPARED_HOPS - 1, infer=1.0))
    assert (few.hops, few.working, few.waiting) == (COMPARED_HOPS - 1, None, None)
    one = differs(of(V1, 40, infer=0.01), of(V2, infer=0.01) + of(V2, 1, infer=9.0))
    assert one.working is None


def test_versions_of_other_models_are_not_compared() -> None:
    """Two services may have recorded into one file."""
    assert differences(of(V1) + of("models/other/versions/2.0.0", infer=1.0)) == []
