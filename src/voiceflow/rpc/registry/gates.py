"""What the gates saw and what they allow, to and from their messages."""

from __future__ import annotations

from typing import Final

from voiceflow.catalog.gates import (
    AccuracyBudget,
    CostBudget,
    Figure,
    Finding,
    Gate,
    GateResult,
    Outcome,
    SandboxLayers,
    ValidationReport,
)
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.rpc.registry.values import (
    EnumMap,
    join,
    make,
    number,
    optional,
    optional_number,
    seconds_from_wire,
    seconds_to_wire,
    time_from_wire,
    time_to_wire,
)

GATES: Final = EnumMap(pb.Gate, "GATE_", Gate)
_OUTCOMES: Final = EnumMap(pb.GateResult.Outcome, "OUTCOME_", Outcome)


def gate_result_to_wire(result: GateResult) -> pb.GateResult:
    """What one gate saw."""
    return pb.GateResult(
        gate=GATES.to_wire(result.gate),
        outcome=_OUTCOMES.to_wire(result.outcome),
        findings=[
            pb.Finding(
                rule_id=finding.rule_id,
                subject=finding.subject,
                seen=finding.seen,
                allowed=finding.allowed,
                message=finding.message,
            )
            for finding in result.findings
        ],
        measurements=[
            pb.Measurement(
                name=figure.name,
                value=figure.value,
                baseline=figure.baseline,
                allowed=figure.allowed,
            )
            for figure in result.figures
        ],
        elapsed=seconds_to_wire(result.elapsed_seconds),
    )


def gate_result_from_wire(message: pb.GateResult, path: str = "gate_result") -> GateResult:
    """Reads what `gate_result_to_wire` wrote.

    Raises:
        InvalidInput: FIELD_REQUIRED, FIELD_INVALID; so all readers here do.
    """
    return make(
        GateResult,
        path,
        gate=GATES.from_wire(message.gate, join(path, "gate")),
        outcome=_OUTCOMES.from_wire(message.outcome, join(path, "outcome")),
        findings=tuple(
            Finding(
                rule_id=finding.rule_id,
                subject=finding.subject,
                seen=finding.seen,
                allowed=finding.allowed,
                message=finding.message,
            )
            for finding in message.findings
        ),
        figures=tuple(
            _figure(figure, f"{path}.measurements[{at}]")
            for at, figure in enumerate(message.measurements)
        ),
        elapsed_seconds=seconds_from_wire(message, "elapsed", path) or 0.0,
    )


def _figure(message: pb.Measurement, path: str) -> Figure:
    return Figure(
        name=message.name,
        value=number(message, "value", path),
        baseline=optional_number(message, "baseline", path),
        allowed=optional_number(message, "allowed", path),
    )


def report_to_wire(report: ValidationReport) -> pb.ValidationReport:
    """What one run of the gates saw."""
    return pb.ValidationReport(
        name=report.name,
        manifest_digest=report.manifest_digest,
        passed=report.passed,
        gates=[gate_result_to_wire(result) for result in report.gates],
        channel=report.channel,
        baseline_version=report.baseline_version,
        policy_sequence=report.policy_sequence,
        sandbox=pb.Sandbox(
            active_layers=report.sandbox.active, missing_layers=report.sandbox.missing
        ),
        principal=report.principal,
        start_time=time_to_wire(report.start_time),
        end_time=time_to_wire(report.end_time),
        software_version=report.software_version,
        runtime_version=report.runtime_version,
        evaluation_set_digest=report.evaluation_set_digest,
    )


def report_from_wire(message: pb.ValidationReport, path: str = "report") -> ValidationReport:
    """Reads what `report_to_wire` wrote."""
    return make(
        ValidationReport,
        path,
        name=message.name,
        manifest_digest=message.manifest_digest,
        passed=message.passed,
        gates=tuple(
            gate_result_from_wire(result, f"{path}.gates[{at}]")
            for at, result in enumerate(message.gates)
        ),
        channel=message.channel,
        baseline_version=message.baseline_version,
        policy_sequence=message.policy_sequence,
        sandbox=SandboxLayers(
            active=tuple(message.sandbox.active_layers),
            missing=tuple(message.sandbox.missing_layers),
        ),
        principal=message.principal,
        start_time=time_from_wire(message, "start_time", path),
        end_time=time_from_wire(message, "end_time", path),
        software_version=message.software_version,
        runtime_version=message.runtime_version,
        evaluation_set_digest=message.evaluation_set_digest,
    )


def cost_budget_to_wire(budget: CostBudget) -> pb.CostBudget:
    """What gate 5 allows."""
    return pb.CostBudget(
        call_p99=seconds_to_wire(budget.call_p99_seconds),
        batch_p99=seconds_to_wire(budget.batch_p99_seconds),
        slower_percent=budget.slower_percent,
        model_size_bytes=budget.model_size_bytes,
        resident_bytes=budget.resident_bytes,
    )


def cost_budget_from_wire(message: pb.CostBudget, path: str = "cost_budget") -> CostBudget:
    """Reads what `cost_budget_to_wire` wrote."""
    return make(
        CostBudget,
        path,
        call_p99_seconds=seconds_from_wire(message, "call_p99", path),
        batch_p99_seconds=seconds_from_wire(message, "batch_p99", path),
        slower_percent=optional_number(message, "slower_percent", path),
        model_size_bytes=optional(message, "model_size_bytes"),
        resident_bytes=optional(message, "resident_bytes"),
    )


def accuracy_budget_to_wire(budget: AccuracyBudget) -> pb.AccuracyBudget:
    """What gate 6 allows."""
    return pb.AccuracyBudget(
        der_percent=budget.der_percent, der_worse_points=budget.der_worse_points
    )


def accuracy_budget_from_wire(
    message: pb.AccuracyBudget, path: str = "accuracy_budget"
) -> AccuracyBudget:
    """Reads what `accuracy_budget_to_wire` wrote."""
    return make(
        AccuracyBudget,
        path,
        der_percent=optional_number(message, "der_percent", path),
        der_worse_points=optional_number(message, "der_worse_points", path),
    )
