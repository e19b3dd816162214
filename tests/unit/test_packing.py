"""An ONNX file becomes a package; what is stated wrongly, or not, is told with what to change."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from benchmarks.paths import DEFAULT_MODEL
from tests.fakes.models import write_stream_package, write_window_package
from voiceflow.artifact import Manifest
from voiceflow.errors import PackageInvalid
from voiceflow.onnx import bind
from voiceflow.onnx.golden import reproduce
from voiceflow.package import load_package
from voiceflow.packing import UNFINISHED, pack, read_draft

STATED = {
    "model": "tones",
    "version": "1.2.0",
    "licence": "Apache-2.0",
    "look_ahead_frames": 4,
    "context_seconds": 0.4,
}
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stateful graph."""
    return write_stream_package(tmp_path_factory.mktemp("stream")) / "model.onnx"


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A windowed graph."""
    return write_window_package(tmp_path_factory.mktemp("window")) / "model.onnx"


def refusal(graph: Path, folder: Path, /, **stated: Any) -> PackageInvalid:
    """Why this is not packed; a field that is None is not stated."""
    with pytest.raises(PackageInvalid) as caught:
        pack(graph, STATED | stated, folder=folder)
    return caught.value


def test_what_is_packed_loads_binds_and_reproduces_itself(
    stream: Path, window: Path, tmp_path: Path
) -> None:
    """Both contracts: the package is complete and its graph gives the golden outputs."""
    for model in (stream, window):
        packed = pack(model, STATED, folder=tmp_path / model.parent.name)
        package = load_package(packed.folder)
        bind(package)
        reproduce(package)
        assert package.manifest == packed.manifest
        assert packed.manifest.sizes == {
            name: len(content) for name, content in package.files.items()
        }


def test_what_the_graph_tells_need_not_be_stated(
    stream: Path, window: Path, tmp_path: Path
) -> None:
    """Contract, tracks, embedding, frame and window come from running it."""
    told = ("contract", "tracks", "embedding_dim", "frame_samples", "window_samples")
    stateful = pack(stream, STATED, folder=tmp_path / "a").manifest
    assert [getattr(stateful, field) for field in told] == [
        *("diarization-stream/1.0", 2, 16, 640),
        None,
    ]
    windowed = pack(window, STATED, folder=tmp_path / "b").manifest
    assert [getattr(windowed, field) for field in told] == [
        *("diarization-window/1.0", 2, 16, 640),
        48_000,
    ]


def test_the_default_model_is_recognised(tmp_path: Path) -> None:
    """Its manifest says of it what its graph tells, and is a draft of itself."""
    source = DEFAULT_MODEL
    stated = read_draft(source / "manifest.json")
    packed = pack(source / "model.onnx", stated, folder=tmp_path, card=source / "README.md")
    before = Manifest.from_json((source / "manifest.json").read_bytes())
    assert packed.assumed == ()
    made = {"files", "sizes"}
    assert packed.manifest.model_dump(exclude=made) == before.model_dump(exclude=made)
    assert packed.manifest.sizes["model.onnx"] == before.sizes["model.onnx"]
    reproduce(load_package(tmp_path))


def test_packing_twice_gives_the_same_bytes(stream: Path, tmp_path: Path) -> None:
    """So that publishing again finds the version that is there."""
    one, two = (pack(stream, STATED, folder=tmp_path / name).folder for name in "ab")
    for path in one.iterdir():
        assert path.read_bytes() == (two / path.name).read_bytes(), path.name


def test_golden_vectors_hold_silence_noise_and_the_middle_of_a_stream(
    stream: Path, tmp_path: Path
) -> None:
    """With every input and output, memory that is not zero, and the stated tolerance."""
    packed = pack(stream, STATED, folder=tmp_path, tolerance=0.25)
    content = (packed.folder / "golden.npz").read_bytes()
    with np.load(io.BytesIO(content)) as stored:
        arrays = {name: stored[name] for name in stored.files}
    assert arrays.pop("tolerance") == np.float32(0.25)
    cases = {name.partition("/")[0] for name in arrays}
    assert cases == {"silence", "start", "middle", "noise", "ramp", "shortest"}
    assert not arrays["silence/audio"].any()
    assert arrays["middle/state.power"].any()
    assert arrays["noise/audio"].shape == (2, 7680)
    assert arrays["shortest/audio"].shape == (1, 1280)


def test_everything_that_is_missing_is_named_at_once(stream: Path, tmp_path: Path) -> None:
    """With the option that states it."""
    error = refusal(stream, tmp_path, licence=None, look_ahead_frames=None, model=None)
    assert error.reason == "MANIFEST_INCOMPLETE"
    for word in ("--model", "--licence", "--look-ahead-frames"):
        assert word in error.message


def test_a_window_is_the_context_of_a_windowed_model(window: Path, tmp_path: Path) -> None:
    """It hears nothing else."""
    stated = {name: value for name, value in STATED.items() if name != "context_seconds"}
    assert pack(window, stated, folder=tmp_path).manifest.context_seconds == 3.0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tracks", 1),
        ("embedding_dim", 128),
        ("frame_samples", 320),
        ("window_samples", 48_000),
        ("contract", "diarization-window/1.0"),
    ],
)
def test_what_contradicts_the_graph_is_refused(
    stream: Path, tmp_path: Path, field: str, value: object
) -> None:
    """The message says what the graph has, and what to change."""
    error = refusal(stream, tmp_path, **{field: value})
    # Audio that holds half frames does not even run.
    assert error.reason in {"MANIFEST_CONTRADICTED", "MANIFEST_INCOMPLETE"}
    assert error.field == field
    assert not (tmp_path / "manifest.json").exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", "1.2"),
        ("version", "1.2.0+build"),
        ("model", "Tones"),
        ("hop_samples", {"density": 7000}),
        ("operating_point", {"speech_threshold": 2}),
        ("sample_rate_hertz", 8000),
    ],
)
def test_what_breaks_the_schema_is_refused_by_its_field(
    stream: Path, tmp_path: Path, field: str, value: object
) -> None:
    """Before anything is written."""
    error = refusal(stream, tmp_path, **{field: value})
    assert error.reason == "MANIFEST_INVALID"
    assert field in (error.field or "") + error.message
    assert list(tmp_path.iterdir()) == []


def test_spaces_claim_no_more_than_the_version_number(stream: Path, tmp_path: Path) -> None:
    """A new major number names another embedding space, a new minor another state space."""
    spaces = {}
    for version in ("1.2.0", "1.2.1", "1.3.0", "2.0.0-rc.1"):
        packed = pack(stream, STATED | {"version": version}, folder=tmp_path / version)
        spaces[version] = (packed.manifest.embedding_space, packed.manifest.state_space)
        assert {"embedding_space", "state_space"} <= {one.field for one in packed.assumed}
    assert spaces == {
        "1.2.0": ("tones-1", "tones-1.2"),
        "1.2.1": ("tones-1", "tones-1.2"),
        "1.3.0": ("tones-1", "tones-1.3"),
        "2.0.0-rc.1": ("tones-2", "tones-2.0"),
    }


def test_a_card_that_nobody_wrote_says_what_to_fill_in(stream: Path, tmp_path: Path) -> None:
    """What is written into it stays when the package is made again, with its new digest."""
    packed = pack(stream, STATED, folder=tmp_path)
    card = tmp_path / "README.md"
    assert packed.unfinished_card
    assert UNFINISHED in card.read_text()
    card.write_text("# Tones\n\nHears tones.\n")
    again = pack(stream, STATED, folder=tmp_path)
    assert not again.unfinished_card
    assert load_package(tmp_path).files["README.md"] == b"# Tones\n\nHears tones.\n"


def test_measurements_of_another_model_file_are_left_out(stream: Path, tmp_path: Path) -> None:
    """A manifest of an earlier version is a draft, but its error rates belong to its weights."""
    measured = {
        "data_set": "d",
        "protocol": "p",
        "scorer": "s",
        "der_percent": 1.0,
        "missed_percent": 1.0,
        "false_alarm_percent": 0.0,
        "confusion_percent": 0.0,
    }
    first = pack(stream, STATED | {"measured": [measured]}, folder=tmp_path / "first")
    draft = read_draft(first.folder / "manifest.json")
    same = pack(stream, draft | {"version": "1.2.1"}, folder=tmp_path / "same")
    assert same.manifest.measured == first.manifest.measured

    graph = onnx.load(stream)
    graph.doc_string = "other bytes"
    other_file = tmp_path / "other.onnx"
    onnx.save(graph, other_file)
    other = pack(other_file, draft | {"version": "1.3.0"}, folder=tmp_path / "other")
    assert other.manifest.measured == ()
    told = {one.field: one.value for one in other.assumed}
    assert told["measured"] == "none"
    assert told["embedding_space"] == first.manifest.embedding_space
    assert told["state_space"] == first.manifest.state_space


def test_a_signature_goes_with_the_manifest_that_it_is_over(stream: Path, tmp_path: Path) -> None:
    """Packing the same again leaves it; another manifest has to be signed anew."""
    folder = pack(stream, STATED, folder=tmp_path).folder
    signature = folder / "manifest.dsse.json"
    signature.write_bytes(b"{}")
    pack(stream, STATED, folder=tmp_path)
    assert signature.exists()
    pack(stream, STATED | {"licence": "MIT"}, folder=tmp_path)
    assert not signature.exists()


def test_a_folder_of_another_version_is_not_written_over(stream: Path, tmp_path: Path) -> None:
    """Neither is any file in it touched."""
    pack(stream, STATED, folder=tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert refusal(stream, tmp_path, version="1.2.1").reason == "FOLDER_TAKEN"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_graph_of_no_contract_is_told_what_it_lacks(stream: Path, tmp_path: Path) -> None:
    """For each contract, by the names of tensors."""
    graph = onnx.load(stream)
    graph.graph.output[0].name = "voice"
    graph.graph.node.append(helper.make_node("Identity", ["speech"], ["voice"]))
    path = tmp_path / "model.onnx"
    onnx.save(graph, path)
    error = refusal(path, tmp_path / "out")
    assert error.reason == "CONTRACT_MISMATCH"
    assert "lacks speech and has voice besides" in error.message


def test_a_graph_that_gives_nan_is_not_packed(stream: Path, tmp_path: Path) -> None:
    """It would be refused by every gate that runs it."""
    graph = onnx.load(stream)
    (node,) = (one for one in graph.graph.node if "speech" in one.output)
    node.output[0] = "speech.finite"
    nothing = helper.make_node("Sub", ["speech.finite", "speech.finite"], ["nothing"])
    graph.graph.node.extend([nothing, helper.make_node("Div", ["nothing", "nothing"], ["speech"])])
    path = tmp_path / "model.onnx"
    onnx.save(graph, path)
    assert refusal(path, tmp_path / "out").reason == "GOLDEN_NOT_FINITE"


def test_what_is_no_graph_is_refused(tmp_path: Path) -> None:
    """Empty, garbage, and not there."""
    path = tmp_path / "model.onnx"
    for content in (b"", b"garbage"):
        path.write_bytes(content)
        assert refusal(path, tmp_path / "out").reason in {"GRAPH_REFUSED", "CONTRACT_MISMATCH"}
    assert refusal(tmp_path / "none.onnx", tmp_path / "out").reason == "FILE_MISSING"


@pytest.mark.parametrize("suffix", ["toml", "json", "yaml", "yml"])
def test_a_draft_is_toml_json_or_yaml(tmp_path: Path, suffix: str) -> None:
    """All three say the same."""
    stated = {"model": "tones", "operating_point": {"speech_threshold": 0.5}}
    texts = {
        "toml": 'model = "tones"\n[operating_point]\nspeech_threshold = 0.5\n',
        "json": json.dumps(stated),
    }
    path = tmp_path / f"draft.{suffix}"
    path.write_text(texts.get(suffix, "model: tones\noperating_point: {speech_threshold: 0.5}\n"))
    assert read_draft(path) == stated


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("a.toml", "model = ", "cannot be read"),
        ("a.json", "{", "cannot be read"),
        ("a.yaml", "a: [", "cannot be read"),
        ("a.yaml", "- 1", "no table"),
        ("a.toml", 'modell = "tones"', "modell"),
        ("a.txt", "", "ends with none"),
    ],
)
def test_a_draft_that_cannot_be_used_says_why(
    tmp_path: Path, name: str, text: str, word: str
) -> None:
    """With its path; a field misspelt is not passed over."""
    (tmp_path / name).write_text(text)
    with pytest.raises(PackageInvalid, match=word) as caught:
        read_draft(tmp_path / name)
    assert caught.value.reason == "DRAFT_INVALID"
    assert name in caught.value.message
