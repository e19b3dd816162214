"""What a graph tells of itself: its contract by its tensors, its sizes by running it once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voiceflow.contract import STREAM_CONTRACT, Contract, TensorSignature, contracts
from voiceflow.errors import PackageInvalid
from voiceflow.onnx.runtime import open_session, signatures
from voiceflow.packing.draft import Stated

FloatArray = NDArray[np.float32]

_TRIED_SAMPLES: Final = (96_000, 102_400, 105_840, 7_680)
"""Lengths of audio that hold whole frames of nearly every usual size: 160, 320, 441, 512, 640, …"""


@dataclass(frozen=True, slots=True)
class GraphFacts:
    """What a graph tells.

    Attributes:
        contract: `diarization-stream/1.0`: the one whose tensors it has.
        inputs: Its inputs.
        outputs: Its outputs.
        tracks: Voices at once.
        embedding_dim: Length of a speaker vector.
        frame_samples: Audio of one output step.
        window_samples: Audio of one call; None for a stateful model.
    """

    contract: str
    inputs: tuple[TensorSignature, ...]
    outputs: tuple[TensorSignature, ...]
    tracks: int
    embedding_dim: int
    frame_samples: int
    window_samples: int | None


class Graph:
    """A loaded graph.

    Args:
        model: The ONNX file.

    Raises:
        PackageInvalid: GRAPH_REFUSED: ONNX Runtime does not load it.
    """

    def __init__(self, model: bytes) -> None:
        self._session = open_session(model, threads=1)
        self.inputs = tuple(signatures(self._session.get_inputs()))
        self.outputs = tuple(signatures(self._session.get_outputs()))

    def run(self, feeds: dict[str, FloatArray]) -> dict[str, FloatArray]:
        """All outputs, by name.

        Raises:
            PackageInvalid: GRAPH_FAILED: ONNX Runtime does not run it on these.
        """
        names = [tensor.name for tensor in self.outputs]
        try:
            return dict(zip(names, self._session.run(names, feeds), strict=True))
        except Exception as error:  # ONNX Runtime's exceptions share no base class
            shapes = ", ".join(f"{name} {list(feed.shape)}" for name, feed in feeds.items())
            raise PackageInvalid(
                f"model.onnx: does not run on {shapes}: {error}",
                reason="GRAPH_FAILED",
                field="files.model.onnx",
            ) from error

    def zero_state(self, batch: int) -> dict[str, FloatArray]:
        """The memory at the start of a stream.

        Raises:
            PackageInvalid: CONTRACT_MISMATCH: a memory has more than its batch dynamic.
        """
        state = {}
        for tensor in self.inputs:
            if not tensor.name.startswith("state."):
                continue
            fixed = [dim for dim in tensor.dims[1:] if dim is not None]
            if len(fixed) != len(tensor.dims) - 1:
                raise PackageInvalid(
                    f"input {tensor}: allowed is a memory with every dimension but the batch fixed;"
                    " export it so",
                    reason="CONTRACT_MISMATCH",
                    field="files.model.onnx",
                )
            state[tensor.name] = np.zeros((batch, *fixed), np.float32)
        return state


def facts_of(graph: Graph, stated: Stated) -> GraphFacts:
    """What a graph tells of itself, where it does not contradict what is stated.

    Args:
        graph: The graph.
        stated: What its publisher states; sizes that the graph leaves open are taken from here.

    Raises:
        PackageInvalid: CONTRACT_MISMATCH, MANIFEST_INCOMPLETE or MANIFEST_CONTRADICTED, with what
            to change.
    """
    contract = _recognised(graph)
    if contract.identifier == STREAM_CONTRACT:
        window_samples, outputs, samples = None, *_probe_stream(graph, stated)
    else:
        window_samples, outputs, samples = _probe_window(graph, stated)
    activity, embedding = outputs["activity"], outputs["embedding"]
    frames = activity.shape[1] if activity.ndim == 3 else 0
    if frames < 1 or samples % frames:
        raise PackageInvalid(
            f"model.onnx: gives activity of shape {list(activity.shape)} for {samples} samples;"
            " allowed is [batch, frames, tracks] with a whole number of samples a frame",
            reason="CONTRACT_MISMATCH",
            field="files.model.onnx",
        )
    facts = GraphFacts(
        contract.identifier,
        graph.inputs,
        graph.outputs,
        tracks=activity.shape[-1],
        embedding_dim=embedding.shape[-1],
        frame_samples=samples // frames,
        window_samples=window_samples,
    )
    for field in _TOLD:
        told = getattr(facts, field)
        if stated.get(field) not in {None, told}:
            raise PackageInvalid(
                f"{field}: {stated[field]!r} is stated, but the graph has {told!r};"
                f" leave {field} out, or give the graph that was meant",
                reason="MANIFEST_CONTRADICTED",
                field=field,
            )
    return facts


_TOLD: Final = ("contract", "tracks", "embedding_dim", "frame_samples", "window_samples")


def _recognised(graph: Graph) -> Contract:
    """The contract whose tensors the graph has."""
    hints = []
    for identifier, contract in sorted(contracts().items()):
        prefixes = (
            (contract.state.input_prefix, contract.state.output_prefix) if contract.state else ()
        )
        seen = {tensor.name for tensor in (*graph.inputs, *graph.outputs)}
        own = {name for name in seen if not name.startswith(prefixes or ("\0",))}
        wanted = {tensor.name for tensor in (*contract.inputs, *contract.outputs)}
        if own == wanted:
            return contract
        lacks, besides = sorted(wanted - own), sorted(own - wanted)
        parts = [f"lacks {', '.join(lacks)}"] * bool(lacks)
        parts += [f"has {', '.join(besides)} besides"] * bool(besides)
        hints.append(f"for {identifier} it {' and '.join(parts)}")
    raise PackageInvalid(
        f"model.onnx: its tensors are those of no contract: {'; '.join(hints)}. Name the graph's"
        " inputs and outputs as one of the contracts does",
        reason="CONTRACT_MISMATCH",
        field="contract",
    )


def _probe_stream(graph: Graph, stated: Stated) -> tuple[dict[str, FloatArray], int]:
    """Runs some audio through a stateful graph; its outputs, and how many samples went in."""
    frame = stated.get("frame_samples")
    tried = (12 * frame,) if isinstance(frame, int) and frame > 0 else _TRIED_SAMPLES
    for samples in tried:
        feeds = {"audio": np.zeros((1, samples), np.float32)} | graph.zero_state(1)
        try:
            return graph.run(feeds), samples
        except PackageInvalid as error:
            refusal = error
    raise PackageInvalid(
        f"frame_samples: how much audio one output step covers cannot be told from the graph, which"
        f" does not run on {_either(tried)} samples; state it ({refusal.message})",
        reason="MANIFEST_INCOMPLETE",
        field="frame_samples",
    ) from refusal


def _probe_window(graph: Graph, stated: Stated) -> tuple[int, dict[str, FloatArray], int]:
    """Runs one window through a stateless graph."""
    (audio,) = (tensor for tensor in graph.inputs if tensor.name == "audio")
    window = audio.dims[-1] if audio.dims else None
    if window is None:
        window = stated.get("window_samples")
    if not isinstance(window, int):
        raise PackageInvalid(
            "window_samples: the graph leaves the length of a window open; state it",
            reason="MANIFEST_INCOMPLETE",
            field="window_samples",
        )
    return window, graph.run({"audio": np.zeros((1, window), np.float32)}), window


def _either(numbers: Sequence[int]) -> str:
    return " or ".join(str(number) for number in numbers)
