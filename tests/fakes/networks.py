"""A small network of the stream contract with all the parts that real ones have.

Features with a logarithm, memory, dense layers worth quantising, heads. Its weights are drawn, so
that it hears nothing in particular.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

from tests.fakes.models import BANDS_HERTZ, FRAME_SAMPLES, write_stream_package

MEMORY_FRAMES: Final = 5
"""Of `state.power`, as the package of `tests.fakes.models` has it."""

_BANDS: Final = len(BANDS_HERTZ)
_HIDDEN: Final = 256
_TRACKS: Final = 2
_END: Final = np.iinfo(np.int64).max


def write_network_package(folder: Path) -> Path:
    """Writes the package; see `write_stream_package`."""
    return write_stream_package(folder, graph=network_graph())


def network_graph(seed: int = 1, *, scale: float = 1.0, bias: float = 2.0) -> bytes:
    """The graph.

    Args:
        seed: Of the weights.
        scale: Of the largest matrix.
        bias: Of speech and activity, before the sigmoid: somebody is heard mostly, or hardly.
    """
    rng = np.random.default_rng(seed)
    nodes: list[Any] = []
    constants: list[Any] = []

    def constant(value: Any, dtype: type = np.float32) -> str:
        name = f"constant{len(constants)}"
        constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def add(kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        name = output or f"{kind.lower()}{len(nodes)}"
        nodes.append(helper.make_node(kind, list(inputs), [name], name, **attributes))
        return name

    def cut(value: str, axis: int, start: int, end: int, output: str = "") -> str:
        bounds = [constant([number], np.int64) for number in (start, end, axis)]
        return add("Slice", value, *bounds, output=output)

    def dense(value: str, rows: int, columns: int, factor: float = 1.0, bias: float = 0.0) -> str:
        weight = rng.normal(0.0, factor / np.sqrt(rows), (rows, columns))
        product = add("MatMul", value, constant(weight))
        return add("Add", product, constant(rng.normal(bias, 0.1, columns)))

    frames = add("Reshape", "audio", constant([0, -1, FRAME_SAMPLES], np.int64))
    seconds = np.arange(FRAME_SAMPLES)[:, None] / 16_000
    phase = 2 * np.pi * np.asarray(BANDS_HERTZ)[None, :] * seconds
    waves = np.concatenate([np.cos(phase), np.sin(phase)], axis=1) * 2 / FRAME_SAMPLES
    parts = add("MatMul", frames, constant(waves))
    power = add("Mul", parts, parts)
    energy = add("MatMul", power, constant(np.concatenate([np.eye(_BANDS)] * 2)))
    logarithm = add("Log", add("Add", energy, constant(1e-9)))

    first = add("Relu", dense(add("Mul", logarithm, constant(0.1)), _BANDS, _HIDDEN))
    enter = dense(first, _HIDDEN, _BANDS)
    history = add("Concat", "state.power", enter, axis=1)
    cut(history, 1, -MEMORY_FRAMES, _END, output="next.power")
    before = add("Mul", cut(history, 1, 0, -MEMORY_FRAMES), constant(rng.normal(size=_BANDS)))
    mixed = add("Add", before, enter)
    seen = add("LayerNormalization", mixed, constant(np.ones(_BANDS)), axis=-1)
    wide = add("Relu", dense(seen, _BANDS, _HIDDEN, scale))
    trunk = add("Add", enter, dense(wide, _HIDDEN, _BANDS))

    likely = add("Sigmoid", dense(trunk, _BANDS, 1 + _TRACKS, bias=bias))
    add("Squeeze", cut(likely, 2, 0, 1), constant([2], np.int64), output="speech")
    cut(likely, 2, 1, 1 + _TRACKS, output="activity")
    sizes = constant([0, 0, _TRACKS, _BANDS], np.int64)
    vectors = add("Reshape", dense(trunk, _BANDS, _TRACKS * _BANDS), sizes)
    length = add("ReduceL2", vectors, axes=[3], keepdims=1)
    add("Div", vectors, add("Max", length, constant(1e-12)), output="embedding")

    def value(name: str, *dims: str | int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(dims))

    graph = helper.make_graph(
        nodes,
        "network",
        [value("audio", "batch", "samples"), value("state.power", "batch", MEMORY_FRAMES, _BANDS)],
        [
            value("speech", "batch", "frames"),
            value("activity", "batch", "frames", _TRACKS),
            value("embedding", "batch", "frames", _TRACKS, _BANDS),
            value("next.power", "batch", MEMORY_FRAMES, _BANDS),
        ],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())
