"""The parts of a parsed graph, wherever they stand in it, and how a broken rule is told."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import onnx
from onnx import TensorProto, helper

DOMAINS: Final = frozenset({"", "ai.onnx"})
DTYPES: Final = frozenset(
    {
        TensorProto.BFLOAT16,
        TensorProto.BOOL,
        TensorProto.DOUBLE,
        TensorProto.FLOAT,
        TensorProto.FLOAT16,
        TensorProto.INT16,
        TensorProto.INT32,
        TensorProto.INT4,
        TensorProto.INT64,
        TensorProto.INT8,
        TensorProto.UINT16,
        TensorProto.UINT32,
        TensorProto.UINT4,
        TensorProto.UINT64,
        TensorProto.UINT8,
    }
)
FOUR_BITS: Final = frozenset({TensorProto.INT4, TensorProto.UINT4})


@dataclass(frozen=True, slots=True)
class Broken:
    """A rule that is broken, as a finding has it."""

    rule_id: str
    subject: str
    seen: str
    allowed: str
    message: str


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph and all that stand in its nodes; the scan has bounded how deep they nest."""
    waiting = [graph]
    while waiting:
        current = waiting.pop()
        yield current
        for node in current.node:
            for attribute in node.attribute:
                waiting.extend(attribute.graphs)
                if attribute.HasField("g"):
                    waiting.append(attribute.g)


def tensors(graph: onnx.GraphProto) -> Iterator[tuple[str, TensorProto]]:
    """Every tensor that is stored anywhere, with a name to find it by."""
    for inner in graphs(graph):
        for tensor in inner.initializer:
            yield tensor.name, tensor
        for sparse in inner.sparse_initializer:
            yield sparse.values.name, sparse.values
            yield sparse.indices.name, sparse.indices
        for node in inner.node:
            name = node.name or ", ".join(node.output)
            for attribute in node.attribute:
                stored = [*attribute.tensors]
                if attribute.HasField("t"):
                    stored.append(attribute.t)
                for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                    stored += [sparse.values, sparse.indices] if sparse.ByteSize() else []
                for tensor in stored:
                    yield f"{name}.{attribute.name}", tensor


def stored_bytes(tensor: TensorProto) -> int:
    """What a tensor's numbers take, by its shape and type."""
    return math.ceil(math.prod(tensor.dims) * item_bytes(tensor.data_type))


def item_bytes(data_type: int) -> float:
    """What one number takes; half a byte for those of four bits."""
    if data_type in FOUR_BITS:
        return 0.5
    return helper.tensor_dtype_to_np_dtype(data_type).itemsize if data_type in DTYPES else 1


def shown(text: str) -> str:
    """Text of the file, fit to be shown: printable, on one line, short."""
    printable = "".join(c if c.isprintable() else " " for c in text[:300])
    return " ".join(printable.split())[:200]
