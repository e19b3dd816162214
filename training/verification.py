"""Equal error rate of two-second speaker verification: `python -m training.verification`.

A trial compares the mean embeddings of two stretches of two seconds of speech, of one speaker or
of two speakers of the same set. Prints the rate per set, and pooled over the sets' trials.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from onnxruntime import InferenceSession

from training import paths
from training.corpus import Audio, Corpus, evaluation_corpus, tuning_corpus
from training.products import DIARIZER
from training.shape import FRAME_SAMPLES, LOOK_AHEAD_FRAMES, zero_states
from voiceflow.onnx.runtime import open_session

STRETCHES = 8
SAMPLES = 50 * FRAME_SAMPLES

Vectors = npt.NDArray[np.float32]
Embed = Callable[[Audio], Vectors]  # (batch, samples) -> (batch, dim)


def stretches(corpus: Corpus) -> Iterator[tuple[str, int, Audio]]:
    """Two-second stretches of every voice, at -25 dBFS: set, voice and audio.

    A voice's clips are joined end to end, from the first speech of each to its last, and cut into
    stretches that share no audio: at most `STRETCHES` of them, evenly spaced.
    """
    for voice, description in enumerate(corpus.voices):
        spoken = []
        for clip in description.clips:
            first, last = clip.speech[0][0], clip.speech[-1][1]
            start = clip.offset_samples
            spoken.append(corpus.audio[start + first : start + last].astype(np.float32))
        joined = np.concatenate(spoken)
        pieces = joined[: len(joined) // SAMPLES * SAMPLES].reshape(-1, SAMPLES)
        chosen = np.linspace(0, len(pieces) - 1, min(STRETCHES, len(pieces))).astype(int)
        for piece in pieces[chosen]:
            power = np.sqrt(np.mean(np.square(piece))) + 1e-3
            level = np.float32(10 ** (-25 / 20) / power)
            yield description.set_name, voice, np.clip(piece * level, -1, 1)


def equal_error_rates(corpus: Corpus, embed: Embed) -> dict[str, float]:
    """Percent per set and `pooled`."""
    sets, voices, audio = zip(*stretches(corpus), strict=True)
    pieces = np.stack(audio)
    mean = np.concatenate([embed(pieces[i : i + 64]) for i in range(0, len(pieces), 64)])
    mean /= np.linalg.norm(mean, axis=1, keepdims=True)
    groups, who = np.asarray(sets), np.asarray(voices)
    same: dict[str, Vectors] = {}
    other: dict[str, Vectors] = {}
    for group in sorted(set(sets)):
        rows = np.flatnonzero(groups == group)
        score = mean[rows] @ mean[rows].T
        equal = who[rows][:, None] == who[rows][None, :]
        upper = np.triu(np.ones_like(equal), 1)
        same[group], other[group] = score[equal & upper], score[~equal & upper]
    rates = {group: _rate(same[group], other[group]) for group in same}
    pooled = _rate(np.concatenate(list(same.values())), np.concatenate(list(other.values())))
    return rates | {"pooled": pooled}


def graph_embed(path: Path) -> Embed:
    """The vector of a stretch by an exported graph of either contract."""
    session = open_session(path.read_bytes(), threads=1)
    window = session.get_inputs()[0].shape[1]
    return _windowed(session, window) if isinstance(window, int) else _streamed(session)


def main() -> None:
    """Prints the rates of a graph, on tuning or `eval` speakers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=DIARIZER.package / "model.onnx")
    parser.add_argument("--speakers", choices=("tuning", "eval"), default="tuning")
    arguments = parser.parse_args()
    load = tuning_corpus if arguments.speakers == "tuning" else evaluation_corpus
    rates = equal_error_rates(load(paths.SPEECH, paths.CACHE), graph_embed(arguments.model))
    for group, rate in rates.items():
        print(f"{arguments.speakers} {group}: equal error rate {rate:.1f} %")


def _streamed(session: InferenceSession) -> Embed:
    """The mean of the first track; the look-ahead is met by silence at the end."""

    def embed(audio: Audio) -> Vectors:
        padded = np.pad(audio, ((0, 0), (0, LOOK_AHEAD_FRAMES * FRAME_SAMPLES)))
        feeds = {"audio": padded} | zero_states(len(audio))
        vectors: Vectors = session.run(["embedding"], feeds)[0][:, :, 0]
        return vectors[:, LOOK_AHEAD_FRAMES:].mean(axis=1)

    return embed


def _windowed(session: InferenceSession, window_samples: int) -> Embed:
    """The local speaker heard most in a window that begins with silence."""

    def embed(audio: Audio) -> Vectors:
        padded = np.pad(audio, ((0, 0), (window_samples - audio.shape[1], 0)))
        activity, vectors = session.run(["activity", "embedding"], {"audio": padded})
        most = activity.sum(axis=1).argmax(axis=1)  # (batch,)
        chosen: Vectors = vectors[np.arange(len(audio)), most]
        return chosen

    return embed


def _rate(same: Vectors, other: Vectors) -> float:
    thresholds = np.sort(np.concatenate([same, other]))
    missed = np.searchsorted(np.sort(same), thresholds) / len(same)
    taken = 1 - np.searchsorted(np.sort(other), thresholds) / len(other)
    at = int(np.argmin(np.abs(missed - taken)))
    return float(50 * (missed[at] + taken[at]))


if __name__ == "__main__":
    main()
