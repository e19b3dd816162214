"""What a parsed graph must keep to before onnx's checker sees it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper

from voiceflow.package import MODEL_FILE
from voiceflow.validation.probes import graph_operators
from voiceflow.validation.probes.graph_parts import (
    DOMAINS,
    DTYPES,
    FOUR_BITS,
    Broken,
    graphs,
    shown,
    stored_bytes,
    tensors,
)

MAXIMUM_TENSORS: Final = 256
"""Inputs, and outputs, of the graph."""
MAXIMUM_RANK: Final = 8
MAXIMUM_NAME_CHARACTERS: Final = 512
OPSETS: Final = range(11, 27)
"""Of the operators; ONNX Runtime 1.31 runs none newer."""
IR_VERSIONS: Final = range(4, 14)
"""Of the file; from 4 on an initializer need not be an input, and ONNX Runtime 1.31 ends at 13."""

_FLOATS: Final[Mapping[int, type[np.floating]]] = {
    TensorProto.FLOAT: np.float32,
    TensorProto.FLOAT16: np.float16,
    TensorProto.DOUBLE: np.float64,
}


def broken_rules(model: onnx.ModelProto) -> Iterator[Broken]:
    """Every rule that a model breaks, as it is found.

    Args:
        model: Parsed after the scan has bounded its nodes, parts and depth.
    """
    yield from _versions(model)
    yield from _ends("input", model.graph.input)
    yield from _ends("output", model.graph.output)
    operators: dict[tuple[str, str], tuple[str, int]] = {}
    for graph in graphs(model.graph):
        yield from _names(graph)
        for sparse in graph.sparse_initializer:
            yield Broken(
                "graph.initializer",
                shown(sparse.values.name),
                "a sparse tensor",
                "dense tensors",
                "an initializer is sparse; store it dense",
            )
        for node in graph.node:
            place = node.name or (node.output[0] if node.output else node.op_type)
            first, count = operators.get((node.domain, node.op_type), (place, 0))
            operators[node.domain, node.op_type] = (first, count + 1)
    for (domain, kind), (first, count) in operators.items():
        yield from _operator(domain, kind, first, count)
    for name, tensor in tensors(model.graph):
        yield from _tensor(name, tensor)


def _versions(model: onnx.ModelProto) -> Iterator[Broken]:
    if model.ir_version not in IR_VERSIONS:
        yield Broken(
            "graph.ir-version",
            MODEL_FILE,
            str(model.ir_version),
            f"{IR_VERSIONS.start} to {IR_VERSIONS.stop - 1}",
            "the file's IR version is not supported; export for a supported one",
        )
    opsets = [entry.version for entry in model.opset_import if entry.domain in DOMAINS]
    if len(opsets) != 1 or opsets[0] not in OPSETS:
        yield Broken(
            "graph.opset",
            MODEL_FILE,
            ", ".join(str(version) for version in opsets[:8]) or "none",
            f"one of {OPSETS.start} to {OPSETS.stop - 1}",
            "the file's operator set is not supported; export for a supported one",
        )


def _operator(domain: str, kind: str, first: str, count: int) -> Iterator[Broken]:
    seen = f"{count} of {shown(domain)}{'.' if domain else ''}{shown(kind)}"
    if domain not in DOMAINS:
        yield Broken(
            "graph.domain",
            shown(first),
            seen,
            "operators of ONNX itself",
            f"{shown(kind)} is not an operator of ONNX itself; export with standard operators",
        )
    elif kind not in graph_operators.ALLOWED:
        instead = graph_operators.INSTEAD.get(kind, "Export the model without it")
        yield Broken(
            "graph.operator",
            shown(first),
            seen,
            "the operators in docs/adr/0005-sandbox.md",
            f"the operator {shown(kind)} is not allowed. {instead}",
        )


def _tensor(name: str, tensor: TensorProto) -> Iterator[Broken]:
    subject = shown(name)
    if tensor.external_data or tensor.data_location == TensorProto.EXTERNAL:
        where = ", ".join(entry.value for entry in tensor.external_data if entry.key == "location")
        yield Broken(
            "graph.external-data",
            subject,
            f"data in {shown(where) or 'another file'}",
            "data inside model.onnx",
            "a tensor's data are in another file; save with save_as_external_data=False",
        )
        return
    problem = _tensor_problem(tensor)
    if problem:
        yield Broken(
            "graph.initializer",
            subject,
            problem,
            "numbers that fill the stated shape",
            f"a constant is not what it says: {problem}; export again",
        )
    elif tensor.data_type in _FLOATS and _has_nan(tensor):
        yield Broken(
            "graph.nan",
            subject,
            "NaN",
            "numbers",
            "a constant holds NaN: the weights were lost in training or export",
        )


def _tensor_problem(tensor: TensorProto) -> str:
    if tensor.data_type not in DTYPES:
        return f"data type {tensor.data_type}"
    if len(tensor.dims) > MAXIMUM_RANK or any(dim < 0 for dim in tensor.dims):
        return f"{len(tensor.dims)} dimensions, at least {min(tensor.dims, default=0)}"
    if tensor.HasField("segment"):
        return "a part of a tensor"
    count = math.prod(tensor.dims)
    if not tensor.HasField("raw_data"):
        field = helper.tensor_dtype_to_field(tensor.data_type)
        stored = len(getattr(tensor, field))
        expected = (count + 1) // 2 if tensor.data_type in FOUR_BITS else count
        return "" if stored == expected else f"{stored} numbers for {count} places"
    stored = len(tensor.raw_data)
    expected = stored_bytes(tensor)
    return "" if stored == expected else f"{stored} bytes where the shape needs {expected}"


def _has_nan(tensor: TensorProto) -> bool:
    dtype = _FLOATS[tensor.data_type]
    if tensor.HasField("raw_data"):
        return bool(np.isnan(np.frombuffer(tensor.raw_data, dtype)).any())
    if tensor.data_type == TensorProto.FLOAT16:
        return bool(np.isnan(np.array(tensor.int32_data, np.uint16).view(np.float16)).any())
    numbers = tensor.float_data if dtype is np.float32 else tensor.double_data
    return bool(np.isnan(np.asarray(numbers, dtype)).any())


def _ends(role: str, values: Sequence[onnx.ValueInfoProto]) -> Iterator[Broken]:
    if len(values) > MAXIMUM_TENSORS or (role == "output" and not values):
        yield Broken(
            "graph.signature",
            f"{role}s",
            str(len(values)),
            f"{'1 to' if role == 'output' else 'at most'} {MAXIMUM_TENSORS}",
            f"the graph has {len(values)} {role}s",
        )
    for value in values[:MAXIMUM_TENSORS]:
        kind = value.type.WhichOneof("value")
        rank = len(value.type.tensor_type.shape.dim)
        if kind != "tensor_type" or value.type.tensor_type.elem_type not in DTYPES:
            seen = f"{kind or 'no type'} of {value.type.tensor_type.elem_type}"
        elif rank > MAXIMUM_RANK:
            seen = f"{rank} dimensions"
        else:
            continue
        yield Broken(
            "graph.signature",
            shown(value.name),
            seen,
            f"a tensor of numbers of at most {MAXIMUM_RANK} dimensions",
            f"an {role} is no tensor of numbers",
        )


def _names(graph: onnx.GraphProto) -> Iterator[Broken]:
    roles = {
        "input": [value.name for value in graph.input],
        "output": [value.name for value in graph.output],
        "initializer": [tensor.name for tensor in graph.initializer],
    }
    for role, names in roles.items():
        seen = set()
        for name in names:
            if not name or name in seen:
                yield _name(role, name, "twice" if name else "empty")
            seen.add(name)
    for node in graph.node:
        for name in (node.name, node.op_type, node.domain, *node.input, *node.output):
            yield from _odd("node", name)
    for role, names in roles.items():
        for name in names:
            yield from _odd(role, name)


def _odd(role: str, name: str) -> Iterator[Broken]:
    if len(name) > MAXIMUM_NAME_CHARACTERS:
        yield _name(role, name, f"{len(name)} characters")
    elif name and not name.isprintable():
        yield _name(role, name, "characters that cannot be shown")


def _name(role: str, name: str, seen: str) -> Broken:
    return Broken(
        "graph.name",
        shown(name) or role,
        f"{role}: {seen}",
        f"names that differ, of 1 to {MAXIMUM_NAME_CHARACTERS} characters that can be shown",
        f"the name of a {role} is {seen}; export again with other names",
    )
