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
from training.verification import Embed, Vectors, equal_error_rates, graph_embed
from voiceflow.artifact import LatencyMode
from voiceflow.onnx import bind
from voiceflow.package import MODEL_FILE, load_package
from voiceflow.pipeline.model import empty_state

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
    ours = equal_error_rates(corpus, embed_by(package))
    _path(out, System.DENSITY).write_text(json.dumps(ours, indent=2) + "\n", "utf-8")
    return _run_peer(corpus, out) if peer else None


def left_rates(out: Path, *, peer: bool) -> EqualErrors:
    """The rates that a run has left, by system."""
    return {
        system: json.loads(_path(out, system).read_text("utf-8"))
        for system in VERIFIED
        if _path(out, system).exists() and (peer or system is not System.PEER)
    }


def embed_by(package: Path) -> Embed:
    """The vector of a stretch, by any package: `training.verification` knows the newest network."""
    model = bind(load_package(package))
    manifest = model.manifest
    if manifest.window_samples is not None:
        return graph_embed(package / MODEL_FILE)
    hop = manifest.hop_samples[LatencyMode.DENSITY]

    def hops(audio: Audio) -> Iterator[Vectors]:
        state = empty_state(model, len(audio))
        for start in range(0, audio.shape[1], hop):
            frames, state = model.run(np.ascontiguousarray(audio[:, start : start + hop]), state)
            yield frames.embedding[:, :, 0]

    def embed(audio: Audio) -> Vectors:
        late = manifest.look_ahead_frames
        silence = late * manifest.frame_samples
        padded = np.pad(audio, ((0, 0), (0, silence + -(audio.shape[1] + silence) % hop)))
        vectors = np.concatenate(list(hops(padded)), axis=1)[:, late:]  # (batch, frames, dim)
        heard = audio.shape[1] // manifest.frame_samples
        mean: Vectors = vectors[:, :heard].mean(axis=1)
        return mean

    return embed


def _run_peer(corpus: Corpus, out: Path) -> str | None:
    held = out / "stretches.npz"
    write_stretches(corpus, held)
    return peer_module("verify", held, "--json", _path(out, System.PEER))


def _path(out: Path, system: System) -> Path:
    return out / system / "equal-error.json"
