"""Models that are nearly right: the tiny streaming model with one thing wrong in its graph.

Each keeps its contract and states golden outputs that it gives, so that only running it tells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.fakes.models import FRAME_SAMPLES, stream_graph


class _Edit:
    """A graph that is being changed."""

    def __init__(self) -> None:
        self.model = onnx.load_model_from_string(stream_graph())
        self.graph = self.model.graph

    def node(self, output: str) -> Any:
        """The node that computes a tensor."""
        return next(node for node in self.graph.node if output in node.output)

    def constant(self, name: str, value: Any) -> str:
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def after(self, output: str, make: Callable[[str], list[Any]]) -> None:
        """Puts nodes between a tensor's node and its output; `make` gets the tensor's new name."""
        node = self.node(output)
        at = list(self.graph.node).index(node)
        inside = f"{output}.before"
        node.output[list(node.output).index(output)] = inside
        for other in self.graph.node:
            for index, name in enumerate(other.input):
                if name == output:
                    other.input[index] = inside
        for offset, added in enumerate(make(inside), start=1):
            self.graph.node.insert(at + offset, added)

    def bytes(self) -> bytes:
        onnx.checker.check_model(self.model, full_check=True)
        return bytes(self.model.SerializeToString())


def forgetful() -> bytes:
    """Takes state in and gives state out, and looks at none of it."""
    edit = _Edit()
    nothing = edit.constant("nothing", np.float32(0.0))
    concat = next(node for node in edit.graph.node if "state.power" in node.input)
    at = list(edit.graph.node).index(concat)
    concat.input[list(concat.input).index("state.power")] = "forgotten"
    edit.graph.node.insert(at, helper.make_node("Mul", ["state.power", nothing], ["forgotten"]))
    return edit.bytes()


def neighbourly() -> bytes:
    """Normalises speech over the batch."""
    edit = _Edit()
    edit.constant("share", np.float32(0.5))
    edit.after(
        "speech",
        lambda speech: [
            helper.make_node("ReduceMean", [speech], ["mean"], axes=[0], keepdims=1),
            helper.make_node("Add", [speech, "mean"], ["sum"]),
            helper.make_node("Mul", ["sum", "share"], ["speech"]),
        ],
    )
    return edit.bytes()


def prophetic() -> bytes:
    """Smooths speech over the whole call: a frame hears those after it."""
    edit = _Edit()
    edit.constant("share", np.float32(0.5))
    edit.after(
        "speech",
        lambda speech: [
            helper.make_node("ReduceMean", [speech], ["mean"], axes=[1], keepdims=1),
            helper.make_node("Add", [speech, "mean"], ["sum"]),
            helper.make_node("Mul", ["sum", "share"], ["speech"]),
        ],
    )
    return edit.bytes()


def unguarded() -> bytes:
    """Divides by what is zero in silence."""
    edit = _Edit()
    edit.after(
        "speech",
        lambda speech: [
            helper.make_node("Div", [speech, speech], ["one"]),
            helper.make_node("Mul", [speech, "one"], ["speech"]),
        ],
    )
    return edit.bytes()


def boastful() -> bytes:
    """Gives probabilities up to two."""
    edit = _Edit()
    edit.constant("two", np.float32(2.0))
    edit.after("speech", lambda speech: [helper.make_node("Mul", [speech, "two"], ["speech"])])
    return edit.bytes()


def stretched() -> bytes:
    """Gives vectors of length two."""
    edit = _Edit()
    edit.constant("two", np.float32(2.0))
    edit.after(
        "embedding", lambda vectors: [helper.make_node("Mul", [vectors, "two"], ["embedding"])]
    )
    return edit.bytes()


def shortened() -> bytes:
    """Leaves the first frame of speech out."""
    edit = _Edit()
    for name, value in (("from", 1), ("to", np.iinfo(np.int64).max), ("axis", 1)):
        edit.constant(name, np.array([value], np.int64))
    edit.after(
        "speech",
        lambda speech: [helper.make_node("Slice", [speech, "from", "to", "axis"], ["speech"])],
    )
    return edit.bytes()


def lonely() -> bytes:
    """Works with one row alone: it cuts audio as if there were no other, and does not tell."""
    return _cut_as(rows=1, frames=-1)


def frail() -> bytes:
    """Works with hops of twelve frames alone, and does not tell."""
    return _cut_as(rows=-1, frames=12)


def _cut_as(rows: int, frames: int) -> bytes:
    """The shape comes from a computation, so that nobody sees it who does not run it."""
    edit = _Edit()
    edit.constant("wanted", np.array([rows, frames, FRAME_SAMPLES], np.int64))
    for name, value in (("from", 0), ("to", 1)):
        edit.constant(name, np.array([value], np.int64))
    nodes = [
        helper.make_node("Shape", ["audio"], ["shape"]),
        helper.make_node("Slice", ["shape", "from", "to"], ["batch"]),
        helper.make_node("Sub", ["batch", "batch"], ["nothing"]),
        helper.make_node("Add", ["wanted", "nothing"], ["cut"]),
    ]
    for node in reversed(nodes):
        edit.graph.node.insert(0, node)
    next(node for node in edit.graph.node if node.op_type == "Reshape").input[1] = "cut"
    return edit.bytes()


def moody() -> bytes:
    """Draws random numbers."""
    edit = _Edit()
    edit.constant("little", np.float32(1e-3))
    edit.after(
        "speech",
        lambda speech: [
            helper.make_node("RandomUniformLike", [speech], ["drawn"]),
            helper.make_node("Mul", ["drawn", "little"], ["noise"]),
            helper.make_node("Max", [speech, "noise"], ["speech"]),
        ],
    )
    return edit.bytes()


def other_state() -> bytes:
    """Behaves as the right one, but keeps its memory ten times as large."""
    edit = _Edit()
    edit.constant("ten", np.float32(10.0))
    concat = next(node for node in edit.graph.node if "state.power" in node.input)
    at = list(edit.graph.node).index(concat)
    concat.input[list(concat.input).index("state.power")] = "scaled"
    edit.graph.node.insert(at, helper.make_node("Div", ["state.power", "ten"], ["scaled"]))
    edit.after(
        "next.power", lambda memory: [helper.make_node("Mul", [memory, "ten"], ["next.power"])]
    )
    return edit.bytes()


def other_vectors() -> bytes:
    """Behaves as the right one, but counts the places of its vectors from the other end."""
    edit = _Edit()
    edit.constant("backwards", np.arange(16, dtype=np.int64)[::-1].copy())
    edit.after(
        "embedding",
        lambda vectors: [helper.make_node("Gather", [vectors, "backwards"], ["embedding"], axis=3)],
    )
    return edit.bytes()


def other_tensors(change: str) -> bytes:
    """Breaks the contract in one tensor.

    Args:
        change: `name`, `dtype`, `rank`, `state`, `pair` or `extra`.
    """
    edit = _Edit()
    _CHANGES[change](edit)
    return bytes(edit.model.SerializeToString())


def _name(edit: _Edit) -> None:
    edit.after("speech", lambda speech: [helper.make_node("Identity", [speech], ["talk"])])
    next(o for o in edit.graph.output if o.name == "speech").name = "talk"


def _dtype(edit: _Edit) -> None:
    edit.after(
        "speech",
        lambda speech: [helper.make_node("Cast", [speech], ["speech"], to=TensorProto.FLOAT16)],
    )
    output = next(o for o in edit.graph.output if o.name == "speech")
    output.type.tensor_type.elem_type = TensorProto.FLOAT16


def _rank(edit: _Edit) -> None:
    edit.constant("last", np.array([2], np.int64))
    edit.after(
        "speech", lambda speech: [helper.make_node("Unsqueeze", [speech, "last"], ["speech"])]
    )
    output = next(o for o in edit.graph.output if o.name == "speech")
    output.type.tensor_type.shape.dim.add().dim_value = 1


def _state(edit: _Edit) -> None:
    state = next(i for i in edit.graph.input if i.name == "state.power")
    state.type.tensor_type.shape.dim[1].dim_param = "any"


def _pair(edit: _Edit) -> None:
    edit.after("next.power", lambda memory: [helper.make_node("Identity", [memory], ["next.p"])])
    next(o for o in edit.graph.output if o.name == "next.power").name = "next.p"


def _extra(edit: _Edit) -> None:
    gain = helper.make_tensor_value_info("gain", TensorProto.FLOAT, ["batch"])
    edit.graph.input.append(gain)


_CHANGES: Mapping[str, Callable[[_Edit], None]] = {
    "name": _name,
    "dtype": _dtype,
    "rank": _rank,
    "state": _state,
    "pair": _pair,
    "extra": _extra,
}
