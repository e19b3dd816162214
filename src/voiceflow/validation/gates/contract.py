"""Gate 3: the graph's tensors are the contract's, and the spaces that it claims hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from voiceflow.artifact import Manifest
from voiceflow.catalog.gates import Finding
from voiceflow.catalog.names import VersionName
from voiceflow.contract import TensorSignature, mismatches
from voiceflow.difference import Described
from voiceflow.package import MODEL_FILE
from voiceflow.validation import measured
from voiceflow.validation.findings import finding
from voiceflow.validation.gates import bump, limits, spaces
from voiceflow.validation.measured import Failed, Loaded
from voiceflow.validation.sandbox import Sandbox
from voiceflow.validation.values import Candidate, Earlier, GateOutcome


@dataclass(frozen=True, slots=True)
class Tensors:
    """A graph's inputs and outputs, as ONNX Runtime has them."""

    inputs: tuple[TensorSignature, ...]
    outputs: tuple[TensorSignature, ...]


def contract_gate(
    sandbox: Sandbox, candidate: Candidate, manifest: Manifest, earlier: Sequence[Earlier]
) -> tuple[GateOutcome, Tensors]:
    """Loads the graph, compares its tensors, and runs it beside versions whose spaces it claims.

    Raises:
        SandboxFailure: If the sandbox ended the model.
    """
    loaded = _load(sandbox, candidate)
    seen = Tensors(
        tuple(tensor.signature() for tensor in getattr(loaded, "inputs", ())),
        tuple(tensor.signature() for tensor in getattr(loaded, "outputs", ())),
    )
    findings = [*judge_tensors(manifest, loaded, seen)]
    name = VersionName(manifest.model, manifest.version)
    described = Described(name, manifest, seen.inputs, seen.outputs)
    findings += bump.too_small("contract.bump-too-small", described, earlier, tensors=True)
    if findings:
        return GateOutcome(tuple(findings)), seen
    return spaces.verify(sandbox, candidate, manifest, bump.before(described, earlier)), seen


def judge_tensors(manifest: Manifest, loaded: Loaded | Failed, seen: Tensors) -> Iterator[Finding]:
    """Whether a graph was loaded, and has the tensors that its manifest promises."""
    refused = loaded.failed if isinstance(loaded, Failed) else loaded.refused
    if refused:
        yield finding(
            "contract.refused",
            MODEL_FILE,
            seen=refused,
            allowed="a graph that ONNX Runtime loads",
            message=refused,
        )
        return
    _, found = mismatches(manifest, seen.inputs, seen.outputs)
    for mismatch in found:
        yield finding(
            "contract.signature",
            mismatch.tensor,
            seen=mismatch.seen,
            allowed=mismatch.allowed,
            message=f"{mismatch.role} {mismatch.tensor} breaks {manifest.contract}: seen"
            f" {mismatch.seen}; export it as {mismatch.allowed}",
        )


def _load(sandbox: Sandbox, candidate: Candidate) -> Loaded | Failed:
    files = {MODEL_FILE: candidate.folder / MODEL_FILE}
    with sandbox.open(
        "tensors", files=files, arguments={}, limits=limits.to_load(candidate)
    ) as probe:
        return measured.read(Loaded, probe.ask())
