"""Writes ONNX graphs layer by layer, with random weights from a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, checker, helper, numpy_helper

OPSET: Final = 20
IR_VERSION: Final = 9

FloatArray = NDArray[np.float32]


class GraphBuilder:
    """Collects the nodes and weights of one graph.

    Values are named by strings, as in ONNX.

    Args:
        seed: Of the weights: the same seed makes the same bytes.
    """

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._nodes: list[NodeProto] = []
        self._constants: dict[str, TensorProto] = {}
        self.parameters = 0
        """Weights so far; constants that a network would not learn are not counted."""

    def weight(self, *shape: int, deviation: float) -> str:
        """Learnt numbers, drawn from a normal distribution around zero."""
        drawn = self._rng.standard_normal(shape, np.float32) * np.float32(deviation)
        return self._learnt(drawn)

    def ones(self, *shape: int) -> str:
        """Learnt numbers that begin as one: the gains of a norm."""
        return self._learnt(np.ones(shape, np.float32))

    def number(self, value: float) -> str:
        """A constant."""
        return self._constant(np.asarray(value, np.float32))

    def integers(self, *values: int) -> str:
        """Constants such as a shape, (values,)."""
        return self._constant(np.asarray(values, np.int64))

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """A node with one output; gives its name."""
        name = output or f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], name, **attributes))
        return name

    def conv(
        self,
        value: str,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        pads: Sequence[int] = (0, 0),
        groups: int = 1,
        bias: bool = True,
    ) -> str:
        """A convolution over time: (batch, inputs, time) to (batch, outputs, shorter)."""
        fan_in = inputs // groups * kernel
        parts = [self.weight(outputs, inputs // groups, kernel, deviation=(2 / fan_in) ** 0.5)]
        if bias:
            parts.append(self.weight(outputs, deviation=0.02))
        return self.add(
            "Conv",
            value,
            *parts,
            kernel_shape=[kernel],
            strides=[stride],
            pads=list(pads),
            group=groups,
        )

    def dense(self, value: str, inputs: int, outputs: int) -> str:
        """A linear layer over the last axis."""
        weight = self.weight(inputs, outputs, deviation=inputs**-0.5)
        product = self.add("MatMul", value, weight)
        return self.add("Add", product, self.weight(outputs, deviation=0.02))

    def layer_norm(self, value: str, width: int) -> str:
        """Each vector of the last axis to mean zero and variance one, with gain and bias."""
        gain, bias = self.ones(width), self.weight(width, deviation=0.02)
        return self.add("LayerNormalization", value, gain, bias, axis=-1, epsilon=1e-5)

    def model(
        self,
        name: str,
        inputs: Mapping[str, Sequence[str | int]],
        outputs: Mapping[str, Sequence[str | int]],
    ) -> ModelProto:
        """The whole graph, checked for form.

        Args:
            name: Of the graph.
            inputs: Their dimensions, by name; a dimension with a name is dynamic.
            outputs: Likewise.
        """
        graph = helper.make_graph(
            self._nodes, name, _values(inputs), _values(outputs), list(self._constants.values())
        )
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        checker.check_model(model, full_check=True)
        return model

    def _learnt(self, value: FloatArray) -> str:
        self.parameters += value.size
        return self._constant(value)

    def _constant(self, value: NDArray[Any]) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants[name] = numpy_helper.from_array(value, name)
        return name


def _values(ends: Mapping[str, Sequence[str | int]]) -> list[ValueInfoProto]:
    return [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, list(dims))
        for name, dims in ends.items()
    ]
