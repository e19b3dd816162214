"""Runs a version through the gates that are asked for, in order, and tells how it goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from voiceflow.artifact import Manifest
from voiceflow.catalog.gates import Gate, GateResult, Outcome, SandboxLayers
from voiceflow.errors import NotAllowedNow
from voiceflow.package import MODEL_FILE
from voiceflow.validation.findings import MAXIMUM_FINDINGS, of_failure
from voiceflow.validation.gates.accuracy import accuracy_gate
from voiceflow.validation.gates.behaviour import behaviour_gate
from voiceflow.validation.gates.contract import Tensors, contract_gate
from voiceflow.validation.gates.cost import cost_gate
from voiceflow.validation.gates.graph import graph_gate
from voiceflow.validation.gates.manifest import manifest_gate
from voiceflow.validation.sandbox import Sandbox, SandboxFailure
from voiceflow.validation.values import (
    Baseline,
    Budgets,
    Candidate,
    Earlier,
    GateOutcome,
    GateStarted,
    Validation,
)

if TYPE_CHECKING:
    # Every process of the sandbox imports this package, and none of them reads recordings.
    from voiceflow.evaluation import EvaluationSet

NEEDS: Final[Mapping[Gate, tuple[Gate, ...]]] = {
    Gate.MANIFEST: (),
    Gate.GRAPH: (),
    Gate.CONTRACT: (Gate.MANIFEST, Gate.GRAPH),
    Gate.BEHAVIOUR: (Gate.CONTRACT,),
    Gate.COST: (Gate.CONTRACT,),
    Gate.ACCURACY: (Gate.CONTRACT,),
}
"""What must have passed before a gate may run."""


class Validator:
    """Puts versions through the gates; used from many threads.

    Args:
        sandbox: Where models are run.
        evaluation_set: What accuracy is measured on; None: it cannot be asked for.
    """

    def __init__(self, sandbox: Sandbox, *, evaluation_set: EvaluationSet | None = None) -> None:
        self._sandbox = sandbox
        self._evaluation_set = evaluation_set

    def run(
        self,
        candidate: Candidate,
        *,
        gates: Sequence[Gate],
        budgets: Budgets | None = None,
        earlier: Sequence[Earlier] = (),
        baseline: Baseline | None = None,
    ) -> Iterator[GateStarted | GateResult | Validation]:
        """Runs the gates in order.

        A gate that another one needs is run as well where it was not asked for, but is not
        reported; if it fails, those that need it are SKIPPED. Closing the iterator ends the run.

        Args:
            candidate: The version.
            gates: Those to report.
            budgets: What cost and accuracy allow; None: anything.
            earlier: Versions of the model that were published before, yanked ones left out; those
                that are not lower than the candidate are passed over.
            baseline: What cost and accuracy are compared with.

        Yields:
            For each gate that was asked for its start and its result, a skipped one's result alone;
            at last the `Validation`.

        Raises:
            NotAllowedNow: EVALUATION_SET_MISSING or SANDBOX_TOO_WEAK, before anything is run.
        """
        if Gate.ACCURACY in gates and self._evaluation_set is None:
            raise NotAllowedNow(
                "the accuracy gate was asked for, and no evaluation set is configured here",
                reason="EVALUATION_SET_MISSING",
            )
        layers = self._sandbox.layers()
        run = _Run(
            self._sandbox,
            self._evaluation_set,
            candidate,
            budgets or Budgets(),
            tuple(earlier),
            baseline,
        )
        return run.events(frozenset(gates), layers)


@dataclass
class _Run:
    """One run: what goes in, and what the gates have learnt so far."""

    sandbox: Sandbox
    evaluation_set: EvaluationSet | None
    candidate: Candidate
    budgets: Budgets
    earlier: tuple[Earlier, ...]
    baseline: Baseline | None
    manifest: Manifest | None = None
    tensors: Tensors = field(default_factory=lambda: Tensors((), ()))
    results: dict[Gate, GateResult] = field(default_factory=dict)

    def events(
        self, asked: frozenset[Gate], layers: SandboxLayers
    ) -> Iterator[GateStarted | GateResult | Validation]:
        needed = _with_needs(asked)
        for gate in Gate:
            if gate not in needed:
                continue
            if not self._may_run(gate):
                self.results[gate] = GateResult(gate=gate, outcome=Outcome.SKIPPED)
            else:
                if gate in asked:
                    yield GateStarted(gate)
                self.results[gate] = self._result(gate)
            if gate in asked:
                yield self.results[gate]
        reported = tuple(self.results[gate] for gate in Gate if gate in asked)
        kept = self._passed(Gate.CONTRACT)
        accuracy = self.results.get(Gate.ACCURACY)
        scored = accuracy is not None and accuracy.outcome is not Outcome.SKIPPED
        yield Validation(
            gates=reported,
            passed=all(result.outcome is Outcome.PASSED for result in reported),
            sandbox=layers,
            inputs=self.tensors.inputs if kept else (),
            outputs=self.tensors.outputs if kept else (),
            runtime_version=version("onnxruntime"),
            evaluation_set_digest=(
                self.evaluation_set.digest if scored and self.evaluation_set else ""
            ),
        )

    def _may_run(self, gate: Gate) -> bool:
        if gate is Gate.GRAPH and not (self.candidate.folder / MODEL_FILE).is_file():
            return False  # gate 1 has found that it is missing
        return all(self._passed(other) for other in NEEDS[gate])

    def _passed(self, gate: Gate) -> bool:
        result = self.results.get(gate)
        return result is not None and result.outcome is Outcome.PASSED

    def _result(self, gate: Gate) -> GateResult:
        began = time.monotonic()
        try:
            outcome = self._judges()[gate]()
        except SandboxFailure as failure:
            outcome = GateOutcome((of_failure(gate, failure),))
        return GateResult(
            gate=gate,
            outcome=Outcome.FAILED if outcome.findings else Outcome.PASSED,
            findings=outcome.findings[:MAXIMUM_FINDINGS],
            figures=outcome.figures,
            elapsed_seconds=time.monotonic() - began,
        )

    def _judges(self) -> dict[Gate, Callable[[], GateOutcome]]:
        return {
            Gate.MANIFEST: self._judge_manifest,
            Gate.GRAPH: lambda: graph_gate(self.sandbox, self.candidate),
            Gate.CONTRACT: self._judge_contract,
            Gate.BEHAVIOUR: lambda: behaviour_gate(self.sandbox, self.candidate, self._known()),
            Gate.COST: lambda: cost_gate(
                self.sandbox, self.candidate, self._known(), self.budgets.cost, self.baseline
            ),
            Gate.ACCURACY: self._judge_accuracy,
        }

    def _judge_manifest(self) -> GateOutcome:
        outcome, self.manifest = manifest_gate(self.candidate, self.earlier)
        return outcome

    def _judge_contract(self) -> GateOutcome:
        outcome, self.tensors = contract_gate(
            self.sandbox, self.candidate, self._known(), self.earlier
        )
        return outcome

    def _judge_accuracy(self) -> GateOutcome:
        if self.evaluation_set is None:
            raise AssertionError("checked before the run")
        return accuracy_gate(
            self.sandbox,
            self.candidate,
            self._known(),
            self.budgets.accuracy,
            self.baseline,
            self.evaluation_set,
        )

    def _known(self) -> Manifest:
        if self.manifest is None:
            raise AssertionError("gates that need a manifest run after gate 1 has passed")
        return self.manifest


def _with_needs(gates: frozenset[Gate]) -> frozenset[Gate]:
    """The gates, and all that they need."""
    found: frozenset[Gate] = gates.union(*(NEEDS[gate] for gate in gates))
    return found if found == gates else _with_needs(found)
