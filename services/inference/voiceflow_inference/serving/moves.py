"""How streams get from one loaded model to another: what both claim, seen in what they say.

The registry's gate looks at a version beside the newest earlier one that makes the same claim; a
pod may hold another pair, and may have its models from a folder. So nothing is believed here that
this process has not seen itself: both models hear one synthetic conversation, and are judged by the
measures and thresholds of the gate.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import wave
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from voiceflow.artifact import SAMPLE_RATE_HERTZ, Manifest, digest_of
from voiceflow.pipeline.model import BoundModel, FloatArray, Frames, empty_state
from voiceflow.pipeline.moves import can_follow
from voiceflow.validation.gates.agreement import Said, judge_state, judge_vectors, mean_cosine
from voiceflow_inference.serving.placing import How

_LOG = logging.getLogger(__name__)


@cache
def synthetic_conversation() -> FloatArray:
    """Twelve seconds of synthetic voices at 16 kHz, (samples,).

    A process of its own makes them: it computes for seconds and needs much memory, and streams here
    would feel both.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "conversation.wav"
        command = [sys.executable, "-m", "voiceflow.sample", str(path)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run(  # noqa: S603 - of this very program
            command, env=environment, check=True, timeout=_SYNTHESIS_SECONDS, capture_output=True
        )
        with wave.open(str(path)) as file:
            heard = file.readframes(round(_AUDIO_SECONDS * SAMPLE_RATE_HERTZ))
    return np.frombuffer(heard, "<i2").astype(np.float32) / np.float32(32768)


class Verifier:
    """Says how a stream gets from one model to another; keeps what it has found.

    Used by one thread at a time.

    Args:
        audio: What models hear, at 16 kHz, (samples,); asked for once something is to be heard.
    """

    def __init__(self, audio: Callable[[], FloatArray] = synthetic_conversation) -> None:
        self._audio = audio
        self._found: dict[tuple[str, str], How] = {}

    def verify(self, old: BoundModel, new: BoundModel) -> How:
        """How streams get from the one to the other.

        Runs both for a second or two, unless the pair has been seen; never raises.
        """
        pair = _digest(old.manifest), _digest(new.manifest)
        if pair not in self._found:
            if len(self._found) >= _REMEMBERED_PAIRS:
                del self._found[next(iter(self._found))]
            self._found[pair] = self._look(old, new)
        return self._found[pair]

    def _look(self, old: BoundModel, new: BoundModel) -> How:
        one, other = old.manifest, new.manifest
        claimed = claimed_how(one, other)
        if claimed is How.TOLD:
            return How.TOLD
        try:
            how = _seen(old, new, self._audio(), claimed)
        except Exception:  # noqa: BLE001 whatever a model does
            _LOG.exception("%s beside %s failed", other.resource_name, one.resource_name)
            how = How.TOLD
        if how is not claimed:
            _LOG.warning(
                "streams of %s would be %s to %s by what it claims; seen here: %s",
                one.resource_name,
                claimed.value,
                other.resource_name,
                how.value,
            )
        return how


def claimed_how(old: Manifest, new: Manifest) -> How:
    """How streams get from one model to another if all is true that manifests say."""
    if not can_follow(old, new) or old.embedding_space != new.embedding_space:
        return How.TOLD
    if old.state_space is not None and old.state_space == new.state_space:
        return How.CARRIED
    # A stream keeps as much audio as the model needs that it began on.
    return How.REPLAYED if new.context_seconds <= old.context_seconds else How.TOLD


_AUDIO_SECONDS: Final = 12.0
_SWITCHES_SECONDS: Final = (2.4, 4.8, 7.2, 9.6)
_AFTER_SECONDS: Final = 1.0
"""How long after a switch answers are compared: an old memory is forgotten after a while."""

_SYNTHESIS_SECONDS: Final = 120.0
_REMEMBERED_PAIRS: Final = 64

State = Mapping[str, FloatArray]


def _digest(manifest: Manifest) -> str:
    return digest_of(manifest.to_json().encode())


def _seen(old: BoundModel, new: BoundModel, audio: FloatArray, claimed: How) -> How:
    """What of the claim holds, heard over the audio."""
    name = old.manifest.resource_name
    before, _ = _hear(old, audio, 0)
    after, _ = _hear(new, audio, 0)
    if judge_vectors(name, new.manifest, mean_cosine(after, before)).findings:
        return How.TOLD
    if claimed is How.CARRIED:
        if not judge_state(name, new.manifest, _switched(old, new, audio)).findings:
            return How.CARRIED
        if new.manifest.context_seconds > old.manifest.context_seconds:
            return How.TOLD
    return How.REPLAYED


def _switched(old: BoundModel, new: BoundModel, audio: FloatArray) -> list[tuple[Said, Said]]:
    """What the new one says after switches: with the old one's memory, and with its own."""
    pairs = []
    theirs: State = empty_state(old, 1)
    ours: State = empty_state(new, 1)
    start = 0
    for at in (_whole(seconds, new.manifest) for seconds in _SWITCHES_SECONDS):
        _, theirs = _hear(old, audio[start:at], start, theirs)
        _, ours = _hear(new, audio[start:at], start, ours)
        stretch = audio[at : at + _whole(_AFTER_SECONDS, new.manifest)]
        pairs.append((_hear(new, stretch, at, theirs)[0], _hear(new, stretch, at, ours)[0]))
        start = at
    return pairs


def _whole(seconds: float, manifest: Manifest) -> int:
    """Samples, in whole frames."""
    frame = manifest.frame_samples
    return round(seconds * SAMPLE_RATE_HERTZ) // frame * frame


def _hear(
    model: BoundModel, audio: FloatArray, start_samples: int, state: State | None = None
) -> tuple[Said, State]:
    """Runs a stretch in the longest hops; what is said, and the memory after it."""
    manifest = model.manifest
    frame, hop = manifest.frame_samples, max(manifest.hop_samples.values())
    whole = audio[: len(audio) // frame * frame]
    memory: State = empty_state(model, 1) if state is None else state
    said: list[Frames] = []
    for start in range(0, len(whole), hop):
        frames, memory = model.run(whole[None, start : start + hop], memory)
        said.append(frames.of(0))
    return (
        Said(
            manifest,
            start_samples // frame,
            np.concatenate([frames.speech for frames in said]),
            np.concatenate([frames.activity for frames in said]),
            np.concatenate([frames.embedding for frames in said]),
        ),
        memory,
    )
