"""Looks at a graph without running it, the cheap and safe before the dear and dangerous.

Counting comes before parsing, parsing before walking, walking before onnx's checker, and the
checker before shape inference; a stage that finds something is the last. ONNX Runtime never sees
the file here.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import BinaryIO, Final

import onnx
from google.protobuf.message import DecodeError
from onnx import checker, helper, shape_inference

from voiceflow.package import MODEL_FILE
from voiceflow.validation.probes import graph_scan
from voiceflow.validation.probes.graph_parts import (
    DOMAINS,
    Broken,
    graphs,
    item_bytes,
    shown,
    stored_bytes,
    tensors,
)
from voiceflow.validation.probes.graph_rules import broken_rules
from voiceflow.validation.sandbox.limits import JsonValue
from voiceflow.validation.sandbox.verdict import MEMORY_WORDS

MAXIMUM_FILE_BYTES: Final = 512 * 1024**2
MAXIMUM_TENSOR_BYTES: Final = 1024**3
"""Of a tensor whose shape the graph itself fixes; dynamic dimensions count as 1."""
MAXIMUM_FINDINGS: Final = 50

_SHAPE_BYTES: Final = 4096

_BEGINNINGS: Final = {
    b"PK\x03\x04": "a zip archive, such as a PyTorch checkpoint or an .npz",
    b"\x80": "a Python pickle",
    b"\x1f\x8b": "gzip data",
    b"\x89HDF": "an HDF5 file",
}


class Refused(Exception):
    """A stage has found enough.

    Args:
        findings: At least one.
    """

    def __init__(self, *findings: Broken) -> None:
        super().__init__(findings)
        self.findings = findings


def probe(
    files: Mapping[str, BinaryIO], arguments: Mapping[str, JsonValue]
) -> Callable[[JsonValue], JsonValue]:
    """Gate 2; asked once, answers findings, signatures and counts.

    Args:
        files: `model.onnx`.
        arguments: None.
    """
    del arguments

    def answer(request: JsonValue) -> JsonValue:
        del request
        try:
            return look(files[MODEL_FILE])
        except Refused as refused:
            return {"findings": [asdict(found) for found in refused.findings[:MAXIMUM_FINDINGS]]}

    return answer


def look(file: BinaryIO) -> JsonValue:
    """Looks at a model file.

    Returns:
        `findings` (none), `inputs` and `outputs` (name, dtype, dims with None where dynamic),
        `nodes`, `initializer_bytes`, `opset`.

    Raises:
        Refused: With what the first stage that found anything found.
    """
    content = _read(file)
    nodes = _scan(content)
    model = _parse(content)
    _refuse_if(broken_rules(model))
    bare = _without_weights(model)
    _check(content, bare)
    _refuse_if(_sizes(bare))
    return {
        "findings": [],
        "inputs": [_signature(value) for value in _own_inputs(model.graph)],
        "outputs": [_signature(value) for value in model.graph.output],
        "nodes": nodes,
        "initializer_bytes": sum(stored_bytes(tensor) for _, tensor in tensors(model.graph)),
        "opset": _opset(model),
    }


def _read(file: BinaryIO) -> bytes:
    size = os.fstat(file.fileno()).st_size
    if size > MAXIMUM_FILE_BYTES:
        raise Refused(
            Broken(
                "graph.file-size",
                MODEL_FILE,
                f"{size} bytes",
                f"{MAXIMUM_FILE_BYTES} bytes",
                "the file is too large; quantize or prune the model",
            )
        )
    return file.read()


def _scan(content: bytes) -> int:
    try:
        counts = graph_scan.scan(content)
    except graph_scan.Malformed as error:
        raise Refused(_no_graph(content, str(error))) from error
    except graph_scan.TooMany as error:
        raise Refused(_too_many(error)) from error
    except graph_scan.NoText as error:
        raise Refused(
            Broken(
                "graph.text",
                MODEL_FILE,
                str(error),
                f"UTF-8, {graph_scan.MAXIMUM_TEXT_BYTES} bytes",
                f"a name or description in the file is {error}; shorten or leave it out",
            )
        ) from error
    if counts["function"]:
        raise Refused(
            Broken(
                "graph.function",
                MODEL_FILE,
                f"{counts['function']} functions",
                "none",
                "the file defines functions; inline them with onnx.inliner.inline_local_functions",
            )
        )
    if counts["training"]:
        raise Refused(
            Broken(
                "graph.training",
                MODEL_FILE,
                f"{counts['training']} training steps",
                "none",
                "the file holds training steps; export for inference",
            )
        )
    if not counts["graph"]:
        raise Refused(_no_graph(content, "no graph in it"))
    return counts["node"]


def _parse(content: bytes) -> onnx.ModelProto:
    try:
        return onnx.ModelProto.FromString(content)
    except DecodeError as error:
        if any(word in str(error) for word in MEMORY_WORDS):
            raise
        raise Refused(_no_graph(content, str(error))) from error


def _without_weights(model: onnx.ModelProto) -> bytes:
    """Takes the weights out of a model; constants that could be a shape, which are small, stay."""
    for _, tensor in tensors(model.graph):
        if len(tensor.raw_data) > _SHAPE_BYTES:
            tensor.ClearField("raw_data")
    return bytes(model.SerializeToString())


def _check(content: bytes, bare: bytes) -> None:
    """As `check_model(full_check=True)`, which would copy the weights once more for the shapes."""
    try:
        checker.check_model(content)
        shape_inference.infer_shapes(bare, check_type=True, strict_mode=True)
    except (checker.ValidationError, shape_inference.InferenceError, ValueError) as error:
        raise Refused(
            Broken(
                "graph.checker",
                MODEL_FILE,
                shown(str(error)),
                "what onnx.checker.check_model(full_check=True) accepts",
                f"onnx's checker refuses the graph: {shown(str(error))}",
            )
        ) from error


def _sizes(bare: bytes) -> Iterator[Broken]:
    """Tensors that are too large whatever comes in; ONNX Runtime makes some of them at loading."""
    inferred = shape_inference.infer_shapes(bare, data_prop=True)
    for graph in graphs(inferred.graph):
        for value in (*graph.value_info, *graph.output, *graph.input):
            kind = value.type.tensor_type
            count = math.prod(max(dim.dim_value, 1) for dim in kind.shape.dim)
            size = count * item_bytes(kind.elem_type)
            if size > MAXIMUM_TENSOR_BYTES:
                dims = "x".join(str(dim.dim_value or "?") for dim in kind.shape.dim)
                yield Broken(
                    "graph.tensor-size",
                    shown(value.name),
                    f"{dims}, {size} bytes",
                    f"{MAXIMUM_TENSOR_BYTES} bytes",
                    "a tensor is too large whatever the audio; make it smaller",
                )


def _too_many(error: graph_scan.TooMany) -> Broken:
    rule, what, change = {
        "nodes": ("graph.too-many-nodes", "nodes", "simplify the graph"),
        "parts": (
            "graph.too-many-parts",
            "parts",
            "store constants as raw initializers, and leave out what describes the graph",
        ),
        "depth": ("graph.too-deep", "messages in messages", "flatten its subgraphs"),
    }[error.rule]
    return Broken(
        rule,
        MODEL_FILE,
        f"more than {error.allowed} {what}",
        f"{error.allowed} {what}",
        f"the graph has more than {error.allowed} {what}; {change}",
    )


def _no_graph(content: bytes, why: str) -> Broken:
    found = next((what for begin, what in _BEGINNINGS.items() if content.startswith(begin)), "")
    seen = found or (f"{len(content)} bytes: {shown(why)}" if content else "an empty file")
    return Broken(
        "graph.not-onnx",
        MODEL_FILE,
        seen,
        "an ONNX model",
        f"the file is no ONNX model ({seen}); export the model to ONNX",
    )


def _own_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    stored = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in stored]


def _signature(value: onnx.ValueInfoProto) -> JsonValue:
    kind = value.type.tensor_type
    return {
        "name": value.name,
        "dtype": helper.tensor_dtype_to_np_dtype(kind.elem_type).name,
        "dims": [dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim],
    }


def _opset(model: onnx.ModelProto) -> int:
    return next(entry.version for entry in model.opset_import if entry.domain in DOMAINS)


def _refuse_if(found: Iterator[Broken]) -> None:
    """Ends the stages if there is anything; takes no more than can be reported."""
    findings = [broken for broken, _ in zip(found, range(MAXIMUM_FINDINGS), strict=False)]
    if findings:
        raise Refused(*findings)
