"""Gates without a registry: what a publisher's CI runs."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.fakes.models import write_stream_package
from tests.unit.cli.models.running import run
from voiceflow.artifact import Manifest, digest_of


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A sound one."""
    return write_stream_package(tmp_path / "package")


def replace(package: Path, name: str, content: bytes) -> None:
    """Another file, with its digest in the manifest."""
    (package / name).write_bytes(content)
    path = package / "manifest.json"
    manifest = Manifest.from_json(path.read_bytes())
    files = manifest.files | {name: digest_of(content)}
    path.write_text(manifest.model_copy(update={"files": files}).to_json())


def test_a_failed_gate_ends_with_1_and_says_what_to_change(package: Path) -> None:
    """As text and as JSON, with rule, seen and allowed; gates that need it are skipped."""
    graph = onnx.load(package / "model.onnx")
    graph.graph.node[0].domain = "com.example"
    graph.opset_import.append(onnx.helper.make_opsetid("com.example", 1))
    replace(package, "model.onnx", graph.SerializeToString())

    shown = run("validate", "--local", package, "--gates", "graph,contract")
    assert shown.code == 1
    assert [line.split()[0] for line in shown.out.splitlines()[:2]] == ["failed", "skipped"]
    assert "graph.domain" in shown.out
    for word in ("seen:", "allowed:"):
        assert word in shown.out

    told = run("validate", "--local", package, "--gates", "graph", "--json").json_lines
    report = told[-1]["report"]
    assert not report["passed"]
    assert {"rlimits"} <= set(report["sandbox"]["active"])
    (finding,) = report["gates"][0]["findings"]
    assert finding["rule_id"] == "graph.domain"


def test_golden_outputs_that_the_graph_does_not_give_are_found(package: Path) -> None:
    """The model runs, in the sandbox, on this machine."""
    with np.load(package / "golden.npz") as stored:
        arrays = {name: stored[name] for name in stored.files}
    arrays["noise/speech"] = arrays["noise/speech"] + np.float32(0.5)
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    replace(package, "golden.npz", content.getvalue())
    outcome = run("validate", "--local", package, "--gates", "behaviour")
    assert outcome.code == 1
    assert "behaviour.golden" in outcome.out


def test_a_version_number_that_tells_too_little_is_found(package: Path, tmp_path: Path) -> None:
    """Against the earlier version that is given."""
    path = package / "manifest.json"
    manifest = Manifest.from_json(path.read_bytes())
    later = {"version": "1.0.1", "embedding_space": "other-1"}
    path.write_text(Manifest(**(manifest.model_dump() | later)).to_json())
    earlier = write_stream_package(tmp_path / "earlier")
    outcome = run("validate", "--local", package, "--gates", "manifest", "--earlier", earlier)
    assert outcome.code == 1
    assert "manifest.bump-too-small" in outcome.out


def test_what_a_policy_does_not_allow_is_found(package: Path, tmp_path: Path) -> None:
    """Its demanded gates are run, within its budgets."""
    policy = tmp_path / "policy.toml"
    policy.write_text('demanded_gates = ["cost"]\n[cost_budget]\nmodel_size_bytes = 10\n')
    outcome = run("validate", "--local", package, "--policy", policy, "--json")
    assert outcome.code == 1
    gates = outcome.json_lines[-1]["report"]["gates"]
    assert [gate["gate"] for gate in gates] == ["cost"]
    assert [one["rule_id"] for one in gates[0]["findings"]] == ["cost.model-size"]


def test_a_folder_without_a_package_ends_with_3(tmp_path: Path) -> None:
    """Before anything is started."""
    outcome = run("validate", "--local", tmp_path)
    assert outcome.code == 3
    assert "manifest.json" in outcome.err


def test_an_installation_without_the_extra_is_told_what_to_install(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line, with exit code 5."""
    monkeypatch.setitem(sys.modules, "onnx", None)
    outcome = run("validate", "--local", package)
    assert outcome.code == 5
    assert "pip install 'voiceflow[registry]'" in outcome.err


def test_a_sandbox_weaker_than_demanded_runs_nothing(package: Path) -> None:
    """A layer that does not exist is wrong usage."""
    assert run("validate", "--local", package, "--sandbox-floor", "hope").code == 2
