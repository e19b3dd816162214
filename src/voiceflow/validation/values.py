"""What goes into a run of the gates, and what comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from voiceflow.catalog.gates import (
    AccuracyBudget,
    CostBudget,
    Figure,
    Finding,
    Gate,
    GateResult,
    SandboxLayers,
)
from voiceflow.contract import TensorSignature
from voiceflow.difference import Described


@dataclass(frozen=True, slots=True)
class Candidate:
    """The version that is put through the gates; nothing in it is believed yet.

    Attributes:
        manifest: The bytes of `manifest.json`.
        folder: Holds the other files under the names that the manifest gives them.
    """

    manifest: bytes
    folder: Path


@dataclass(frozen=True, slots=True)
class Earlier:
    """A version of the model that was published before.

    Attributes:
        described: What is known of it.
        fetch: Gives a folder with its files; called only if the gates must run it.
    """

    described: Described
    fetch: Callable[[], Path]


@dataclass(frozen=True, slots=True)
class Baseline:
    """The version that cost and accuracy are compared with: the channel's primary.

    Attributes:
        name: `models/{model}/versions/{semver}`.
        manifest: The bytes of its `manifest.json`.
        folder: Holds its files.
    """

    name: str
    manifest: bytes
    folder: Path


@dataclass(frozen=True, slots=True)
class Budgets:
    """What gates 5 and 6 allow; as it is made, everything."""

    cost: CostBudget = field(default_factory=CostBudget)
    accuracy: AccuracyBudget = field(default_factory=AccuracyBudget)


@dataclass(frozen=True, slots=True)
class GateOutcome:
    """What one gate found; without findings it has passed."""

    findings: tuple[Finding, ...] = ()
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True, slots=True)
class GateStarted:
    """Told when a gate that was asked for begins."""

    gate: Gate


@dataclass(frozen=True, slots=True)
class Validation:
    """What a whole run saw.

    Attributes:
        gates: Those that were asked for, in order.
        passed: Each of them has.
        sandbox: What held the model.
        inputs: Of the graph, as ONNX Runtime sees them; empty unless it keeps its contract.
        outputs: Likewise.
        runtime_version: Of ONNX Runtime.
        evaluation_set_digest: Empty if accuracy was not run.
    """

    gates: tuple[GateResult, ...]
    passed: bool
    sandbox: SandboxLayers
    inputs: tuple[TensorSignature, ...]
    outputs: tuple[TensorSignature, ...]
    runtime_version: str
    evaluation_set_digest: str
