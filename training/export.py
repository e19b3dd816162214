"""Writes a network as an ONNX graph: `python -m training.export [--product fast-cnn]`.

Everything linear is folded: the analysis window into the transform, the feature scaling into the
first layer, the norms' gains into the layer after them. Every op works on rows of their own, so an
answer does not depend on what else is in the batch.
"""

from __future__ import annotations

import argparse
from abc import ABC, abstractmethod
from pathlib import Path
from typing import cast

import numpy as np
import onnx
from torch import Tensor, nn

from training.features import analysis_window, mel_filters, transform_bins
from training.graph import END, GraphWriter
from training.network import CLEAR, LEAST_WEIGHT, StreamNetwork, WindowNetwork
from training.products import add_argument, chosen
from training.shape import (
    FRAME_SAMPLES,
    LEVEL_MEAN,
    LEVEL_SCALE,
    LOCAL_SPEAKERS,
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
from training.trunk import Block, Trunk

_PIECE = 80  # samples: divides the window, the hop and the tail


def export(network: StreamNetwork | WindowNetwork) -> onnx.ModelProto:
    """The graph of contract diarization-stream/1.0 or diarization-window/1.0."""
    if isinstance(network, WindowNetwork):
        return _WindowGraph(network).written()
    return _StreamGraph(network).written()


def write(checkpoint: Path, graph: Path) -> None:
    """Exports the network of a checkpoint to a file."""
    graph.parent.mkdir(parents=True, exist_ok=True)
    graph.write_bytes(export(load_network(checkpoint)).SerializeToString())


def main() -> None:
    """Exports the last checkpoint of a product, or another one."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_argument(parser)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--to", type=Path)
    arguments = parser.parse_args()
    product = chosen(arguments)
    graph = arguments.to or product.package / "model.onnx"
    write(arguments.checkpoint or product.run / "last.pt", graph)
    print(f"{graph.name}: {graph.stat().st_size} bytes")


class _TrunkGraph(GraphWriter, ABC):
    """From audio to what the heads answer from; what lies around the audio is the subclass's."""

    def __init__(self, network: Trunk) -> None:
        super().__init__()
        self.network = network

    @abstractmethod
    def around(self, name: str, now: str, width: int, past: int, ahead: int) -> str:
        """`now`, (batch, steps, width) or (batch, samples) of width 0, with what is around it."""

    def trunk(self) -> str:
        """Audio in, the normed trunk out."""
        trunk = self._enter(self._log_mel())
        for index, block in enumerate(self.network.blocks):
            trunk = self._block(f"block{index}", cast("Block", block), trunk)
        return self._norm(trunk)

    def logits(self, seen: str) -> str:
        """The activities of every frame."""
        return self._dense("activity", seen, *_fold(self.network.norm, self.network.activity))

    def vectors(self, seen: str) -> str:
        """The vectors of every frame side by side, of any length."""
        layer = self.network.embedding_hidden
        hidden = self._dense("hidden", seen, *_fold(self.network.norm, layer))
        hidden = self.op("Relu", [hidden])
        last = self.network.embedding
        return self._dense("vectors", hidden, _array(last.weight), _array(last.bias))

    def _log_mel(self) -> str:
        heard = self.around("audio", "audio", 0, TAIL_SAMPLES, 0)
        pieces = self.op("Reshape", [heard, self.integers([0, -1, _PIECE])])
        count = WINDOW_SAMPLES // _PIECE
        shifted = [
            self.slice(pieces, k, k + 1 - count if k + 1 < count else END, step=2)
            for k in range(count)
        ]
        windows = self.op("Concat", shifted, axis=2)  # (batch, 4 * frames, 400)
        phase = 2 * np.pi * np.outer(np.arange(WINDOW_SAMPLES), transform_bins()) / WINDOW_SAMPLES
        transform = np.concatenate([np.cos(phase), np.sin(phase)], axis=1)
        transform *= analysis_window()[:, None]
        parts = self.op("MatMul", [windows, self.constant("transform", transform)])
        power = self.op("Mul", [parts, parts])
        filters = np.concatenate([mel_filters(), mel_filters()])
        energy = self.op("MatMul", [power, self.constant("filters", filters)])
        floor = self.constant("floor", np.float32(MEL_FLOOR))
        return self.op("Log", [self.op("Add", [energy, floor])])

    def _enter(self, mel: str) -> str:
        weight = _array(self.network.enter.weight).reshape(-1, STACKED, MEL_BANDS + 1)
        bias = _array(self.network.enter.bias)
        shapes, levels = weight[..., :MEL_BANDS], weight[..., MEL_BANDS:]
        # (f - mean f) / SHAPE_SCALE and (mean f - LEVEL_MEAN) / LEVEL_SCALE are linear in f.
        of_mean = levels / LEVEL_SCALE - shapes.sum(axis=2, keepdims=True) / SHAPE_SCALE
        folded = shapes / SHAPE_SCALE + of_mean / MEL_BANDS
        bias = bias - levels[..., 0].sum(axis=1) * LEVEL_MEAN / LEVEL_SCALE
        stacked = self.op("Reshape", [mel, self.integers([0, -1, STACKED * MEL_BANDS])])
        return self._dense("enter", stacked, folded.reshape(len(folded), -1), bias)

    def _block(self, name: str, block: Block, trunk: str) -> str:
        channels = self.network.shape.channels
        around = self.around(name, trunk, channels, block.past, block.ahead)
        kernel = _array(block.depthwise)
        mixed = ""
        for tap, weights in enumerate(kernel):
            left = (len(kernel) - 1 - tap) * block.dilation
            whole = left == 0 and block.ahead == 0
            end = -left if left else END
            heard = trunk if whole else self.slice(around, tap * block.dilation, end)
            weighed = self.op("Mul", [heard, self.constant(f"{name}.tap{tap}", weights)])
            mixed = self.op("Add", [mixed, weighed]) if mixed else weighed
        seen = self._norm(mixed)
        weight, bias = _fold(block.norm, block.widen)
        wide = self.op("Relu", [self._dense(f"{name}.widen", seen, weight, bias)])
        narrow = block.narrow
        added = self._dense(f"{name}.narrow", wide, _array(narrow.weight), _array(narrow.bias))
        return self.op("Add", [trunk, added])

    def _dense(self, name: str, seen: str, weight: Array, bias: Array) -> str:
        product = self.op("MatMul", [seen, self.constant(f"{name}.weight", weight.T)])
        return self.op("Add", [product, self.constant(f"{name}.bias", bias)])

    def _norm(self, seen: str) -> str:
        ones = self.constant("ones", np.ones(self.network.shape.channels, np.float32))
        return self.op("LayerNormalization", [seen, ones], axis=-1, epsilon=1e-5)


class _StreamGraph(_TrunkGraph):
    """Remembers what came before: each memory goes in, and out again for the next call."""

    def __init__(self, network: StreamNetwork) -> None:
        super().__init__(network)
        self._memories: list[tuple[str, list[str | int]]] = []

    def written(self) -> onnx.ModelProto:
        """The whole graph."""
        dim = self.network.shape.embedding_dim
        self.input("audio", ["batch", "samples"])
        seen = self.trunk()
        likely = self.op("Sigmoid", [self.logits(seen)])
        first = self.slice(likely, 0, 1, axis=2)
        self.op("Squeeze", [first, self.integers([2])], name="speech")
        self.slice(likely, 1, 1 + TRACKS, axis=2, name="activity")
        sizes = self.integers([0, 0, TRACKS, dim])
        self.unit_length(self.op("Reshape", [self.vectors(seen), sizes]), name="embedding")
        self.output("speech", ["batch", "frames"])
        self.output("activity", ["batch", "frames", TRACKS])
        self.output("embedding", ["batch", "frames", TRACKS, dim])
        for name, dimensions in self._memories:
            self.output(f"next.{name}", dimensions)
        return self.model("diarizer")

    def around(self, name: str, now: str, width: int, past: int, ahead: int) -> str:
        """What came before and now, in one; the last `past` of it are kept for the next call."""
        assert ahead == 0  # noqa: S101 - a stream does not hear what is to come
        dimensions: list[str | int] = ["batch", past, width] if width else ["batch", past]
        self.input(f"state.{name}", dimensions)
        whole = self.op("Concat", [f"state.{name}", now], axis=1)
        self.slice(whole, -past, END, name=f"next.{name}")
        self._memories.append((name, dimensions))
        return whole


class _WindowGraph(_TrunkGraph):
    """Hears silence before and after its window."""

    def written(self) -> onnx.ModelProto:
        """The whole graph."""
        shape = self.network.shape
        frames = shape.window_frames
        assert frames is not None  # noqa: S101 - it hears windows
        self.input("audio", ["batch", frames * FRAME_SAMPLES])
        seen = self.trunk()
        heard = self.op("Sigmoid", [self.logits(seen)], name="activity")
        pooled = self.op("MatMul", [self._alone(heard), self.vectors(seen)])
        self.unit_length(pooled, name="embedding")
        self.output("activity", ["batch", frames, LOCAL_SPEAKERS])
        self.output("embedding", ["batch", LOCAL_SPEAKERS, shape.embedding_dim])
        return self.model("fast-cnn")

    def around(self, name: str, now: str, width: int, past: int, ahead: int) -> str:
        """Zeros on both sides."""
        sides = [0, past, 0, 0, ahead, 0] if width else [0, past, 0, ahead]
        return self.op("Pad", [now, self.integers(sides)], name=f"around.{name}")

    def _alone(self, heard: str) -> str:
        """How much each frame counts for each local speaker: (batch, speakers, frames)."""
        covered = self.op("Mul", [heard, self.constant("clear", np.float32(CLEAR))])
        silent = self.op("Sub", [self.constant("one", np.float32(1)), covered])
        none = self.op("ReduceProd", [silent], axes=[2], keepdims=1)
        others = self.op("Div", [none, silent])
        alone = self.op("Mul", [heard, others])
        alone = self.op("Add", [alone, self.constant("some", np.float32(LEAST_WEIGHT))])
        return self.op("Transpose", [alone], perm=[0, 2, 1])


def _fold(norm: nn.LayerNorm, layer: nn.Linear) -> tuple[Array, Array]:
    """The layer with the gain and offset of the norm before it taken in."""
    weight, bias = _array(layer.weight), _array(layer.bias)
    return weight * _array(norm.weight)[None, :], bias + weight @ _array(norm.bias)


def _array(tensor: Tensor) -> Array:
    array: Array = tensor.detach().numpy()
    return array


if __name__ == "__main__":
    main()
