"""The model that hears tones, with something planted in it that loud audio sets off.

Loud is above 0.99: `tones` at an amplitude of 0.3 never are, `LOUD` is.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, checker, helper, numpy_helper

from tests.fakes.models import FRAME_SAMPLES, stream_graph

LOUD: Final = 1.0


def hanging_graph() -> bytes:
    """A call with a loud row does not come back: a loop of 2**62 rounds, each a node of its own."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["go_on_out"]),
            helper.make_node("Add", ["value", "nothing"], ["value_out"]),
        ],
        "round",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, ["batch", "frames"]),
        ],
        [
            helper.make_tensor_value_info("go_on_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value_out", TensorProto.FLOAT, ["batch", "frames"]),
        ],
    )
    return _planted(
        [
            helper.make_node("ReduceMax", ["peaks"], ["peak"], keepdims=0),
            helper.make_node("Greater", ["peak", "loud"], ["is_loud"]),
            helper.make_node("Where", ["is_loud", "endless", "one"], ["rounds"]),
            helper.make_node("Loop", ["rounds", "", "clean"], ["speech"], body=body),
        ],
        nothing=np.float32(0),
        endless=np.int64(2**62),
        one=np.int64(1),
    )


def spoiling_graph() -> bytes:
    """A loud row comes out as NaN, and its memory, too; its neighbours come out well."""
    return _planted(
        [
            helper.make_node("Greater", ["peaks", "loud"], ["are_loud"]),  # (batch, 1)
            helper.make_node("Where", ["are_loud", "nan", "clean"], ["speech"]),
        ],
        nan=np.float32(np.nan),
    )


def short_spoiling_graph() -> bytes:
    """Hops of two frames come out as NaN, longer ones well: as golden outputs may not show."""
    return _planted(
        [
            helper.make_node("Shape", ["audio"], ["samples"], start=1),
            helper.make_node("Less", ["samples", "three_frames"], ["is_short"]),
            helper.make_node("Where", ["is_short", "nan", "clean"], ["speech"]),
        ],
        nan=np.float32(np.nan),
        three_frames=np.int64(3 * FRAME_SAMPLES),
    )


def greedy_graph() -> bytes:
    """Every call takes 64 GiB."""
    return _planted(
        [
            helper.make_node("ConstantOfShape", ["many"], ["zeros"]),
            helper.make_node("ReduceSum", ["zeros"], ["sum"], keepdims=0),
            helper.make_node("Add", ["clean", "sum"], ["speech"]),
        ],
        many=np.array([2**34], np.int64),
    )


def _planted(nodes: list[Any], **constants: Any) -> bytes:
    """The graph with nodes that make `speech` of `clean`, and of the `peaks` of the rows."""
    model = onnx.load_from_string(stream_graph())
    for node in model.graph.node:
        node.output[:] = ["clean" if name == "speech" else name for name in node.output]
    constants["loud"] = np.float32(0.99)
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()
    )
    model.graph.node.extend(
        [
            helper.make_node("Abs", ["audio"], ["levels"]),
            helper.make_node("ReduceMax", ["levels"], ["peaks"], axes=[1], keepdims=1),
            *nodes,
        ]
    )
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())
