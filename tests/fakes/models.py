"""Two small deterministic models, one for each contract, as complete packages.

They hear tones: sixteen bands, the loudest band of a frame is its first voice and the second
loudest, if it is nearly as loud, its second; a voice's embedding is the unit vector of its band. So
a conversation of tones has a diarization that can be written down. Speech in real recordings
gives them plenty of voices, which is as good for comparing two runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, checker, helper, numpy_helper

from voiceflow.artifact import LatencyMode, Manifest, OperatingPoint, digest_of
from voiceflow.contract import STREAM_CONTRACT, WINDOW_CONTRACT
from voiceflow.onnx.runtime import open_session

FRAME_SAMPLES = 640
LOOK_AHEAD_FRAMES = 4
WINDOW_SAMPLES = 48_000
BANDS_HERTZ = tuple(25 * round(200 * 1.25**band / 25) for band in range(16))
"""Frequency of each band: whole periods fit a frame."""

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Spoken:
    """A stretch of a made-up conversation: the bands that sound, and for how long."""

    bands: tuple[int, ...]
    seconds: float


def tones(*conversation: Spoken, amplitude: float = 0.3) -> FloatArray:
    """A conversation of tones at 16 kHz, (samples,)."""
    pieces = []
    for part in conversation:
        time = np.arange(round(part.seconds * 16_000)) / 16_000
        piece = np.zeros(len(time))
        for band in part.bands:
            piece += amplitude * np.sin(2 * np.pi * BANDS_HERTZ[band] * time)
        pieces.append(piece)
    return np.concatenate(pieces).astype(np.float32)


def write_stream_package(
    folder: Path, version: str = "1.0.0", *, graph: bytes = b"", **changes: object
) -> Path:
    """Writes a `diarization-stream/1.0` package with one real state tensor; returns the folder.

    Args:
        folder: Is made if it is not there.
        version: Of the manifest.
        graph: Another graph than the one that hears tones.
        changes: Other fields of the manifest.
    """
    graph = graph or stream_graph()
    return _write(folder, version, STREAM_CONTRACT, graph, _stream_feeds(), changes)


def write_window_package(
    folder: Path, version: str = "1.0.0", *, graph: bytes = b"", **changes: object
) -> Path:
    """Writes a `diarization-window/1.0` package; see `write_stream_package`."""
    audio = _noise((2, WINDOW_SAMPLES))
    graph = graph or window_graph()
    return _write(folder, version, WINDOW_CONTRACT, graph, {"audio": audio}, changes)


_HISTORY_FRAMES = LOOK_AHEAD_FRAMES + 1
_BANDS = len(BANDS_HERTZ)


class _Graph:
    """Collects nodes and constants of one graph."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: Any, dtype: type = np.float32) -> str:
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        name = output or f"value{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def crop(self, value: str, axis: int, start: int, end: int, output: str = "") -> str:
        bounds = [self.constant([number], np.int64) for number in (start, end, axis)]
        return self.add("Slice", value, *bounds, output=output)

    def power(self, audio: str) -> str:
        """Power by band, (batch, frames, bands): a sine of amplitude A gives A²."""
        frames = self.add(
            "Reshape", audio, self.constant([0, -1, FRAME_SAMPLES], np.int64), allowzero=0
        )
        time = np.arange(FRAME_SAMPLES)[:, None] / 16_000
        phase = 2 * np.pi * np.asarray(BANDS_HERTZ)[None, :] * time
        squares = []
        for wave in (np.cos(phase), np.sin(phase)):
            part = self.add("MatMul", frames, self.constant(wave * 2 / FRAME_SAMPLES))
            squares.append(self.add("Mul", part, part))
        return self.add("Add", *squares)

    def total(self, power: str, keep: int) -> str:
        return self.add("ReduceSum", power, self.constant([-1], np.int64), keepdims=keep)

    def above(self, value: str, threshold: str, steepness: int, output: str = "") -> str:
        """How far a value is above a threshold, 0 to 1, half at the threshold.

        Only arithmetic that rounds in one way: logarithms and exponentials may differ in their
        last bit with the place of a number in the batch.
        """
        powers = []
        for factor in (value, threshold):
            product = factor
            for _ in range(steepness - 1):
                product = self.add("Mul", product, factor)
            powers.append(product)
        whole = self.add("Add", self.add("Add", *powers), self.constant(1e-30))
        return self.add("Div", powers[0], whole, output=output)

    def top_two(self, power: str) -> tuple[str, str]:
        """The two loudest bands: their powers, and one-hot vectors of them."""
        values, indices = f"values{len(self.nodes)}", f"indices{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(
                "TopK", [power, self.constant([2], np.int64)], [values, indices], axis=-1
            )
        )
        depth = self.constant(_BANDS, np.int64)
        return values, self.add("OneHot", indices, depth, self.constant([0, 1]), axis=-1)

    def model(self, inputs: list[Any], outputs: list[Any]) -> bytes:
        graph = helper.make_graph(self.nodes, "tones", inputs, outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString())


_QUIET = 3e-4
"""Power below which nothing is heard: a sine of amplitude 0.017."""


def _value(name: str, *dims: str | int) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(dims))


def stream_graph() -> bytes:
    """The graph of the package of contract diarization-stream/1.0."""
    graph = _Graph()
    power = graph.power("audio")
    quiet = graph.constant(_QUIET)
    graph.above(graph.total(power, 0), quiet, 2, output="speech")

    history = graph.add("Concat", "state.power", power, axis=1)
    graph.crop(history, 1, -_HISTORY_FRAMES, np.iinfo(np.int64).max, output="next.power")
    # A frame and its neighbours, look-ahead frames ago: memory that a lost state would show.
    before, at, after = (graph.crop(history, 1, k, k - _HISTORY_FRAMES) for k in range(3))
    smooth = graph.add("Div", graph.add("Sum", before, at, after), graph.constant(3.0))
    loudest, _ = graph.top_two(smooth)
    graph.nodes[-1].output[0] = "embedding"
    share = graph.add("Mul", graph.total(smooth, 1), graph.constant(0.2))
    threshold = graph.add("Max", share, quiet)
    graph.above(loudest, threshold, 3, output="activity")
    return graph.model(
        [
            _value("audio", "batch", "samples"),
            _value("state.power", "batch", _HISTORY_FRAMES, _BANDS),
        ],
        [
            _value("speech", "batch", "frames"),
            _value("activity", "batch", "frames", 2),
            _value("embedding", "batch", "frames", 2, _BANDS),
            _value("next.power", "batch", _HISTORY_FRAMES, _BANDS),
        ],
    )


def window_graph() -> bytes:
    """The graph of the package of contract diarization-window/1.0."""
    graph = _Graph()
    power = graph.power("audio")
    whole = graph.add("ReduceSum", power, graph.constant([1], np.int64), keepdims=0)
    graph.top_two(whole)
    graph.nodes[-1].output[0] = "embedding"  # (batch, 2, bands)
    local = graph.add("MatMul", power, graph.add("Transpose", "embedding", perm=[0, 2, 1]))
    share = graph.add("Mul", graph.total(power, 1), graph.constant(0.2))
    threshold = graph.add("Max", share, graph.constant(_QUIET))
    graph.above(local, threshold, 3, output="activity")
    return graph.model(
        [_value("audio", "batch", WINDOW_SAMPLES)],
        [
            _value("activity", "batch", WINDOW_SAMPLES // FRAME_SAMPLES, 2),
            _value("embedding", "batch", 2, _BANDS),
        ],
    )


def _noise(shape: tuple[int, ...]) -> FloatArray:
    return np.random.default_rng(0).uniform(-0.3, 0.3, shape).astype(np.float32)


def _stream_feeds() -> dict[str, FloatArray]:
    return {
        "audio": _noise((2, 12 * FRAME_SAMPLES)),
        "state.power": np.abs(_noise((2, _HISTORY_FRAMES, _BANDS))),
    }


def _write(
    folder: Path,
    version: str,
    contract: str,
    graph: bytes,
    feeds: dict[str, FloatArray],
    changes: Mapping[str, object],
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    session = open_session(graph, threads=1)
    names = [output.name for output in session.get_outputs()]
    golden = feeds | dict(zip(names, session.run(names, feeds), strict=True))
    arrays = {f"noise/{name}": array for name, array in golden.items()}
    np.savez(folder / "golden.npz", allow_pickle=False, tolerance=np.float32(1e-4), **arrays)
    (folder / "model.onnx").write_bytes(graph)
    (folder / "README.md").write_text("# A model that hears tones\n\nFor tests.\n")
    files = {
        name: (folder / name).read_bytes() for name in ("model.onnx", "golden.npz", "README.md")
    }
    windowed = contract == WINDOW_CONTRACT
    manifest = Manifest(
        schema_version=1,
        model="tones",
        version=version,  # type: ignore[arg-type]
        contract=contract,
        sample_rate_hertz=16_000,
        frame_samples=FRAME_SAMPLES,
        window_samples=WINDOW_SAMPLES if windowed else None,
        hop_samples={LatencyMode.DENSITY: 7680, LatencyMode.AGENT: 1280},
        tracks=2,
        embedding_dim=_BANDS,
        look_ahead_frames=LOOK_AHEAD_FRAMES,
        context_seconds=3.0 if windowed else 0.4,
        embedding_space="tones-1",
        state_space=None if windowed else "tones-1",
        operating_point=OperatingPoint(
            speech_threshold=0.5,
            activity_threshold=0.5,
            overlap_threshold=0.5,
            new_speaker_threshold=0.5,
            same_speaker_threshold=0.7,
            minimum_turn_seconds=0.2,
            minimum_pause_seconds=0.2,
            smoothing_seconds=0.4,
        ),
        licence="Apache-2.0",
        files={name: digest_of(content) for name, content in files.items()},
        sizes={name: len(content) for name, content in files.items()},
    )
    manifest = Manifest.model_validate(manifest.model_dump() | dict(changes))
    (folder / "manifest.json").write_text(manifest.to_json())
    return folder
