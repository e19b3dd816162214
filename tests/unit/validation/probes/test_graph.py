"""Gate 2 lets through what exporters of speech models make, and names what it refuses."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.paths import DEFAULT_MODEL
from tests.fakes import bombs
from tests.fakes.bombs import constant, model, value
from tests.fakes.models import write_stream_package, write_window_package
from voiceflow.onnx.runtime import open_session
from voiceflow.package import MODEL_FILE
from voiceflow.validation.probes import graph, graph_operators, graph_rules
from voiceflow.validation.rules import RULES

ROOT = Path(__file__).resolve().parents[4]
RANDOM = np.random.default_rng(0)


def answer_for(content: bytes, folder: Path) -> dict[str, Any]:
    """What the probe answers for a file."""
    path = folder / MODEL_FILE
    path.write_bytes(content)
    with path.open("rb") as file:
        answer = graph.probe({MODEL_FILE: file}, {})(None)
    assert isinstance(answer, dict)
    return answer


def weights(name: str, *shape: int, dtype: type = np.float32) -> TensorProto:
    """Random numbers between -1 and 1, or small whole ones."""
    if np.issubdtype(dtype, np.integer):
        return numpy_helper.from_array(RANDOM.integers(0, 8, shape).astype(dtype), name)
    return numpy_helper.from_array(RANDOM.uniform(-1, 1, shape).astype(dtype), name)


def convolution() -> onnx.ModelProto:
    """A strided convolution, layer normalization, GELU, a pooled gate."""
    nodes = [
        helper.make_node("Conv", ["x", "kernel", "bias"], ["c"], strides=[2], pads=[1, 1]),
        helper.make_node("Transpose", ["c"], ["t"], perm=[0, 2, 1]),
        helper.make_node("LayerNormalization", ["t", "scale", "shift"], ["n"], axis=-1),
        helper.make_node("Erf", ["n"], ["e"]),
        helper.make_node("ReduceMean", ["n"], ["m"], axes=[1], keepdims=1),
        helper.make_node("Sigmoid", ["m"], ["g"]),
        helper.make_node("Mul", ["e", "g"], ["y"]),
    ]
    stored = [weights("kernel", 8, 4, 3), weights("bias", 8), weights("scale", 8)]
    return model(
        nodes,
        initializers=[*stored, weights("shift", 8)],
        inputs=[value("x", "batch", 4, "time")],
        outputs=[value("y", "batch", "frames", 8)],
    )


def recurrent() -> onnx.ModelProto:
    """A GRU and an LSTM whose memory goes in and comes out."""
    nodes = [
        helper.make_node("GRU", ["x", "w", "r", "", "", "h"], ["g", "hn"], hidden_size=6),
        helper.make_node("Squeeze", ["g", "one"], ["s"]),
        helper.make_node("LSTM", ["s", "lw", "lr"], ["l", "", ""], hidden_size=6),
        helper.make_node("Squeeze", ["l", "one"], ["y"]),
    ]
    stored = [
        weights("w", 1, 18, 4),
        weights("r", 1, 18, 6),
        weights("lw", 1, 24, 6),
        weights("lr", 1, 24, 6),
        constant("one", [1], np.int64),
    ]
    return model(
        nodes,
        initializers=stored,
        inputs=[value("x", "time", "batch", 4), value("h", 1, "batch", 6)],
        outputs=[value("y", "time", "batch", 6), value("hn", 1, "batch", 6)],
    )


def attention() -> onnx.ModelProto:
    """Causal self-attention as torch writes it: shapes computed, a mask of minus infinity."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "index"], ["length"]),
        helper.make_node("Unsqueeze", ["length", "zero"], ["length1"]),
        helper.make_node("Concat", ["length1", "length1"], ["square"], axis=0),
        helper.make_node("ConstantOfShape", ["square"], ["mask"], value=constant("", [-np.inf])),
        helper.make_node("Trilu", ["mask", "above"], ["future"], upper=1),
        helper.make_node("MatMul", ["x", "wq"], ["q"]),
        helper.make_node("MatMul", ["x", "wk"], ["k"]),
        helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["q", "kt"], ["scores"]),
        helper.make_node("Add", ["scores", "future"], ["masked"]),
        helper.make_node("Softmax", ["masked"], ["p"], axis=-1),
        helper.make_node("Einsum", ["p", "x"], ["y"], equation="bij,bjd->bid"),
    ]
    stored = [
        weights("wq", 4, 4),
        weights("wk", 4, 4),
        constant("index", 1, np.int64),
        constant("zero", [0], np.int64),
        constant("above", 1, np.int64),
    ]
    ends = [value("x", "batch", "time", 4)], [value("y", "batch", "time", 4)]
    return model(nodes, initializers=stored, inputs=ends[0], outputs=ends[1])


def front_end() -> onnx.ModelProto:
    """Log-mel features from a short-time Fourier transform, and from one written as products."""
    nodes = [
        helper.make_node("HannWindow", ["size"], ["window"]),
        helper.make_node("STFT", ["x", "step", "window"], ["f"], onesided=1),
        helper.make_node("Mul", ["f", "f"], ["squares"]),
        helper.make_node("ReduceSum", ["squares", "last"], ["power"], keepdims=0),
        helper.make_node("MelWeightMatrix", ["bands", "size", "rate", "low", "high"], ["mel"]),
        helper.make_node("MatMul", ["power", "mel"], ["bank"]),
        helper.make_node("Max", ["bank", "floor"], ["floored"]),
        helper.make_node("Log", ["floored"], ["y"]),
    ]
    stored = [
        constant("size", 400, np.int64),
        constant("step", 160, np.int64),
        constant("last", [-1], np.int64),
        constant("bands", 80, np.int64),
        constant("rate", 16_000, np.int64),
        constant("low", 20.0),
        constant("high", 7600.0),
        constant("floor", 1e-10),
    ]
    return model(
        nodes,
        initializers=stored,
        inputs=[value("x", "batch", "samples", 1)],
        outputs=[value("y", "batch", "frames", 80)],
    )


def quantized() -> onnx.ModelProto:
    """INT8 in both ways: quantize-dequantize pairs, and integer products."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w8", "s", "z"], ["wd"]),
        helper.make_node("MatMul", ["xd", "wd"], ["first"]),
        helper.make_node("DynamicQuantizeLinear", ["first"], ["fq", "fs", "fz"]),
        helper.make_node("MatMulInteger", ["fq", "w8", "fz", "z"], ["i"]),
        helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["f", "fs"], ["y"]),
    ]
    stored = [
        weights("w8", 4, 4, dtype=np.uint8),
        constant("s", 0.02),
        constant("z", 128, np.uint8),
    ]
    ends = [value("x", "batch", 4)], [value("y", "batch", 4)]
    return model(nodes, initializers=stored, inputs=ends[0], outputs=ends[1])


def half_precision() -> onnx.ModelProto:
    """FP16 inside, float32 at its ends."""
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
        helper.make_node("Gemm", ["h", "w", "b"], ["g"], transB=1),
        helper.make_node("Cast", ["g"], ["y"], to=TensorProto.FLOAT),
    ]
    stored = [weights("w", 4, 4, dtype=np.float16), weights("b", 4, dtype=np.float16)]
    ends = [value("x", "batch", 4)], [value("y", "batch", 4)]
    return model(nodes, initializers=stored, inputs=ends[0], outputs=ends[1])


def choosing() -> onnx.ModelProto:
    """A branch, as torch writes a squeeze of an axis that may not be 1."""
    yes = helper.make_graph([helper.make_node("Neg", ["x"], ["a"])], "a", [], [value("a", "n")])
    no = helper.make_graph([helper.make_node("Abs", ["x"], ["b"])], "b", [], [value("b", "n")])
    nodes = [
        helper.make_node("Size", ["x"], ["size"]),
        helper.make_node("Greater", ["size", "one"], ["more"]),
        helper.make_node("If", ["more"], ["y"], then_branch=yes, else_branch=no),
    ]
    return model(nodes, initializers=[constant("one", 1, np.int64)])


@pytest.mark.parametrize(
    "export",
    [convolution, recurrent, attention, front_end, quantized, half_precision, choosing],
    ids=lambda export: export.__name__,
)
def test_what_exporters_make_passes(export: Callable[[], onnx.ModelProto], tmp_path: Path) -> None:
    """What speech models are made of is let through, and ONNX Runtime loads it."""
    content = export().SerializeToString()
    assert answer_for(content, tmp_path)["findings"] == []
    open_session(content, threads=1)


@pytest.mark.parametrize("opset", [graph_rules.OPSETS.start, graph_rules.OPSETS.stop - 1])
@pytest.mark.parametrize(
    "ir_version", [graph_rules.IR_VERSIONS.start, graph_rules.IR_VERSIONS.stop - 1]
)
def test_onnx_runtime_loads_every_version_that_passes(
    opset: int, ir_version: int, tmp_path: Path
) -> None:
    """The bounds of what passes are within what the runtime of this release loads."""
    node = helper.make_node("Relu", ["x"], ["y"])
    content = model([node], opset=opset, ir_version=ir_version).SerializeToString()
    assert answer_for(content, tmp_path)["findings"] == []
    open_session(content, threads=1)


def test_the_projects_own_models_pass(tmp_path: Path) -> None:
    """The default model and those of the tests; signatures and counts come with the answer."""
    for folder in (
        DEFAULT_MODEL,
        write_stream_package(tmp_path / "stream"),
        write_window_package(tmp_path / "window"),
    ):
        answer = answer_for((folder / MODEL_FILE).read_bytes(), tmp_path)
        assert answer["findings"] == []
    assert answer["inputs"] == [{"name": "audio", "dtype": "float32", "dims": [None, 48_000]}]
    assert [tensor["name"] for tensor in answer["outputs"]] == ["activity", "embedding"]
    assert answer["nodes"] == len(onnx.load(folder / MODEL_FILE).graph.node)
    assert answer["opset"] == 17


def relu(**changes: Any) -> onnx.ModelProto:
    """A harmless model, changed."""
    return model([helper.make_node("Relu", ["x"], ["y"])], **changes)


def spoiled(spoil: Callable[[onnx.ModelProto], Any]) -> onnx.ModelProto:
    """A harmless model with one constant, spoiled."""
    whole = model([helper.make_node("Add", ["x", "w"], ["y"])], initializers=[constant("w", [1.0])])
    spoil(whole)
    return whole


def weight(whole: onnx.ModelProto) -> TensorProto:
    """Its constant."""
    return whole.graph.initializer[0]


def words(name: str) -> TensorProto:
    """A constant of text."""
    return TensorProto(name=name, data_type=TensorProto.STRING, dims=[1], string_data=[b"t"])


def sparse(whole: onnx.ModelProto) -> None:
    """Adds a constant that is sparse."""
    added = whole.graph.sparse_initializer.add()
    added.values.CopyFrom(constant("few", [1.0]))
    added.indices.CopyFrom(constant("where", [0], np.int64))
    added.dims.append(8)


REFUSED: dict[str, bytes | onnx.ModelProto] = {
    "ir-version": relu(ir_version=3),
    "opset": relu(opset=10),
    "opset, newer": relu(opset=27),
    "opset, none": spoiled(lambda whole: whole.ClearField("opset_import")),
    "operator": model([helper.make_node("RandomNormalLike", ["x"], ["y"])]),
    "operator, in a branch": model(
        [
            helper.make_node(
                "If",
                ["yes"],
                ["y"],
                then_branch=helper.make_graph(
                    [helper.make_node("Bernoulli", ["x"], ["a"])], "a", [], [value("a", "n")]
                ),
                else_branch=helper.make_graph(
                    [helper.make_node("Identity", ["x"], ["b"])], "b", [], [value("b", "n")]
                ),
            )
        ],
        initializers=[constant("yes", 1, np.bool_)],
    ),
    "domain": bombs.custom_domain(),
    "training": spoiled(lambda whole: whole.training_info.add()),
    "function": bombs.nested_functions(2),
    "name": spoiled(lambda whole: whole.graph.initializer.append(weight(whole))),
    "name, empty": spoiled(lambda whole: setattr(weight(whole), "name", "")),
    "name, unprintable": spoiled(lambda whole: setattr(weight(whole), "name", "\x1b[2J")),
    "name, long": spoiled(lambda whole: setattr(whole.graph.node[0], "name", "n" * 513)),
    "text": spoiled(lambda whole: setattr(whole, "doc_string", "x" * 65_537)),
    "initializer": spoiled(lambda whole: setattr(weight(whole), "raw_data", b"123")),
    "initializer, negative": spoiled(lambda whole: weight(whole).dims.append(-1)),
    "initializer, vast": spoiled(lambda whole: weight(whole).dims.extend([2**62, 2**62])),
    "initializer, text": spoiled(lambda whole: weight(whole).CopyFrom(words("w"))),
    "initializer, sparse": spoiled(sparse),
    "nan": spoiled(lambda whole: weight(whole).CopyFrom(constant("w", [np.nan]))),
    "nan, half": spoiled(lambda whole: weight(whole).CopyFrom(constant("w", [np.nan], np.float16))),
    "signature": spoiled(lambda whole: whole.graph.ClearField("output")),
    "signature, text": relu(inputs=[value("x", "n", dtype=TensorProto.STRING)]),
    "signature, rank": relu(inputs=[value("x", *"abcdefghi")]),
    "checker": model([helper.make_node("Relu", ["nothing"], ["y"])]),
    "checker, types": model([helper.make_node("Relu", ["x", "x"], ["y"])]),
    "checker, order": model(
        [helper.make_node("Abs", ["z"], ["y"]), helper.make_node("Relu", ["x"], ["z"])]
    ),
    "checker, twice": model([helper.make_node(kind, ["x"], ["y"]) for kind in ("Abs", "Neg")]),
    "checker, shapes": model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        initializers=[weights("w", 5, 5)],
        inputs=[value("x", "n", 4)],
        outputs=[value("y", "n", 5)],
    ),
    "tensor-size": bombs.huge_constant(),
    "external-data": bombs.external_data("weights.bin"),
    "too-deep": bombs.nested_branches(12),
    "too-many-nodes": bombs.empty_nodes(20_002),
    "too-many-parts": bombs.empty_values(2 * 400_002),
    "not-onnx": b"",
    "not-onnx, no graph": onnx.ModelProto(ir_version=8).SerializeToString(),
    "text, no text": bombs.harmless().replace(b"graph", b"\xff\xff\xff\xff\xff"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_each_rule_refuses_what_it_is_for(case: str, tmp_path: Path) -> None:
    """A graph that breaks one rule is refused under that rule's name, and no other."""
    broken = REFUSED[case]
    content = broken if isinstance(broken, bytes) else broken.SerializeToString()
    findings = answer_for(content, tmp_path)["findings"]
    assert {found["rule_id"] for found in findings} == {f"graph.{case.partition(',')[0]}"}
    for found in findings:
        assert all(found[text] for text in ("subject", "seen", "allowed", "message"))


def test_every_rule_of_the_gate_is_listed_and_tried(tmp_path: Path) -> None:
    """The table of rules and what the gate can find are the same."""
    too_large = tmp_path / MODEL_FILE
    with too_large.open("wb+") as file:
        file.truncate(graph.MAXIMUM_FILE_BYTES + 1)
        answer = graph.probe({MODEL_FILE: file}, {})(None)
    assert isinstance(answer, dict)
    assert "graph.file-size" in str(answer["findings"])
    found = {f"graph.{case.partition(',')[0]}" for case in REFUSED} | {"graph.file-size"}
    of_the_sandbox = {rule.replace("contract.", "graph.") for rule in RULES} & set(RULES)
    listed = {rule for rule in RULES if rule.startswith("graph.")}
    assert listed - of_the_sandbox <= found <= listed


def test_every_operator_that_is_allowed_exists_and_is_documented() -> None:
    """No name in the list is misspelt, and the decision record lists each."""
    known = {schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""}
    assert known >= graph_operators.ALLOWED
    record = (ROOT / "docs" / "adr" / "0005-sandbox.md").read_text("utf-8")
    listed = re.findall(r"\w+", record.split("## Operators")[1])
    assert set(listed) >= graph_operators.ALLOWED
