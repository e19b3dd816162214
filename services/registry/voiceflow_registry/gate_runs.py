"""Runs of the gates, measured: each gate is a span of whoever asked for it, and counts."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Final

from opentelemetry import trace
from opentelemetry.trace import Span, Status, StatusCode

from voiceflow.catalog.gates import Gate, GateResult, Outcome
from voiceflow.telemetry.metrics import GATE_DURATION, GATE_RESULTS
from voiceflow.validation.values import (
    Baseline,
    Budgets,
    Candidate,
    Earlier,
    GateStarted,
    Validation,
)
from voiceflow_registry.validations import GateRunner

_TRACER: Final = trace.get_tracer("voiceflow")
_MAXIMUM_RULES: Final = 16

_Event = GateStarted | GateResult | Validation


class ObservedGates:
    """A `GateRunner` that measures another one.

    Args:
        gates: Runs them.
    """

    def __init__(self, gates: GateRunner) -> None:
        self._gates = gates

    def run(
        self,
        candidate: Candidate,
        *,
        gates: Sequence[Gate],
        budgets: Budgets,
        earlier: Sequence[Earlier] = (),
        baseline: Baseline | None = None,
    ) -> Iterator[_Event]:
        """See `GateRunner`."""
        return _observed(
            self._gates.run(
                candidate, gates=gates, budgets=budgets, earlier=earlier, baseline=baseline
            )
        )


def _observed(run: Iterator[_Event]) -> Iterator[_Event]:
    """The same events. A gate that its caller leaves under way is ended as an error.

    Spans are never made the current one: between two events the caller goes on, and perhaps on
    another thread.
    """
    span: Span = trace.INVALID_SPAN
    try:
        for event in run:
            if isinstance(event, GateStarted):
                span = _TRACER.start_span(
                    "voiceflow.gate", attributes={"voiceflow.gate": event.gate.value}
                )
            elif isinstance(event, GateResult):
                _tell(span, event)
                span = trace.INVALID_SPAN
            yield event
    finally:
        span.set_status(Status(StatusCode.ERROR, "not finished"))
        span.end()
        if isinstance(run, Generator):
            run.close()


def _tell(span: Span, result: GateResult) -> None:
    gate, outcome = result.gate.value, result.outcome
    GATE_RESULTS.add(1, {"gate": gate, "outcome": outcome.value})
    if outcome is Outcome.SKIPPED:  # it was never started
        return
    GATE_DURATION.record(result.elapsed_seconds, {"gate": gate})
    span.set_attribute("voiceflow.gate.outcome", outcome.value)
    if outcome is not Outcome.PASSED:
        rules = [finding.rule_id for finding in result.findings[:_MAXIMUM_RULES]]
        span.set_attribute("voiceflow.gate.findings", rules)
        span.set_status(Status(StatusCode.ERROR, ", ".join(rules[:1])))
    span.end()
