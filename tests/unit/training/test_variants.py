"""Variants of a model say what it says, in other numbers, and are packages of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, numpy_helper

from tests.fakes.models import FRAME_SAMPLES, Spoken, tones, write_window_package
from tests.fakes.networks import MEMORY_FRAMES, network_graph, write_network_package
from training.variants import Claim, Told, Variant, convert, make
from training.variants.eight_bits import to_eight_bits
from training.variants.graph import dense_layers, features, memory
from training.variants.half import to_half
from voiceflow.artifact import Measurement
from voiceflow.errors import PackageInvalid
from voiceflow.onnx import bind
from voiceflow.onnx.golden import _read, reproduce
from voiceflow.package import GOLDEN_FILE, MODEL_FILE, load_package
from voiceflow.packing.graph import FloatArray, Graph

ALLOWED = {Variant.FP16: 0.005, Variant.INT8: 0.06}
"""How far a probability or a vector's number may be from the original's."""

MEASURED = Measurement(
    data_set="tones",
    protocol="p",
    scorer="s",
    der_percent=3.0,
    missed_percent=1.0,
    false_alarm_percent=1.0,
    confusion_percent=1.0,
)


def speech(amplitude: float = 0.3) -> FloatArray:
    """Three seconds of tones over noise, (samples,)."""
    talk = tones(*(Spoken((band, 15 - band), 0.48) for band in range(6)), amplitude=amplitude)
    noise = np.random.default_rng(2).normal(0.0, amplitude / 20, len(talk))
    return (talk + noise).astype(np.float32)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The original's package."""
    return write_network_package(tmp_path_factory.mktemp("base") / "tones")


@pytest.fixture(scope="module")
def original(base: Path) -> onnx.ModelProto:
    """Its graph."""
    return onnx.load(base / MODEL_FILE)


@pytest.fixture(scope="module")
def graphs(original: onnx.ModelProto) -> dict[Variant, onnx.ModelProto]:
    """Of both variants."""
    heard = [speech(), speech(0.01)]
    return {variant: convert(variant, original, heard) for variant in Variant}


def said(
    model: onnx.ModelProto, audio: FloatArray, state: FloatArray | None = None
) -> dict[str, FloatArray]:
    """All outputs for audio, (samples,) or (batch, samples)."""
    graph = Graph(model.SerializeToString())
    audio = np.atleast_2d(audio)
    feeds = {"audio": audio} | graph.zero_state(len(audio))
    return graph.run(feeds if state is None else feeds | {"state.power": state})


@pytest.mark.parametrize("variant", Variant)
@pytest.mark.parametrize("amplitude", [0.3, 0.0005])
def test_a_variant_says_what_the_original_says(
    original: onnx.ModelProto,
    graphs: dict[Variant, onnx.ModelProto],
    variant: Variant,
    amplitude: float,
) -> None:
    """Loud or so quiet that its power is below half precision's smallest numbers."""
    audio = speech(amplitude)
    wanted, seen = said(original, audio), said(graphs[variant], audio)
    assert wanted.keys() == seen.keys()
    for name, value in seen.items():
        assert value.dtype == np.float32
        assert value.shape == wanted[name].shape
        # Memory is measured by its largest number.
        size = max(1.0, float(np.abs(wanted[name]).max()))
        assert np.abs(value - wanted[name]).max() <= ALLOWED[variant] * size, name
    assert np.ptp(seen["activity"]) > 0.1  # it says something


def test_the_parts_of_a_graph_are_found(original: onnx.ModelProto) -> None:
    """Features end with the logarithm, memory is what goes to `next.`, dense layers come after."""
    kinds = {node.output[0]: node.op_type for node in original.graph.node}
    assert [kinds[name] for name in sorted(features(original.graph))].count("MatMul") == 2
    assert {kinds[name] for name in memory(original.graph)} == {"Slice", "Concat", "Add"}
    layers = dense_layers(original.graph)
    shapes = {one.name: tuple(one.dims) for one in original.graph.initializer}
    assert [shapes[layer.input[1]] for layer in layers] == [
        *((16, 256), (256, 16), (16, 256), (256, 16)),
        *((16, 3), (16, 32)),
    ]


def test_dense_layers_are_in_half_and_features_are_not(
    original: onnx.ModelProto, graphs: dict[Variant, onnx.ModelProto]
) -> None:
    """All learned matrices; nothing before the logarithm, remembered, or of the last step."""
    graph = onnx.shape_inference.infer_shapes(graphs[Variant.FP16]).graph
    types = {one.name: one.data_type for one in graph.initializer}
    values = (*graph.value_info, *graph.output)
    types |= {value.name: value.type.tensor_type.elem_type for value in values}
    for layer in dense_layers(graph):
        assert types[layer.input[1]] == types[layer.output[0]] == TensorProto.FLOAT16
    kept = features(original.graph) | memory(original.graph)
    assert {types[name] for name in kept} == {TensorProto.FLOAT}
    last = [node for node in graph.node if node.op_type in {"Sigmoid", "ReduceL2", "Max", "Div"}]
    assert [types[node.output[0]] for node in last] == [TensorProto.FLOAT] * 4
    sources = {node.output[0]: node for node in graph.node}
    assert sources["next.power"].op_type == "Slice"  # and no cast


@pytest.mark.parametrize("variant", Variant)
def test_what_a_stream_remembers_is_not_rounded(
    graphs: dict[Variant, onnx.ModelProto], variant: Variant
) -> None:
    """What came in with the memory goes out with it to the bit, as often as it is handed over."""
    before = np.random.default_rng(3).normal(size=(1, MEMORY_FRAMES, 16)).astype(np.float32)
    after = said(graphs[variant], speech()[:FRAME_SAMPLES], before)["next.power"]
    np.testing.assert_array_equal(after[:, :-1], before[:, 1:])


def test_a_weight_that_half_precision_does_not_hold_is_refused() -> None:
    """It would become infinity."""
    with pytest.raises(ValueError, match="beyond 65504"):
        to_half(onnx.load_from_string(network_graph(scale=1e6)))


def test_inner_dense_layers_multiply_whole_numbers(
    graphs: dict[Variant, onnx.ModelProto],
) -> None:
    """Those with many weights, in 7 bits; the first one and the heads stay."""
    graph = graphs[Variant.INT8].graph
    constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    whole = [value for value in constants.values() if value.dtype == np.int8 and value.ndim == 2]
    assert sorted(value.shape for value in whole) == [(16, 256), (256, 16), (256, 16)]
    assert max(int(np.abs(value).max()) for value in whole) == 64
    kept = sorted(constants[layer.input[1]].shape for layer in dense_layers(graph))
    assert kept == [(16, 3), (16, 32), (16, 256)]


def test_scales_are_fixed(graphs: dict[Variant, onnx.ModelProto]) -> None:
    """A quiet stream's answer is the same to the bit beside a loud one."""
    quiet, loud = speech(0.001), speech(0.9)
    for graph in graphs.values():
        alone = said(graph, quiet)
        beside = said(graph, np.stack([quiet, loud]))
        for name, value in alone.items():
            np.testing.assert_array_equal(beside[name][:1], value, err_msg=name)


def test_eight_bits_need_a_layer_and_something_to_hear(original: onnx.ModelProto) -> None:
    """Without either there is nothing to quantise, or no scale."""
    with pytest.raises(ValueError, match="0 stretches"):
        to_eight_bits(original, [])
    shallow = onnx.ModelProto()
    shallow.CopyFrom(original)
    for constant in shallow.graph.initializer:
        if len(constant.dims) == 2:
            constant.name = f"{constant.name}.gone"  # no matrix that is known
    with pytest.raises(ValueError, match="0 inner dense layers"):
        to_eight_bits(shallow, [speech()])


@pytest.mark.parametrize("variant", Variant)
def test_a_variant_is_a_package_of_its_own(
    base: Path, graphs: dict[Variant, onnx.ModelProto], tmp_path: Path, variant: Variant
) -> None:
    """It loads, binds and reproduces itself; what is not of its numbers is the original's."""
    folder = make(
        variant, base, graphs[variant], tmp_path / "made", Told(Claim.STATE, (MEASURED,), "| 1 |")
    )
    package, before = load_package(folder), load_package(base).manifest
    bind(package)
    reproduce(package)
    after = package.manifest
    assert after.resource_name == f"models/tones-{variant}/versions/{before.version}"
    assert after.measured == (MEASURED,)
    same = after.model_dump(exclude={"model", "measured", "files", "sizes"})
    assert same == before.model_dump(exclude={"model", "measured", "files", "sizes"})
    card = (folder / "README.md").read_text()
    assert before.files[MODEL_FILE] in card
    assert "| 1 |" in card


@pytest.mark.parametrize(
    ("claim", "state", "embedding"),
    [
        (Claim.STATE, "tones-1", "tones-1"),
        (Claim.VECTORS, "tones-1-int8", "tones-1"),
        (Claim.NOTHING, "tones-1-int8", "tones-1-int8"),
    ],
)
def test_a_variant_claims_what_was_seen(
    base: Path,
    graphs: dict[Variant, onnx.ModelProto],
    tmp_path: Path,
    claim: Claim,
    state: str,
    embedding: str,
) -> None:
    """Spaces are the original's only where they mean the same; the card says so, too."""
    folder = make(Variant.INT8, base, graphs[Variant.INT8], tmp_path / "made", Told(claim))
    manifest = load_package(folder).manifest
    assert (manifest.state_space, manifest.embedding_space) == (state, embedding)
    words = {
        Claim.STATE: "move between the two",
        Claim.VECTORS: "does not",
        Claim.NOTHING: "Neither",
    }
    assert words[claim] in " ".join((folder / "README.md").read_text().split())


@pytest.mark.parametrize("variant", Variant)
def test_golden_outputs_hold_in_another_order_of_sums(
    base: Path, graphs: dict[Variant, onnx.ModelProto], tmp_path: Path, variant: Variant
) -> None:
    """A runtime that fuses nothing is within the tolerance that the package states."""
    package = load_package(
        make(variant, base, graphs[variant], tmp_path / "made", Told(Claim.STATE))
    )
    tolerance, cases = _read(package.files[GOLDEN_FILE])
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(package.model_bytes, options, ["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    for case in cases.values():
        feeds = {one.name: case[one.name] for one in session.get_inputs()}
        for name, value in zip(names, session.run(names, feeds), strict=True):
            assert np.abs(value - case[name]).max() <= tolerance


def test_the_same_variant_again_is_the_same_file(
    original: onnx.ModelProto, graphs: dict[Variant, onnx.ModelProto]
) -> None:
    """A version that is published never changes: making it anew must not."""
    for variant, graph in graphs.items():
        again = convert(variant, original, [speech(), speech(0.01)])
        assert again.SerializeToString(deterministic=True) == graph.SerializeToString(
            deterministic=True
        )


def test_a_windowed_model_has_no_variants(
    graphs: dict[Variant, onnx.ModelProto], tmp_path: Path
) -> None:
    """It is refused before anything is written."""
    base = write_window_package(tmp_path / "window")
    with pytest.raises(PackageInvalid, match=r"diarization-window/1\.0") as caught:
        make(Variant.FP16, base, graphs[Variant.FP16], tmp_path / "made", Told(Claim.STATE))
    assert caught.value.reason == "CONTRACT_MISMATCH"
    assert not (tmp_path / "made").exists()
