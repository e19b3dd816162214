"""Model files made to harm whoever parses, checks, loads or runs them."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

MIB = 1024**2


def model(
    nodes: Sequence[NodeProto],
    *,
    initializers: Sequence[TensorProto] = (),
    inputs: Sequence[Any] | None = None,
    outputs: Sequence[Any] | None = None,
    opset: int = 17,
    ir_version: int = 8,
    functions: Sequence[Any] = (),
    domains: Sequence[str] = (),
) -> ModelProto:
    """A model from `x` to `y`, both float32 [n], unless told otherwise."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [value("x", "n")] if inputs is None else inputs,
        [value("y", "n")] if outputs is None else outputs,
        initializers,
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(
        graph, opset_imports=opsets, ir_version=ir_version, functions=functions
    )


def value(name: str, *dims: str | int, dtype: int = TensorProto.FLOAT) -> Any:
    """An input or output."""
    return helper.make_tensor_value_info(name, dtype, list(dims))


def constant(name: str, array: Any, dtype: type = np.float32) -> TensorProto:
    """An initializer."""
    return numpy_helper.from_array(np.asarray(array, dtype), name)


def harmless() -> bytes:
    """What every one of them pretends to be."""
    return bytes(model([helper.make_node("Relu", ["x"], ["y"])]).SerializeToString())


def empty_nodes(size_bytes: int = 16 * MIB) -> bytes:
    """R5: two bytes a node; parsed, each is an object of a hundred and more."""
    return harmless() + _part(7, b"\x0a\x00" * (size_bytes // 2))


def empty_values(size_bytes: int = 16 * MIB) -> bytes:
    """R5 again, with descriptions of values instead of nodes."""
    return harmless() + _part(7, b"\x6a\x00" * (size_bytes // 2))


def nested_functions(depth: int = 26) -> bytes:
    """R6: each function calls the next one twice, so a few kilobytes unfold to 2**depth nodes."""
    functions = []
    for level in range(depth):
        inner, domain = ("Relu", "") if level == depth - 1 else (f"f{level + 1}", "bomb")
        functions.append(
            helper.make_function(
                "bomb",
                f"f{level}",
                ["x"],
                ["y"],
                [
                    helper.make_node(inner, ["x"], ["between"], domain=domain),
                    helper.make_node(inner, ["between"], ["y"], domain=domain),
                ],
                [helper.make_opsetid("", 17), helper.make_opsetid("bomb", 1)],
            )
        )
    node = helper.make_node("f0", ["x"], ["y"], domain="bomb")
    return bytes(model([node], functions=functions, domains=["bomb"]).SerializeToString())


def endless_loop() -> bytes:
    """R7: a loop of 2**63 - 1 rounds."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["goes_on"]),
            helper.make_node("Identity", ["carried"], ["carried_on"]),
        ],
        "body",
        [
            value("round", dtype=TensorProto.INT64),
            value("going", dtype=TensorProto.BOOL),
            value("carried", "n"),
        ],
        [value("goes_on", dtype=TensorProto.BOOL), value("carried_on", "n")],
    )
    node = helper.make_node("Loop", ["rounds", "yes", "x"], ["y"], body=body)
    constants = [
        constant("rounds", np.iinfo(np.int64).max, np.int64),
        constant("yes", True, np.bool_),  # noqa: FBT003 - the number itself
    ]
    return bytes(model([node], initializers=constants).SerializeToString())


def nested_branches(depth: int) -> bytes:
    """R8: an If in an If in an If."""

    def leaf(output: str) -> GraphProto:
        node = helper.make_node("Relu", ["x"], [output])
        return helper.make_graph([node], "leaf", [], [value(output, "n")])

    inner = leaf("y0")
    for level in range(1, depth):
        # The other branch is a leaf, or the file itself would grow as 2**depth.
        names = f"y{level}", f"z{level}"
        node = helper.make_node(
            "If", ["yes"], [names[0]], then_branch=inner, else_branch=leaf(names[1])
        )
        inner = helper.make_graph([node], f"level{level}", [], [value(names[0], "n")])
    node = helper.make_node("If", ["yes"], ["y"], then_branch=inner, else_branch=leaf("z"))
    constants = [constant("yes", True, np.bool_)]  # noqa: FBT003
    return bytes(model([node], initializers=constants).SerializeToString())


def huge_constant(gibibytes: int = 256) -> bytes:
    """R9: a small shape that stands for hundreds of gibibytes, made when the graph is loaded."""
    shape = constant("shape", [gibibytes * 1024**3 // 4], np.int64)
    return _filling("shape", [], [shape])


def hidden_huge_constant(gibibytes: int = 256) -> bytes:
    """R9 again, with a shape that only running the graph tells: it comes in."""
    cast = helper.make_node("Cast", ["x"], ["long"], to=TensorProto.INT64)
    scale = constant("scale", [gibibytes * 1024**3 // 4], np.int64)
    return _filling("shape", [cast, helper.make_node("Mul", ["long", "scale"], ["shape"])], [scale])


def _filling(shape: str, before: list[NodeProto], constants: list[TensorProto]) -> bytes:
    nodes = [
        *before,
        helper.make_node("ConstantOfShape", [shape], ["filled"]),
        helper.make_node("ReduceSum", ["filled"], ["total"], keepdims=0),
        helper.make_node("Add", ["x", "total"], ["y"]),
    ]
    return bytes(
        model(
            nodes, initializers=constants, inputs=[value("x", 1)], outputs=[value("y", 1)]
        ).SerializeToString()
    )


def external_data(location: str, *, in_subgraph: bool = False) -> bytes:
    """R10: weights that are to be read from another file."""
    tensor = TensorProto(name="weights", data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    if not in_subgraph:
        add = helper.make_node("Add", ["x", "weights"], ["y"])
        return bytes(model([add], initializers=[tensor]).SerializeToString())
    node = helper.make_node("Constant", [], ["stored"], value=tensor)
    inner = helper.make_graph(
        [node, helper.make_node("Add", ["x", "stored"], ["sum"])], "inner", [], [value("sum", "n")]
    )
    choice = helper.make_node("If", ["yes"], ["y"], then_branch=inner, else_branch=inner)
    constants = [constant("yes", True, np.bool_)]  # noqa: FBT003
    return bytes(model([choice], initializers=constants).SerializeToString())


def custom_domain() -> bytes:
    """R11: an operator that only a library of somebody's own knows; onnx's checker accepts it."""
    node = helper.make_node("Backdoor", ["x"], ["y"], domain="com.example")
    return bytes(model([node], domains=["com.example"]).SerializeToString())


def zip_archive() -> bytes:
    """R16: a checkpoint of another framework."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("model/data.pkl", b"weights")
    return file.getvalue()


def pickled() -> bytes:
    """R16: runs a command in whoever unpickles it."""
    return pickle.dumps(_Command())


class _Command:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('a pickle was loaded')",)


def garbage(size_bytes: int = 4096) -> bytes:
    """R16: noise."""
    return bytes(np.random.default_rng(0).integers(0, 256, size_bytes, np.uint8))


def _part(field: int, content: bytes) -> bytes:
    """One field of a message, in protobuf's wire format."""
    size = len(content)
    length = bytearray()
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    length.append(size)
    return bytes([field << 3 | 2]) + bytes(length) + content
