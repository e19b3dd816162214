"""How well two seconds of speech tell who speaks: by our vectors, and by the peer's encoder.

Both hear the same stretches, of speakers on whom nothing was trained or tuned.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.accuracy_systems import System, peer_module
from benchmarks.accuracy_targets import EqualErrors
from benchmarks.peers.diart.stretches import write_stretches
from training import paths
from training.corpus import Audio, Corpus, evaluation_corpus
from training.shape import FRAME_SAMPLES, LOOK_AHEAD_FRAMES
from training.verification import Embed, Vectors, equal_error_rates
from voiceflow.artifact import LatencyMode
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow.pipeline.model import BoundModel, empty_state

VERIFIED: Final = (System.DENSITY, System.PEER)


def run_verification(package: Path, out: Path, *, peer: bool) -> str | None:
    """Writes the equal error rates of both, where there is speech to try them on.

    Args:
        package: Our model's.
        out: Where a system's rates go.
        peer: Whether the peer's encoder is tried as well.

    Returns:
        Why the peer's was not, if it failed.
    """
    if not (paths.SPEECH / "utterances.csv").exists():
        return None
    corpus = evaluation_corpus(paths.SPEECH, paths.CACHE)
    ours = equal_error_rates(corpus, embed_by(bind(load_package(package))))
    _path(out, System.DENSITY).write_text(json.dumps(ours, indent=2) + "\n", "utf-8")
    return _run_peer(corpus, out) if peer else None


def left_rates(out: Path, *, peer: bool) -> EqualErrors:
    """The rates that a run has left, by system."""
    return {
        system: json.loads(_path(out, system).read_text("utf-8"))
        for system in VERIFIED
        if _path(out, system).exists() and (peer or system is not System.PEER)
    }


def embed_by(model: BoundModel) -> Embed:
    """The loudest voice, hop by hop, as late as `equal_error_rates` takes it.

    A stateful model has it on its first track; a windowed one, on the track that is most active.
    """
    manifest = model.manifest
    hop = manifest.hop_samples[LatencyMode.DENSITY]

    def hops(audio: Audio) -> Iterator[Vectors]:
        state = empty_state(model, len(audio))
        late = manifest.look_ahead_frames * manifest.frame_samples
        padding = late + -(audio.shape[1] + late) % hop
        padded = np.pad(audio, ((0, 0), (0, padding)))
        for start in range(0, padded.shape[1], hop):
            frames, state = model.run(np.ascontiguousarray(padded[:, start : start + hop]), state)
            if manifest.window_samples is None:
                yield frames.embedding[:, :, 0]
            else:
                loudest = frames.activity.argmax(axis=2)[:, :, None, None]
                yield np.take_along_axis(frames.embedding, loudest, axis=2)[:, :, 0]

    def embed(audio: Audio) -> Vectors:
        voices = np.concatenate(list(hops(audio)), axis=1)[:, manifest.look_ahead_frames :]
        late = np.pad(voices, ((0, 0), (LOOK_AHEAD_FRAMES, 0), (0, 0)))
        return late[:, : audio.shape[1] // FRAME_SAMPLES]  # (batch, frames, dim)

    return embed


def _run_peer(corpus: Corpus, out: Path) -> str | None:
    held = out / "stretches.npz"
    write_stretches(corpus, held)
    return peer_module("verify", held, "--json", _path(out, System.PEER))


def _path(out: Path, system: System) -> Path:
    return out / system / "equal-error.json"
