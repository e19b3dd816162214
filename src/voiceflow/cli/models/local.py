"""Runs the gates on this machine, without a registry: for a publisher's desk and CI.

Needs what validates models, `voiceflow[registry]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import click

from voiceflow.catalog.channels import ChannelPolicy
from voiceflow.catalog.gates import Gate, GateResult
from voiceflow.catalog.names import VersionName
from voiceflow.cli.models.gates import GatesView
from voiceflow.cli.models.operating import policy_fields, policy_of
from voiceflow.cli.printing import as_data, print_json_line
from voiceflow.client.registry import open_package
from voiceflow.difference import Described
from voiceflow.errors import InvalidInput, NotServed, PackageInvalid
from voiceflow.evaluation import EvaluationSet
from voiceflow.package import read_manifest
from voiceflow.validation.sandbox import DEFAULT_FLOOR, Layer, Sandbox
from voiceflow.validation.validator import Validator
from voiceflow.validation.values import (
    Baseline,
    Budgets,
    Candidate,
    Earlier,
    GateStarted,
    Validation,
)


def run_locally(
    view: GatesView,
    folder: Path,
    *,
    gates: Sequence[Gate],
    baseline: Path | None,
    earlier: Sequence[Path],
    evaluation_set: Path | None,
    policy: Path | None,
    floor: str | None,
    as_json: bool,
) -> bool:
    """Runs a package through the gates.

    Args:
        view: Shows them.
        folder: Of the package; nothing in it is believed.
        gates: Which; none: those that the policy demands, or all that can be run.
        baseline: Package that cost and accuracy are compared with.
        earlier: Packages of earlier versions.
        evaluation_set: Folder of labelled conversations.
        policy: File that states budgets and demanded gates.
        floor: Layers that must hold the model, joined by commas.
        as_json: End with the report as a line of JSON.

    Returns:
        Whether all of them have passed.

    Raises:
        NotServed: EXTRA_MISSING: this installation cannot run gates.
        NotAllowedNow: SANDBOX_TOO_WEAK, EVALUATION_SET_MISSING.
        PackageInvalid: There is no manifest, or an earlier package is not whole.
    """
    _check_extra()
    rules = _policy(policy)
    conversations = EvaluationSet.open(evaluation_set) if evaluation_set else None
    asked = tuple(gates) or rules.demanded_gates or _runnable(conversations)
    candidate = Candidate(_manifest(folder), folder)
    with Sandbox(floor=_floor(floor)) as sandbox:
        validator = Validator(sandbox, evaluation_set=conversations)
        events = validator.run(
            candidate,
            gates=asked,
            budgets=Budgets(rules.cost_budget, rules.accuracy_budget),
            earlier=[_earlier(validator, path) for path in earlier],
            baseline=_baseline(baseline) if baseline else None,
        )
        for event in events:
            match event:
                case GateStarted():
                    view.started(event.gate)
                case GateResult():
                    view.ended(event)
                case Validation():
                    validation = event
    if as_json:
        print_json_line({"report": _report(validation)})
    elif validation.sandbox.missing:
        click.echo(f"layers missing here: {', '.join(validation.sandbox.missing)}", err=True)
    return validation.passed


def _check_extra() -> None:
    """A library that only the sandbox's processes import is missed before they are started."""
    if find_spec("onnx") is None:
        raise NotServed(
            "onnx is not installed; running gates here needs: pip install 'voiceflow[registry]'",
            reason="EXTRA_MISSING",
        )


def _runnable(conversations: EvaluationSet | None) -> tuple[Gate, ...]:
    if conversations is None:
        click.echo("accuracy is left out: it needs --evaluation-set", err=True)
        return tuple(gate for gate in Gate if gate is not Gate.ACCURACY)
    return tuple(Gate)


def _policy(path: Path | None) -> ChannelPolicy:
    """What is allowed; without a policy, any cost and any error rate."""
    return policy_of(_NOWHERE, policy_fields(path), path) if path else ChannelPolicy(name=_NOWHERE)


_NOWHERE: Final = "models/local/channels/local/policy"


def _floor(text: str | None) -> frozenset[Layer]:
    if text is None:
        return DEFAULT_FLOOR
    words = {word.strip() for word in text.split(",") if word.strip()}
    unknown = sorted(words - set(Layer))
    if unknown:
        raise click.BadParameter(
            f"{unknown[0]!r} is no layer; layers are {', '.join(Layer)}",
            param_hint="--sandbox-floor",
        )
    return frozenset(Layer(word) for word in words)


def _manifest(folder: Path) -> bytes:
    """The manifest's bytes; one that is too large or broken is for gate 1 to find."""
    try:
        return read_manifest(folder)
    except PackageInvalid as error:
        if error.reason == "FILE_TOO_LARGE":
            return (folder / "manifest.json").read_bytes()
        raise


def _earlier(validator: Validator, folder: Path) -> Earlier:
    """An earlier version, with the tensors that its graph has: seen in the sandbox, too."""
    package = open_package(folder)
    candidate = Candidate(package.content, folder)
    *_, last = validator.run(candidate, gates=(Gate.CONTRACT,))
    if not isinstance(last, Validation) or not last.passed:
        raise InvalidInput(
            f"{folder}: the earlier version itself does not keep its contract",
            reason="EARLIER_INVALID",
            field="earlier",
        )
    name = VersionName.parse(package.manifest.resource_name)
    described = Described(name, package.manifest, last.inputs, last.outputs)
    return Earlier(described, lambda: folder)


def _baseline(folder: Path) -> Baseline:
    package = open_package(folder)
    return Baseline(package.manifest.resource_name, package.content, folder)


def _report(validation: Validation) -> dict[str, object]:
    return {
        "passed": validation.passed,
        "gates": [as_data(result) for result in validation.gates],
        "sandbox": as_data(validation.sandbox),
        "runtime_version": validation.runtime_version,
        "evaluation_set_digest": validation.evaluation_set_digest,
    }
