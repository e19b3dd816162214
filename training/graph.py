"""Writing an ONNX graph op by op, so that its memory is explicit and both axes stay dynamic."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
END = np.iinfo(np.int64).max
Dimensions = list[str | int]


class GraphWriter:
    """The nodes, constants, inputs and outputs of a graph under way."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []

    def model(self, name: str) -> onnx.ModelProto:
        """The whole, checked for form."""
        graph = helper.make_graph(
            self.nodes, name, self.inputs, self.outputs, list(self.constants.values())
        )
        opset = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=8)
        model.producer_name = "voiceflow-training"
        onnx.checker.check_model(model, full_check=True)
        return model

    def input(self, name: str, dimensions: Dimensions) -> None:
        """Declares an input of float32."""
        self.inputs.append(_value(name, dimensions))

    def output(self, name: str, dimensions: Dimensions) -> None:
        """Declares an output of float32, which is some op's."""
        self.outputs.append(_value(name, dimensions))

    def op(self, kind: str, inputs: list[str], *, name: str = "", **attributes: Any) -> str:
        """Adds an op of one output, and says what that is called."""
        name = name or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def constant(self, name: str, value: npt.ArrayLike) -> str:
        """Adds an array of float32, or a number."""
        array = np.ascontiguousarray(value, np.float32)
        if np.ndim(value) == 0:
            array = array.reshape(())
        self.constants[f"constant.{name}"] = numpy_helper.from_array(array, f"constant.{name}")
        return f"constant.{name}"

    def integers(self, values: list[int]) -> str:
        """Adds a list of integers."""
        name = "integers." + "_".join(map(str, values))
        self.constants[name] = numpy_helper.from_array(np.asarray(values, np.int64), name)
        return name

    def slice(
        self, value: str, start: int, end: int, *, axis: int = 1, step: int = 1, name: str = ""
    ) -> str:
        """From `start` to before `end` along one axis."""
        bounds = [self.integers([number]) for number in (start, end, axis, step)]
        return self.op("Slice", [value, *bounds], name=name)

    def unit_length(self, vectors: str, *, name: str) -> str:
        """Vectors of the last axis, by their lengths."""
        length = self.op("ReduceL2", [vectors], axes=[-1], keepdims=1)
        length = self.op("Max", [length, self.constant("least", np.float32(1e-12))])
        return self.op("Div", [vectors, length], name=name)


def _value(name: str, dimensions: Dimensions) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, dimensions)
