"""Gate 5: what measured times, sizes and memory mean under a budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes import bad_models
from tests.fakes.models import write_stream_package
from tests.unit.validation.here import Here
from tests.unit.validation.packages import baseline, candidate, manifest_of, put
from voiceflow.catalog.gates import CostBudget
from voiceflow.validation.gates import cost
from voiceflow.validation.gates.cost import Run, Samples, Size, cost_gate, judge_cost, p99


@pytest.fixture(autouse=True)
def _few_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many calls are timed is no matter here."""
    monkeypatch.setattr(cost, "MAXIMUM_CALLS", 40)


SIZE = Size(model_bytes=1000, resident_bytes=2000, leak_bytes=0.0)


def flat(milliseconds: float) -> Samples:
    """Calls that all take the same time, and batches that take ten times as long."""
    return Samples([milliseconds / 1000] * 100, [milliseconds / 100] * 100)


def rules(runs: Sequence[Run], budget: CostBudget, size: Size = SIZE) -> list[str]:
    """The rules that made-up measurements break."""
    return [finding.rule_id for finding in judge_cost(runs, size, None, budget).findings]


def test_without_a_budget_everything_is_allowed() -> None:
    """And everything is told all the same."""
    outcome = judge_cost([Run(flat(1.0), flat(2.0))], SIZE, SIZE, CostBudget())
    assert outcome.findings == ()
    values = {figure.name: figure.value for figure in outcome.figures}
    others = {figure.name: figure.baseline for figure in outcome.figures}
    assert values["call_p99_seconds"] == pytest.approx(0.001)
    assert others["call_p99_seconds"] == pytest.approx(0.002)
    assert values["batch_p99_seconds"] == pytest.approx(0.01)
    assert values["call_slower_percent"] == pytest.approx(-50.0)
    assert values["model_size_bytes"] == others["model_size_bytes"] == 1000
    assert values["resident_bytes"] == others["resident_bytes"] == 2000


@pytest.mark.parametrize(
    ("budget", "rule"),
    [
        (CostBudget(call_p99_seconds=0.0009), "cost.call"),
        (CostBudget(batch_p99_seconds=0.009), "cost.batch"),
        (CostBudget(model_size_bytes=999), "cost.model-size"),
        (CostBudget(resident_bytes=1999), "cost.resident"),
    ],
)
def test_each_bound_has_its_rule(budget: CostBudget, rule: str) -> None:
    """A bound that is passed is told with what was seen and what is allowed."""
    assert rules([Run(flat(1.0))], budget) == [rule]


def test_bounds_themselves_are_allowed() -> None:
    """More than a bound is too much, not as much."""
    budget = CostBudget(
        call_p99_seconds=0.001,
        batch_p99_seconds=0.01,
        slower_percent=0.0,
        model_size_bytes=1000,
        resident_bytes=2000,
    )
    assert rules([Run(flat(1.0), flat(1.0))], budget) == []


def test_slower_than_the_promoted_version_is_a_ratio() -> None:
    """A quarter slower where a tenth is allowed, both for a call and for a batch."""
    runs = [Run(flat(1.25), flat(1.0))]
    assert rules(runs, CostBudget(slower_percent=10)) == ["cost.slower", "cost.slower"]
    assert rules(runs, CostBudget(slower_percent=30)) == []


def test_nothing_is_slower_than_nothing() -> None:
    """A first version has nobody to be compared with."""
    assert rules([Run(flat(1.0))], CostBudget(slower_percent=0)) == []


def test_of_several_runs_the_best_one_counts() -> None:
    """What else the machine did in one of them is not the model's."""
    runs = [Run(flat(9.0), flat(1.0)), Run(flat(1.0), flat(1.0))]
    budget = CostBudget(call_p99_seconds=0.002, batch_p99_seconds=0.02, slower_percent=10)
    assert rules(runs, budget) == []
    assert rules(runs[:1], budget) == ["cost.call", "cost.slower", "cost.batch", "cost.slower"]


def test_the_tail_counts() -> None:
    """Two slow calls of a hundred are in the P99, one of a thousand is not."""
    assert p99([0.001] * 98 + [0.1] * 2) == pytest.approx(0.1, rel=0.1)
    assert p99([0.001] * 999 + [0.1]) == pytest.approx(0.001)


def test_memory_that_every_reload_leaves_behind_is_a_leak() -> None:
    """Whatever the budget says."""
    leaking = replace(SIZE, leak_bytes=cost.MAXIMUM_LEAK_BYTES + 1.0)
    assert rules([Run(flat(1.0))], CostBudget(), leaking) == ["cost.leak"]


def test_memory_that_cannot_be_seen_is_not_judged() -> None:
    """Where the system does not tell, there is no figure either."""
    unseen = Size(model_bytes=1000, resident_bytes=None)
    outcome = judge_cost([Run(flat(1.0))], unseen, None, CostBudget(resident_bytes=1))
    assert outcome.findings == ()
    assert "resident_bytes" not in {figure.name for figure in outcome.figures}


def test_two_versions_are_measured_side_by_side(here: Here, tmp_path: Path) -> None:
    """The real thing: figures of both come; how large they are is nobody's business here."""
    old, new = (write_stream_package(tmp_path / v, v) for v in ("1.0.0", "1.0.1"))
    outcome = cost_gate(here, candidate(new), manifest_of(new), CostBudget(), baseline(old))
    assert outcome.findings == ()
    figures = {figure.name: figure for figure in outcome.figures}
    for name in ("call_p99_seconds", "batch_p99_seconds", "call_median_seconds"):
        assert figures[name].value > 0
        assert figures[name].baseline is not None
    assert here.opened == ["cost", "cost"]


def test_calls_of_both_are_made_in_turns(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few of one, a few of the other, and then the other begins."""
    asked: list[bool] = []
    seconds = cost._Timer.seconds

    def remember(self: cost._Timer, rows: int, calls: int) -> tuple[float, ...]:
        asked.append(self._baseline)
        return seconds(self, rows, calls)

    monkeypatch.setattr(cost._Timer, "seconds", remember)
    old, new = (write_stream_package(tmp_path / v, v) for v in ("1.0.0", "1.0.1"))
    cost_gate(here, candidate(new), manifest_of(new), CostBudget(), baseline(old))
    settling, turns = [False, True], [False, True, True, False, False, True, True, False]
    assert asked[:10] == settling + turns


def test_a_bound_on_time_is_tried_again_before_it_is_believed(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three runs where a bound is passed, one where none is."""
    runs: list[Run] = []
    measure = cost._run

    def remember(version: cost._Timer, other: cost._Timer | None) -> Run:
        runs.append(measure(version, other))
        return runs[-1]

    monkeypatch.setattr(cost, "_run", remember)
    monkeypatch.setattr(cost, "MAXIMUM_CALLS", 20)
    package = write_stream_package(tmp_path)
    for budget, wanted in ((CostBudget(), 1), (CostBudget(call_p99_seconds=0.0), 3)):
        runs.clear()
        cost_gate(here, candidate(package), manifest_of(package), budget, None)
        assert len(runs) == wanted


def test_a_promoted_version_that_does_not_run_is_told_where_it_is_needed(
    here: Here, tmp_path: Path
) -> None:
    """It is not the candidate's fault, and no comparison is no pass."""
    broken = write_stream_package(tmp_path / "old", "1.0.0")
    put(broken, "model.onnx", bad_models.lonely())
    new = write_stream_package(tmp_path / "new", "1.0.1")

    def found(budget: CostBudget) -> list[str]:
        outcome = cost_gate(here, candidate(new), manifest_of(new), budget, baseline(broken))
        return [finding.rule_id for finding in outcome.findings]

    assert found(CostBudget(slower_percent=1000)) == ["cost.baseline-failed"]
    assert found(CostBudget()) == []


def test_a_version_that_does_not_run_is_refused(here: Here, tmp_path: Path) -> None:
    """With what ONNX Runtime says."""
    package = write_stream_package(tmp_path)
    put(package, "model.onnx", bad_models.lonely())
    outcome = cost_gate(here, candidate(package), manifest_of(package), CostBudget(), None)
    assert [finding.rule_id for finding in outcome.findings] == ["cost.run-failed"]
