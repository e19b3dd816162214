"""Runs of gates that do not come to their end are told as such, and end."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
from opentelemetry import trace

from tests.fakes.metrics import counted
from tests.fakes.publishing import ScriptedGates, package
from tests.fakes.spans import recorded
from voiceflow.catalog.gates import Gate
from voiceflow.validation.values import Budgets, Candidate, GateStarted
from voiceflow_registry.gate_runs import ObservedGates


@pytest.fixture
def candidate(tmp_path: Path) -> Candidate:
    """A version in a folder."""
    what = package()
    for name, content in what.files.items():
        (tmp_path / name).write_bytes(content)
    return Candidate(what.manifest, tmp_path)


def test_a_gate_that_is_left_under_way_is_ended_as_an_error(candidate: Candidate) -> None:
    """Its caller closes the run: the gates below are closed with it, and no result counts."""
    before = counted("voiceflow.gate.results", gate="graph")
    with recorded() as spans, trace.get_tracer("test").start_as_current_span("caller"):
        run = ObservedGates(ScriptedGates()).run(
            candidate, gates=[Gate.GRAPH, Gate.CONTRACT], budgets=Budgets()
        )
        assert next(iter(run)) == GateStarted(Gate.GRAPH)
        assert isinstance(run, Generator)
        run.close()
        (gate,) = spans.named("voiceflow.gate")
    assert not gate.status.is_ok
    assert counted("voiceflow.gate.results", gate="graph") == before


def test_a_gate_that_breaks_is_ended_as_an_error(candidate: Candidate) -> None:
    """What it raises is raised as before."""

    def breaks(_: Gate) -> None:
        raise ZeroDivisionError

    with recorded() as spans, trace.get_tracer("test").start_as_current_span("caller"):
        gates = ObservedGates(ScriptedGates(before=breaks))
        with pytest.raises(ZeroDivisionError):
            list(gates.run(candidate, gates=[Gate.GRAPH], budgets=Budgets()))
        (gate,) = spans.named("voiceflow.gate")
    assert not gate.status.is_ok
