"""What the gates are, what they saw of a version, and what they allow."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from voiceflow.catalog.values import LONGEST_SECONDS, Sequence64, Time, Value


class Gate(StrEnum):
    """What a version is put through, in this order."""

    MANIFEST = "manifest"
    GRAPH = "graph"
    CONTRACT = "contract"
    BEHAVIOUR = "behaviour"
    COST = "cost"
    ACCURACY = "accuracy"


PUBLISHING_GATES: Final = (Gate.MANIFEST, Gate.GRAPH, Gate.CONTRACT)
"""Those that every version passes before it is committed."""


class Outcome(StrEnum):
    """How a gate ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class Finding(Value):
    """One rule that was broken.

    Attributes:
        rule_id: Stable: `graph.external-data`. The part before the dot names the gate.
        subject: What it is about: a file, manifest field, tensor or node.
        seen: What was seen, as text.
        allowed: What is allowed, in the same unit.
        message: For people: what is wrong and what to change.
    """

    rule_id: str
    subject: str
    seen: str
    allowed: str
    message: str

    def __str__(self) -> str:
        return f"{self.rule_id}: {self.subject}: {self.message}"


class Figure(Value):
    """One thing that was measured; the unit stands in the name.

    Attributes:
        name: `call_p99_seconds`.
        value: Of the version.
        baseline: Of the version compared with, if there is one.
        allowed: The bound that held, if there is one.
    """

    name: str
    value: float
    baseline: float | None = None
    allowed: float | None = None


class GateResult(Value):
    """What one gate saw; at most 100 findings."""

    gate: Gate
    outcome: Outcome
    findings: tuple[Finding, ...] = ()
    figures: tuple[Figure, ...] = ()
    elapsed_seconds: float = 0.0


class SandboxLayers(Value):
    """What held the model while it ran."""

    active: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


class ValidationReport(Value):
    """What one run of the gates saw.

    Attributes:
        name: `models/{model}/versions/{semver}/validations/{validation}`; empty if not stored.
        manifest_digest: Of the very bytes that were run.
        passed: Every gate asked for has passed.
        gates: In order.
        channel: Whose policy held; empty: the registry's default.
        baseline_version: What it was compared with; empty: nothing.
        policy_sequence: Of the policy that set what is allowed.
        evaluation_set_digest: Of the set's list of files; empty if accuracy was not run.
    """

    name: str = ""
    manifest_digest: str
    passed: bool
    gates: tuple[GateResult, ...]
    channel: str = ""
    baseline_version: str = ""
    policy_sequence: Sequence64 = 0
    sandbox: SandboxLayers = SandboxLayers()
    principal: str = ""
    start_time: Time
    end_time: Time
    software_version: str
    runtime_version: str
    evaluation_set_digest: str = ""


NonNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Duration = Annotated[float, Field(ge=0.0, le=LONGEST_SECONDS)]
Bytes = Annotated[int, Field(ge=0, lt=2**63)]


class CostBudget(Value):
    """What gate 5 allows; None does not bound.

    Attributes:
        call_p99_seconds: P99 of one call with one stream.
        batch_p99_seconds: P99 of one call with the largest batch.
        slower_percent: Either may exceed the promoted version's by so much.
        model_size_bytes: Size of `model.onnx`.
        resident_bytes: Memory of a process that has it loaded.
    """

    call_p99_seconds: Duration | None = None
    batch_p99_seconds: Duration | None = None
    slower_percent: NonNegative | None = None
    model_size_bytes: Bytes | None = None
    resident_bytes: Bytes | None = None


class AccuracyBudget(Value):
    """What gate 6 allows; None does not bound.

    Attributes:
        der_percent: On the evaluation set.
        der_worse_points: DER may exceed the promoted version's by so many percentage points.
    """

    der_percent: NonNegative | None = None
    der_worse_points: NonNegative | None = None
