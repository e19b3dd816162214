"""Packages of known shapes: what they hold, and that they are made of what was published."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.shapes import SHAPES, __main__, build, fast_cnn, transformer, write_package
from benchmarks.shapes.graph import GraphBuilder
from voiceflow.artifact import LatencyMode
from voiceflow.contract import WINDOW_CONTRACT
from voiceflow.errors import PackageInvalid
from voiceflow.onnx import bind
from voiceflow.onnx.golden import reproduce
from voiceflow.package import load_package


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the small convolutional network."""
    folder = tmp_path_factory.mktemp("shapes") / "fast-cnn"
    write_package(SHAPES["fast-cnn"], folder)
    return folder


def test_a_package_keeps_the_contract_of_windows(package: Path) -> None:
    """It loads, gives its golden outputs, and hears a window of 3 s a call."""
    loaded = load_package(package)
    reproduce(loaded)
    assert loaded.manifest.contract == WINDOW_CONTRACT
    assert loaded.manifest.window_samples == 48_000
    assert loaded.manifest.hop_samples == {LatencyMode.DENSITY: 48_000}
    assert bind(loaded).state_shapes == {"window": (48_000,)}


def test_a_windows_answer_is_the_same_bits_in_any_company(package: Path) -> None:
    """Rows are rounded alike, whoever is in the batch: a registry would refuse others."""
    model = bind(load_package(package))
    audio = np.random.default_rng(3).uniform(-0.5, 0.5, (5, 48_000)).astype(np.float32)
    audio[4] = 0.0
    state = {"window": np.zeros_like(audio)}
    together, _ = model.run(audio, state)
    for row in range(len(audio)):
        alone, _ = model.run(audio[row : row + 1], {"window": state["window"][:1]})
        np.testing.assert_array_equal(alone.activity[0], together.activity[row])
        np.testing.assert_array_equal(alone.embedding[0], together.embedding[row])


def test_the_same_shape_is_the_same_bytes() -> None:
    """Weights come from a seed, so that everybody measures the same model."""
    first, second = (build(SHAPES["fast-cnn"]).model.SerializeToString() for _ in range(2))
    assert first == second


@pytest.mark.parametrize("name", ["fast-cnn", "distilhubert"])
def test_shapes_have_the_published_number_of_weights(name: str) -> None:
    """Within a hundredth of it, heads included; the large one is counted below."""
    shape = SHAPES[name]
    assert build(shape).parameters == pytest.approx(shape.published_parameters, rel=0.01)


def test_a_transformer_layer_has_the_published_number_of_weights() -> None:
    """Ten more of them are the difference between DistilHuBERT and Wav2Vec2-base."""
    counts = []
    for layers in (0, 1):
        graph = GraphBuilder(0)
        transformer.add_trunk(graph, "audio", layers)
        counts.append(graph.parameters)
    # Four projections, two layers between 768 and 3072, two norms, and all biases.
    layer = 4 * (768 * 768 + 768) + (768 * 3072 + 3072) + (3072 * 768 + 768) + 4 * 768
    assert counts[1] - counts[0] == layer
    published = SHAPES["wav2vec2-base"].published_parameters
    assert counts[0] + 12 * layer == pytest.approx(published, rel=0.01)


def test_a_frame_is_what_the_strides_come_to() -> None:
    """The small network's steps are 40 ms, so that a window holds 75 of them."""
    strides = [stride for _, _, _, stride, _ in fast_cnn.LAYERS]
    assert np.prod(strides) == fast_cnn.FRAME_SAMPLES


def test_a_hop_that_no_window_holds_is_refused(tmp_path: Path) -> None:
    """A window slides by at most its own length."""
    with pytest.raises(PackageInvalid, match="do not hold a hop"):
        write_package(SHAPES["fast-cnn"], tmp_path / "odd", hop_seconds=4.0)


def test_the_command_says_how_large_the_model_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It writes a package with the hop that was asked for, and prints the counts."""
    folder = tmp_path / "made"
    command = ["shapes", "fast-cnn", "--out", str(folder), "--hop-seconds", "0.48"]
    monkeypatch.setattr(sys, "argv", command)
    __main__.main()
    manifest = load_package(folder).manifest
    assert manifest.hop_samples == {LatencyMode.DENSITY: 7680}
    said = capsys.readouterr().out
    assert "2,300,098 with the heads" in said
    assert f"{manifest.sizes['model.onnx']:,} bytes" in said
