"""Publishing with the real gates: what they find is why a version is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.fakes.memory_store import MemoryStore
from tests.fakes.models import write_stream_package
from tests.fakes.publishing import PUBLISHER, Package, Replica
from voiceflow.artifact import Manifest, digest_of
from voiceflow.catalog.channels import ChannelPolicy
from voiceflow.catalog.gates import CostBudget, Gate, Outcome, ValidationReport
from voiceflow.catalog.names import ChannelName
from voiceflow.errors import NotAllowedNow
from voiceflow.validation.sandbox import Sandbox
from voiceflow.validation.validator import Validator

CHANNEL = ChannelName("tones", "stable")


@pytest.fixture(scope="module")
def validator() -> Iterator[Validator]:
    """The real gates, in the real sandbox."""
    with Sandbox() as sandbox:
        yield Validator(sandbox)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """A small real model, version 1.0.0."""
    folder = write_stream_package(tmp_path_factory.mktemp("model"))
    manifest = (folder / "manifest.json").read_bytes()
    files = Manifest.from_json(manifest).files
    return Package(manifest, {file: (folder / file).read_bytes() for file in files})


def changed(model: Package, files: dict[str, bytes] | None = None, **fields: object) -> Package:
    """The same with other fields and files."""
    contents = dict(model.files) | (files or {})
    manifest = json.loads(model.manifest) | fields
    manifest["files"] = {file: digest_of(content) for file, content in contents.items()}
    manifest["sizes"] = {file: len(content) for file, content in contents.items()}
    return Package(json.dumps(manifest).encode(), contents)


def test_a_real_model_is_published_compared_and_validated(
    validator: Validator, model: Package
) -> None:
    """Tensors are known afterwards, and a channel's demands can be met."""
    replica = Replica(MemoryStore(), gates=validator)
    published = replica.publish(model)
    assert published.report.passed
    assert published.report.runtime_version
    assert "rlimits" in published.report.sandbox.active
    record = replica.versions.record(model.name)
    assert {tensor.name for tensor in record.inputs} == {"audio", "state.power"}

    later = changed(model, version="1.0.1")
    replica.publish(later)
    assert replica.versions.diff(later.name, None).sufficient

    policy = ChannelPolicy(
        name=CHANNEL.policy,
        demanded_gates=(Gate.BEHAVIOUR, Gate.COST),
        cost_budget=CostBudget(model_size_bytes=10 << 20),
    )
    *_, report = replica.validations.run(
        PUBLISHER,
        later.name,
        gates=(),
        policy=policy,
        channel=CHANNEL,
        baseline=model.name,
        request_id="",
    )
    assert isinstance(report, ValidationReport)
    assert [result.gate for result in report.gates] == [Gate.BEHAVIOUR, Gate.COST]
    assert all(result.outcome is Outcome.PASSED for result in report.gates), report.gates
    assert report.baseline_version == str(model.name)
    passed = replica.validations.passed(
        replica.versions.record(later.name), policy=policy, channel=CHANNEL
    )
    assert passed == set(Gate) - {Gate.ACCURACY}


def test_each_refusal_names_its_rule(validator: Validator, model: Package) -> None:
    """A number that promises too much, and bytes that are no model."""
    replica = Replica(MemoryStore(), gates=validator)
    replica.publish(model)
    with pytest.raises(NotAllowedNow) as caught:
        replica.publish(changed(model, version="1.0.1", embedding_space="tones-2"))
    assert caught.value.reason == "BUMP_TOO_SMALL"
    assert [(one.kind, one.subject) for one in caught.value.violations] == [
        ("manifest.bump-too-small", "embedding_space")
    ]
    assert "2.0.0 or higher" in caught.value.violations[0].description
    with pytest.raises(NotAllowedNow) as caught:
        replica.publish(changed(model, {"model.onnx": b"PK\x03\x04 no model"}, version="2.0.0"))
    assert caught.value.reason == "GATES_NOT_PASSED"
    assert all(one.kind.startswith("graph.") for one in caught.value.violations)
    with pytest.raises(NotAllowedNow):
        replica.publish(
            changed(model, version="1.0.1", embedding_space="tones-2"), validate_only=True
        )
