"""Gate 3: tensors are the contract's, the number tells of them, and claimed spaces hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes import bad_models
from tests.fakes.models import write_stream_package, write_window_package
from tests.unit.validation.here import Here
from tests.unit.validation.packages import candidate, earlier, manifest_of, put
from voiceflow.catalog.gates import Finding
from voiceflow.contract import TensorSignature
from voiceflow.validation import Earlier
from voiceflow.validation.gates.contract import Tensors, contract_gate
from voiceflow.validation.values import GateOutcome

STATE = TensorSignature("state.power", "float32", (None, 5, 16))


def judged(here: Here, folder: Path, *known: Earlier) -> tuple[GateOutcome, Tensors]:
    """What the gate says of a package."""
    return contract_gate(here, candidate(folder), manifest_of(folder), known)


def findings(here: Here, folder: Path, *known: Earlier) -> tuple[Finding, ...]:
    """What the gate finds of a package."""
    return judged(here, folder, *known)[0].findings


def test_both_contracts_can_be_kept(here: Here, tmp_path: Path) -> None:
    """The tensors are told as ONNX Runtime has them."""
    stream, seen = judged(here, write_stream_package(tmp_path / "stream"))
    window, _ = judged(here, write_window_package(tmp_path / "window"))
    assert stream.findings == window.findings == ()
    assert STATE in seen.inputs
    assert TensorSignature("next.power", "float32", (None, 5, 16)) in seen.outputs


@pytest.mark.parametrize(
    ("change", "tensor"),
    [
        ("name", "speech"),
        ("dtype", "speech"),
        ("rank", "speech"),
        ("state", "state.power"),
        ("pair", "next.power"),
        ("extra", "gain"),
    ],
)
def test_a_tensor_that_breaks_the_contract_is_named(
    here: Here, tmp_path: Path, change: str, tensor: str
) -> None:
    """Wrong name, type, rank or dynamic dimension, no partner, or one too many (R12)."""
    folder = write_stream_package(tmp_path)
    put(folder, "model.onnx", bad_models.other_tensors(change))
    found = findings(here, folder)
    assert {finding.rule_id for finding in found} == {"contract.signature"}
    assert tensor in {finding.subject for finding in found}


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"garbage", b"\x08\x08"])
def test_what_the_runtime_does_not_load_is_refused(
    here: Here, tmp_path: Path, content: bytes
) -> None:
    """Empty, an archive, garbage, half a graph (R16)."""
    folder = write_stream_package(tmp_path)
    put(folder, "model.onnx", content)
    assert [finding.rule_id for finding in findings(here, folder)] == ["contract.refused"]


def test_tensors_that_changed_demand_a_major_version(here: Here, tmp_path: Path) -> None:
    """They are compared with those of the newest earlier version."""
    old = write_stream_package(tmp_path / "old", "1.0.0")
    _, seen = judged(here, old)
    inputs = tuple(
        TensorSignature(STATE.name, "float32", (None, 4, 16)) if tensor == STATE else tensor
        for tensor in seen.inputs
    )
    known = earlier(old, inputs=inputs, outputs=seen.outputs)
    minor = write_stream_package(tmp_path / "minor", "1.1.0", state_space="tones-2")
    major = write_stream_package(tmp_path / "major", "2.0.0", state_space="tones-2")
    (finding,) = findings(here, minor, known)
    assert (finding.rule_id, finding.subject) == ("contract.bump-too-small", "state.power")
    assert findings(here, major, known) == ()


def test_other_changes_are_gate_one_s_matter(here: Here, tmp_path: Path) -> None:
    """A number too low for the manifest's changes is told once."""
    old = write_stream_package(tmp_path / "old", "1.0.0")
    _, seen = judged(here, old)
    known = earlier(old, inputs=seen.inputs, outputs=seen.outputs)
    new = write_stream_package(
        tmp_path / "new", "1.0.1", state_space="tones-2", embedding_space="tones-2"
    )
    assert findings(here, new, known) == ()


def test_claims_that_hold_pass_with_figures(here: Here, tmp_path: Path) -> None:
    """The same graph under another number has the same spaces."""
    old, new = (write_stream_package(tmp_path / v, v) for v in ("1.0.0", "1.0.1"))
    outcome, _ = judged(here, new, earlier(old))
    assert outcome.findings == ()
    assert {figure.name: figure.value for figure in outcome.figures} == {
        "state_space_probability_difference": 0.0,
        "state_space_cosine": pytest.approx(1.0),
        "embedding_space_cosine": pytest.approx(1.0),
    }


def test_a_state_space_that_is_not_shared_is_refused(here: Here, tmp_path: Path) -> None:
    """The memory has the same shape and means something else."""
    old = write_stream_package(tmp_path / "old", "1.0.0")
    new = write_stream_package(tmp_path / "new", "1.1.0", graph=bad_models.other_state())
    assert [finding.rule_id for finding in findings(here, new, earlier(old))] == [
        "contract.state-space"
    ]


def test_state_of_another_shape_cannot_be_carried(here: Here, tmp_path: Path) -> None:
    """A claim on it is refused; it is not a failure of the gate."""
    old = write_window_package(tmp_path / "old", "1.0.0", embedding_space="tones-0")
    stated = manifest_of(old).model_copy(update={"state_space": "tones-1"})
    known = earlier(old)
    known = Earlier(type(known.described)(known.described.name, stated), known.fetch)
    new = write_stream_package(tmp_path / "new", "2.0.0")
    assert [finding.rule_id for finding in findings(here, new, known)] == ["contract.state-space"]


def test_an_embedding_space_that_is_not_shared_is_refused(here: Here, tmp_path: Path) -> None:
    """The vectors have the same length and mean something else."""
    old = write_stream_package(tmp_path / "old", "1.0.0")
    new = write_stream_package(
        tmp_path / "new", "1.1.0", graph=bad_models.other_vectors(), state_space="tones-2"
    )
    assert [finding.rule_id for finding in findings(here, new, earlier(old))] == [
        "contract.embedding-space"
    ]


def test_a_space_of_its_own_is_not_compared(here: Here, tmp_path: Path) -> None:
    """Whoever claims nothing need prove nothing: the earlier version is not even fetched."""
    old = earlier(write_stream_package(tmp_path / "old", "1.0.0"))

    def fetch() -> Path:
        raise AssertionError

    new = write_stream_package(
        tmp_path / "new", "2.0.0", state_space="tones-2", embedding_space="tones-2"
    )
    outcome, _ = judged(here, new, Earlier(old.described, fetch))
    assert outcome == GateOutcome()


def test_versions_with_other_look_ahead_are_compared_at_the_same_audio(
    here: Here, tmp_path: Path
) -> None:
    """A frame that is told later is still the same frame."""
    old = write_window_package(tmp_path / "old", "1.0.0", look_ahead_frames=10)
    new = write_window_package(tmp_path / "new", "2.0.0")
    outcome, _ = judged(here, new, earlier(old))
    assert outcome.findings == ()
    (figure,) = outcome.figures
    assert figure.value >= 0.9
