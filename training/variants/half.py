"""FP16: weights and arithmetic in half precision, from the features to the heads.

Float32 stay, by what they are:

- what goes in and comes out, as the contract says;
- the features. Power spans more than half precision does: its smallest full-precision number is
  6e-5, and a quiet room lies below; what is lost before a logarithm is lost;
- what a stream remembers. The layers add to it one after the other, up to about 20, where
  neighbours in half precision are 1/64 apart: another machine's rounding would be seen in it. And
  a memory of the original is this one's to the bit;
- the last step to probabilities and to vectors of unit length.

The converter of ONNX Runtime's own tools rounds to half between any two nodes that it leaves in
float32, and power would overflow there.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from training.variants.graph import features, memory

_EXACT: Final = frozenset(
    {"Div", "Exp", "LpNormalization", "Max", "Pow", "ReduceL2", "Sigmoid", "Softmax", "Sqrt"}
)
"""Operators that make probabilities and lengths."""


class _Precision(StrEnum):
    FLOAT = "float"
    HALF = "half"


_TYPES: Final = {_Precision.FLOAT: TensorProto.FLOAT, _Precision.HALF: TensorProto.FLOAT16}


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph in half precision.

    Args:
        model: A graph of operators of ONNX alone, without subgraphs.

    Raises:
        ValueError: A weight is beyond what half precision holds, 65504.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    made.graph.ClearField("node")
    made.graph.ClearField("initializer")
    made.graph.ClearField("value_info")
    _Conversion(model, made.graph).run()
    onnx.checker.check_model(made, full_check=True)
    return made


class _Conversion:
    """Copies nodes into another graph, each in its precision, with casts between the two."""

    def __init__(self, model: onnx.ModelProto, into: onnx.GraphProto) -> None:
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
        values = [*inferred.input, *inferred.value_info, *inferred.output]
        self._floats = {
            value.name for value in values if value.type.tensor_type.elem_type == TensorProto.FLOAT
        }
        self._graph = model.graph
        self._into = into
        self._constants = {constant.name: constant for constant in model.graph.initializer}
        self._stored: set[str] = set()
        self._ends = {output.name for output in model.graph.output}
        self._kept = features(model.graph) | memory(model.graph)
        # What a value is called in each precision that it is there in.
        self._names = {(value.name, _Precision.FLOAT): value.name for value in model.graph.input}

    def run(self) -> None:
        """Copies all of it."""
        for node in self._graph.node:
            kept = node.op_type in _EXACT or self._kept.intersection(node.output)
            self._copy(node, _Precision.FLOAT if kept else _Precision.HALF)

    def _copy(self, node: onnx.NodeProto, precision: _Precision) -> None:
        copied = onnx.NodeProto()
        copied.CopyFrom(node)
        copied.input[:] = [self._had(name, precision) for name in node.input]
        ends = self._ends & self._floats & set(node.output)
        halved = ends if precision is _Precision.HALF else set()
        copied.output[:] = [f"{name}.half" if name in halved else name for name in node.output]
        copied.name = copied.output[0]
        self._into.node.append(copied)
        for name, own in zip(node.output, copied.output, strict=True):
            self._names[name, precision] = own
        for name in sorted(halved):
            self._cast(name, precision, _Precision.FLOAT, name)

    def _had(self, name: str, precision: _Precision) -> str:
        """What a value, or constant, is called in a precision; it is made where it is not there."""
        if name in self._constants:
            return self._constant(self._constants[name], precision)
        if name not in self._floats:
            return name
        if (name, precision) not in self._names:
            (other,) = _TYPES.keys() - {precision}
            self._cast(name, other, precision, f"{name}.{precision}")
        return self._names[name, precision]

    def _cast(self, name: str, before: _Precision, after: _Precision, own: str) -> None:
        source = self._names[name, before]
        self._into.node.append(helper.make_node("Cast", [source], [own], own, to=_TYPES[after]))
        self._names[name, after] = own

    def _constant(self, constant: TensorProto, precision: _Precision) -> str:
        halved = constant.data_type == TensorProto.FLOAT and precision is _Precision.HALF
        name = f"{constant.name}.half" if halved else constant.name
        if name not in self._stored:
            self._stored.add(name)
            self._into.initializer.append(_halved(constant, name) if halved else constant)
        return name


def _halved(constant: TensorProto, name: str) -> TensorProto:
    value = numpy_helper.to_array(constant)
    greatest = float(np.finfo(np.float16).max)
    if np.abs(value).max(initial=0.0) > greatest:
        raise ValueError(f"{constant.name}: holds numbers beyond {greatest:g}, half's greatest")
    return numpy_helper.from_array(value.astype(np.float16), name)
