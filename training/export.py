"""Writes the network as an ONNX graph: `python -m training.export --checkpoint PATH --to PATH`.

The graph is written op by op rather than traced, so that its memory is explicit, both axes stay
dynamic and everything linear is folded: the analysis window into the transform, the feature
scaling into the first layer, the norms' gains into the layer after them. Every op works on rows
of their own, so an answer does not depend on what else is in the batch.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from training import paths
from training.network import Block, Network, analysis_window, mel_filters, transform_bins
from training.shape import (
    LEVEL_MEAN,
    LEVEL_SCALE,
    MEL_BANDS,
    MEL_FLOOR,
    SHAPE_SCALE,
    STACKED,
    TAIL_SAMPLES,
    TRACKS,
    WINDOW_SAMPLES,
    Array,
)
from training.train import load_network

OPSET = 17
_PIECE = 80  # samples: divides the window, the hop and the tail
_END = np.iinfo(np.int64).max


def export(network: Network) -> onnx.ModelProto:
    """The graph of contract diarization-stream/1.0, checked for form."""
    return _Graph(network).model()


def write(checkpoint: Path, graph: Path) -> None:
    """Exports the network of a checkpoint to a file."""
    graph.parent.mkdir(parents=True, exist_ok=True)
    graph.write_bytes(export(load_network(checkpoint)).SerializeToString())


def main() -> None:
    """Exports a checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=paths.RUN / "last.pt")
    parser.add_argument("--to", type=Path, default=paths.PACKAGE / "model.onnx")
    arguments = parser.parse_args()
    write(arguments.checkpoint, arguments.to)
    print(f"{arguments.to.name}: {arguments.to.stat().st_size} bytes")


class _Graph:
    def __init__(self, network: Network) -> None:
        self.network = network
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []

    def model(self) -> onnx.ModelProto:
        shape = self.network.shape
        self._input("audio", ["batch", "samples"])
        trunk = self._enter(self._log_mel())
        for index, block in enumerate(self.network.blocks):
            trunk = self._block(f"block{index}", cast("Block", block), trunk)
        seen = self._norm(trunk)
        self._heads(seen)
        outputs: dict[str, list[str | int]] = {
            "speech": ["batch", "frames"],
            "activity": ["batch", "frames", TRACKS],
            "embedding": ["batch", "frames", TRACKS, shape.embedding_dim],
        }
        described = [_value(name, dimensions) for name, dimensions in outputs.items()]
        graph = helper.make_graph(
            self.nodes,
            "diarizer",
            self.inputs,
            described + self.outputs,
            list(self.constants.values()),
        )
        opset = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=8)
        model.producer_name = "voiceflow-training"
        onnx.checker.check_model(model, full_check=True)
        return model

    def _log_mel(self) -> str:
        heard = self._remember("audio", "audio", [TAIL_SAMPLES])
        pieces = self._op("Reshape", [heard, self._integers([0, -1, _PIECE])])
        count = WINDOW_SAMPLES // _PIECE
        shifted = [
            self._slice(pieces, k, k + 1 - count if k + 1 < count else _END, step=2)
            for k in range(count)
        ]
        windows = self._op("Concat", shifted, axis=2)  # (batch, 4 * frames, 400)
        phase = 2 * np.pi * np.outer(np.arange(WINDOW_SAMPLES), transform_bins()) / WINDOW_SAMPLES
        transform = np.concatenate([np.cos(phase), np.sin(phase)], axis=1)
        transform *= analysis_window()[:, None]
        parts = self._op("MatMul", [windows, self._constant("transform", transform)])
        power = self._op("Mul", [parts, parts])
        filters = np.concatenate([mel_filters(), mel_filters()])
        energy = self._op("MatMul", [power, self._constant("filters", filters)])
        floor = self._constant("floor", np.float32(MEL_FLOOR))
        return self._op("Log", [self._op("Add", [energy, floor])])

    def _enter(self, mel: str) -> str:
        weight = _array(self.network.enter.weight).reshape(-1, STACKED, MEL_BANDS + 1)
        bias = _array(self.network.enter.bias)
        shapes, levels = weight[..., :MEL_BANDS], weight[..., MEL_BANDS:]
        # (f - mean f) / SHAPE_SCALE and (mean f - LEVEL_MEAN) / LEVEL_SCALE are linear in f.
        of_mean = levels / LEVEL_SCALE - shapes.sum(axis=2, keepdims=True) / SHAPE_SCALE
        folded = shapes / SHAPE_SCALE + of_mean / MEL_BANDS
        bias = bias - levels[..., 0].sum(axis=1) * LEVEL_MEAN / LEVEL_SCALE
        stacked = self._op("Reshape", [mel, self._integers([0, -1, STACKED * MEL_BANDS])])
        return self._dense("enter", stacked, folded.reshape(len(folded), -1), bias)

    def _block(self, name: str, block: Block, trunk: str) -> str:
        past = self._remember(name, trunk, [block.past, self.network.shape.channels])
        kernel = _array(block.depthwise)
        mixed = ""
        for tap, weights in enumerate(kernel):
            left = (len(kernel) - 1 - tap) * block.dilation
            heard = self._slice(past, tap * block.dilation, -left) if left else trunk
            weighed = self._op("Mul", [heard, self._constant(f"{name}.tap{tap}", weights)])
            mixed = self._op("Add", [mixed, weighed]) if mixed else weighed
        seen = self._norm(mixed)
        weight, bias = _fold(block.norm, block.widen)
        wide = self._op("Relu", [self._dense(f"{name}.widen", seen, weight, bias)])
        narrow = block.narrow
        added = self._dense(f"{name}.narrow", wide, _array(narrow.weight), _array(narrow.bias))
        return self._op("Add", [trunk, added])

    def _heads(self, seen: str) -> None:
        network = self.network
        logits = self._dense("activity", seen, *_fold(network.norm, network.activity))
        likely = self._op("Sigmoid", [logits])
        first = self._slice(likely, 0, 1, axis=2)
        self._op("Squeeze", [first, self._integers([2])], name="speech")
        self._slice(likely, 1, 1 + TRACKS, axis=2, name="activity")
        hidden = self._dense("hidden", seen, *_fold(network.norm, network.embedding_hidden))
        hidden = self._op("Relu", [hidden])
        last = network.embedding
        vectors = self._dense("vectors", hidden, _array(last.weight), _array(last.bias))
        sizes = self._integers([0, 0, TRACKS, network.shape.embedding_dim])
        vectors = self._op("Reshape", [vectors, sizes])
        length = self._op("ReduceL2", [vectors], axes=[3], keepdims=1)
        length = self._op("Max", [length, self._constant("least", np.float32(1e-12))])
        self._op("Div", [vectors, length], name="embedding")

    def _remember(self, name: str, now: str, tail: list[int]) -> str:
        """What came before and now, in one; keeps its last `tail[0]` for the next call."""
        self._input(f"state.{name}", ["batch", *tail])
        whole = self._op("Concat", [f"state.{name}", now], axis=1)
        self._slice(whole, -tail[0], _END, name=f"next.{name}")
        self.outputs.append(_value(f"next.{name}", ["batch", *tail]))
        return whole

    def _dense(self, name: str, seen: str, weight: Array, bias: Array) -> str:
        product = self._op("MatMul", [seen, self._constant(f"{name}.weight", weight.T)])
        return self._op("Add", [product, self._constant(f"{name}.bias", bias)])

    def _norm(self, seen: str) -> str:
        ones = self._constant("ones", np.ones(self.network.shape.channels, np.float32))
        return self._op("LayerNormalization", [seen, ones], axis=-1, epsilon=1e-5)

    def _slice(
        self, value: str, start: int, end: int, *, axis: int = 1, step: int = 1, name: str = ""
    ) -> str:
        bounds = [self._integers([number]) for number in (start, end, axis, step)]
        return self._op("Slice", [value, *bounds], name=name)

    def _op(self, kind: str, inputs: list[str], *, name: str = "", **attributes: Any) -> str:
        name = name or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def _constant(self, name: str, value: npt.ArrayLike) -> str:
        array = np.ascontiguousarray(value, np.float32)
        if np.ndim(value) == 0:
            array = array.reshape(())
        self.constants[f"constant.{name}"] = numpy_helper.from_array(array, f"constant.{name}")
        return f"constant.{name}"

    def _integers(self, values: list[int]) -> str:
        name = "integers." + "_".join(map(str, values))
        self.constants[name] = numpy_helper.from_array(np.asarray(values, np.int64), name)
        return name

    def _input(self, name: str, dimensions: list[str | int]) -> None:
        self.inputs.append(_value(name, dimensions))


def _fold(norm: nn.LayerNorm, layer: nn.Linear) -> tuple[Array, Array]:
    """The layer with the gain and offset of the norm before it taken in."""
    weight, bias = _array(layer.weight), _array(layer.bias)
    return weight * _array(norm.weight)[None, :], bias + weight @ _array(norm.bias)


def _array(tensor: Tensor) -> Array:
    array: Array = tensor.detach().numpy()
    return array


def _value(name: str, dimensions: list[str | int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, dimensions)


if __name__ == "__main__":
    main()
