"""The parts of a model's graph that variants treat apart: features, memory, dense layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import onnx

_LOGARITHM: Final = "Log"
_PASSING: Final = frozenset({"Concat", "Slice"})
"""Operators through which numbers go as they are."""

_MEMORY: Final = "next."


def features(graph: onnx.GraphProto) -> frozenset[str]:
    """Values from the audio up to its logarithm, each named by the node that gives it.

    Empty for a graph without one.
    """
    logarithms = [node for node in graph.node if node.op_type == _LOGARITHM]
    return _upwards(graph, logarithms)


def memory(graph: onnx.GraphProto) -> frozenset[str]:
    """Values that a stream remembers, and what they were before they were cut and joined."""
    remembered = {output.name for output in graph.output if output.name.startswith(_MEMORY)}
    ends = [node for node in graph.node if remembered.intersection(node.output)]
    return _upwards(graph, ends, through=_PASSING)


def dense_layers(graph: onnx.GraphProto) -> tuple[onnx.NodeProto, ...]:
    """Products with a learned matrix, in the order in which they are computed."""
    before = features(graph)
    matrices = {constant.name for constant in graph.initializer if len(constant.dims) == 2}
    return tuple(
        node
        for node in graph.node
        if node.op_type == "MatMul"
        and node.input[1] in matrices
        and not before.intersection(node.output)
    )


def weights(graph: onnx.GraphProto, layer: onnx.NodeProto) -> int:
    """How many numbers a dense layer's matrix has."""
    (matrix,) = (one for one in graph.initializer if one.name == layer.input[1])
    rows, columns = matrix.dims
    return rows * columns


def _upwards(
    graph: onnx.GraphProto,
    ends: Iterable[onnx.NodeProto],
    through: frozenset[str] | None = None,
) -> frozenset[str]:
    """Outputs of these nodes and of all that they rest on.

    Args:
        graph: The graph.
        ends: Where to begin.
        through: Operators to go on above; None: all.
    """
    made_by: Mapping[str, onnx.NodeProto] = {
        name: node for node in graph.node for name in node.output
    }
    found: set[str] = set()
    waiting = list(ends)
    while waiting:
        node = waiting.pop()
        if found.issuperset(node.output):
            continue
        found.update(node.output)
        if through is None or node.op_type in through:
            waiting += [made_by[name] for name in node.input if name in made_by]
    return frozenset(found)
