"""Whether a claim holds that two versions' state, or speaker vectors, mean the same.

Both versions run, each in a process of its own, over the same synthetic conversation; state passes
from one to the other through the registry.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from voiceflow.artifact import SAMPLE_RATE_HERTZ, Manifest
from voiceflow.catalog.gates import Figure, Finding
from voiceflow.package import MODEL_FILE
from voiceflow.pipeline.model import FloatArray
from voiceflow.validation import measured
from voiceflow.validation.findings import finding
from voiceflow.validation.gates import limits
from voiceflow.validation.measured import Array, Asked, Failed, Stretch
from voiceflow.validation.sandbox import JsonValue, Probe, Sandbox
from voiceflow.validation.values import Candidate, Earlier, GateOutcome

MAXIMUM_PROBABILITY_DIFFERENCE: Final = 0.005
MINIMUM_STATE_COSINE: Final = 0.995
MINIMUM_EMBEDDING_COSINE: Final = 0.9
"""Between two versions' vectors of the same voice; two voices are hardly ever above 0.7."""

_AUDIO_SECONDS: Final = 12.0
_SWITCH_SECONDS: Final = 6.0
_AFTER_SECONDS: Final = 1.0
"""How long after the switch answers are compared: an old memory is soon forgotten."""
_REPLY_BYTES: Final = 64 * 1024**2
_AUDIO: Final = "audio"


@dataclass(frozen=True, slots=True)
class Said:
    """What a version said to a stretch of audio, as arrays.

    Attributes:
        first_frame: Of the stretch, in the audio.
        speech: (frames,).
        activity: (frames, tracks).
        embedding: (frames, tracks, dim).
    """

    manifest: Manifest
    first_frame: int
    speech: FloatArray
    activity: FloatArray
    embedding: FloatArray


def verify(
    sandbox: Sandbox, candidate: Candidate, manifest: Manifest, earlier: Sequence[Earlier]
) -> GateOutcome:
    """Runs a version beside the newest earlier ones that have the spaces it claims.

    Args:
        sandbox: Runs them.
        candidate: Keeps its contract.
        manifest: Of the candidate.
        earlier: Versions before it, the newest first.

    Raises:
        SandboxFailure: If the sandbox ended one of them.
    """
    state_space = manifest.state_space
    same_state = [e for e in earlier if e.described.manifest.state_space == state_space]
    space = manifest.embedding_space
    same_vectors = [e for e in earlier if e.described.manifest.embedding_space == space]
    verify_state, verify_vectors = bool(same_state and state_space is not None), bool(same_vectors)
    if not (verify_state or verify_vectors):
        return GateOutcome()
    outcomes = []
    with _conversation() as audio:
        if verify_state:
            outcomes.append(_verify_state(sandbox, candidate, manifest, same_state[0], audio))
        if verify_vectors:
            outcomes.append(_verify_vectors(sandbox, candidate, manifest, same_vectors[0], audio))
    return GateOutcome(
        tuple(found for outcome in outcomes for found in outcome.findings),
        tuple(figure for outcome in outcomes for figure in outcome.figures),
    )


def judge_state(other: str, carried: Said, alone: Said) -> GateOutcome:
    """Whether a version with another's state goes on as it would with its own.

    Args:
        other: The earlier version whose state was carried over.
        carried: Said after the switch, with that state.
        alone: Said by the version that heard all of the audio itself.
    """
    apart = np.concatenate(
        [
            np.abs(carried.speech - alone.speech).ravel(),
            np.abs(carried.activity - alone.activity).ravel(),
        ]
    )
    probability, cosine = float(apart.mean()), mean_cosine(carried, alone)
    figures = (
        Figure(
            name="state_space_probability_difference",
            value=_bounded(probability),
            allowed=MAXIMUM_PROBABILITY_DIFFERENCE,
        ),
        Figure(name="state_space_cosine", value=_bounded(cosine), allowed=MINIMUM_STATE_COSINE),
    )
    if probability <= MAXIMUM_PROBABILITY_DIFFERENCE and cosine >= MINIMUM_STATE_COSINE:
        return GateOutcome(figures=figures)
    seen = f"probabilities {probability:.4f} apart, cosine of vectors {cosine:.4f}"
    return GateOutcome((_other_state(alone.manifest, other, seen),), figures)


def judge_vectors(other: str, manifest: Manifest, cosine: float) -> GateOutcome:
    """Whether vectors of two versions for the same speech agree.

    Args:
        other: The earlier version.
        manifest: Of the version that claims its space.
        cosine: On average over the speech.
    """
    figures = (
        Figure(
            name="embedding_space_cosine",
            value=_bounded(cosine),
            allowed=MINIMUM_EMBEDDING_COSINE,
        ),
    )
    if cosine >= MINIMUM_EMBEDDING_COSINE:
        return GateOutcome(figures=figures)
    seen = f"a mean cosine of {cosine:.4f}"
    return GateOutcome((_other_vectors(manifest, other, seen),), figures)


def mean_cosine(one: Said, other: Said) -> float:
    """Of the first track's vectors of both for the same audio, weighted by the lesser activity.

    NaN where a vector is not finite or vectors have not the same length; 0 where a vector is zero.
    """
    if one.embedding.shape[2:] != other.embedding.shape[2:]:
        return math.nan
    rows, partners = _pairs(one, other)
    vectors, opposite = one.embedding[rows, 0], other.embedding[partners, 0]  # (pairs, dim)
    product = (vectors * opposite).sum(axis=1)
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(opposite, axis=1)
    cosines = product / np.maximum(lengths, 1e-12)
    weights = np.minimum(one.activity[rows, 0], other.activity[partners, 0])
    if not weights.sum() > 0:
        weights = np.ones_like(weights)
    return float((cosines * weights).sum() / weights.sum())


def _verify_state(
    sandbox: Sandbox, candidate: Candidate, manifest: Manifest, earlier: Earlier, audio: Path
) -> GateOutcome:
    name, other = str(earlier.described.name), earlier.described.manifest
    unit = math.lcm(other.frame_samples, manifest.frame_samples)  # whole frames of both
    switch = round(_SWITCH_SECONDS * SAMPLE_RATE_HERTZ) // unit * unit
    end = switch + round(_AFTER_SECONDS * SAMPLE_RATE_HERTZ) // unit * unit
    try:
        with _opened(sandbox, _fetched(earlier), other, audio) as probe:
            _, old = _hear(probe, other, 0, switch)
        with _opened(sandbox, candidate, manifest, audio) as probe:
            _, own = _hear(probe, manifest, 0, switch)
            alone, _ = _hear(probe, manifest, switch, end, own)
            carried, _ = _hear(probe, manifest, switch, end, old)
    except _CannotRunError as error:
        return GateOutcome((_other_state(manifest, name, str(error)),))
    return judge_state(name, carried, alone)


def _verify_vectors(
    sandbox: Sandbox, candidate: Candidate, manifest: Manifest, earlier: Earlier, audio: Path
) -> GateOutcome:
    name, other = str(earlier.described.name), earlier.described.manifest
    end = round(_AUDIO_SECONDS * SAMPLE_RATE_HERTZ)
    try:
        with _opened(sandbox, _fetched(earlier), other, audio) as probe:
            before, _ = _hear(probe, other, 0, end)
        with _opened(sandbox, candidate, manifest, audio) as probe:
            after, _ = _hear(probe, manifest, 0, end)
    except _CannotRunError as error:
        return GateOutcome((_other_vectors(manifest, name, str(error)),))
    return judge_vectors(name, manifest, mean_cosine(after, before))


class _CannotRunError(Exception):
    """ONNX Runtime raised an error: what was claimed has not been shown."""


@contextmanager
def _conversation() -> Iterator[Path]:
    """A file with a conversation of synthetic voices."""
    # Only here: synthesis brings a signal library that nothing else here needs.
    from voiceflow.sample import conversation  # noqa: PLC0415

    samples = conversation()[: round(_AUDIO_SECONDS * SAMPLE_RATE_HERTZ)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / _AUDIO
        path.write_bytes(samples.astype("<f4").tobytes())
        yield path


def _fetched(earlier: Earlier) -> Candidate:
    manifest = earlier.described.manifest.to_json().encode()
    return Candidate(manifest, earlier.fetch())


@contextmanager
def _opened(
    sandbox: Sandbox, version: Candidate, manifest: Manifest, audio: Path
) -> Iterator[Probe]:
    with sandbox.open(
        "stretches",
        files={MODEL_FILE: version.folder / MODEL_FILE, _AUDIO: audio},
        arguments={"manifest": manifest.to_json()},
        limits=limits.to_run(version, _heard_seconds(manifest), reply_bytes=_REPLY_BYTES),
    ) as probe:
        yield probe


def _heard_seconds(manifest: Manifest) -> float:
    """Audio that goes through the model: a window is heard again with each hop."""
    calls = _AUDIO_SECONDS * SAMPLE_RATE_HERTZ / max(manifest.hop_samples.values())
    return (calls + 2) * limits.call_seconds(manifest)


def _hear(
    probe: Probe,
    manifest: Manifest,
    start_samples: int,
    end_samples: int,
    state: dict[str, Array] | None = None,
) -> tuple[Said, dict[str, Array]]:
    """Runs a stretch, from the start of a stream or from a memory; its frames, and its memory."""
    first, last = start_samples // manifest.frame_samples, end_samples // manifest.frame_samples
    asked = Asked(start_frame=first, end_frame=last, state=state)
    stretch = measured.read(Stretch, probe.ask(cast("JsonValue", asked.model_dump(mode="json"))))
    if isinstance(stretch, Failed):
        raise _CannotRunError(stretch.failed)
    frames, tracks, dim = last - first, manifest.tracks, manifest.embedding_dim
    said = Said(
        manifest,
        first,
        measured.shaped(stretch.speech, (frames,)),
        measured.shaped(stretch.activity, (frames, tracks)),
        measured.shaped(stretch.embedding, (frames, tracks, dim)),
    )
    return said, stretch.state


def _pairs(one: Said, other: Said) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of both that tell of the same audio: the middle of one's frame is in the other's."""
    rows = np.arange(len(one.embedding))
    frame, look_ahead = one.manifest.frame_samples, one.manifest.look_ahead_frames
    middles = (one.first_frame + rows - look_ahead) * frame + frame // 2
    partners = middles // other.manifest.frame_samples - other.first_frame
    partners += other.manifest.look_ahead_frames
    there = (middles >= 0) & (partners >= 0) & (partners < len(other.embedding))
    return rows[there], partners[there]


def _other_state(manifest: Manifest, other: str, seen: str) -> Finding:
    return finding(
        "contract.state-space",
        "state_space",
        seen=seen,
        allowed=f"probabilities {MAXIMUM_PROBABILITY_DIFFERENCE} apart on average, cosine of"
        f" vectors at least {MINIMUM_STATE_COSINE}",
        message=f"state_space says {manifest.state_space!r}, as that of {other}, but with its state"
        " this version does not go on as with its own; name a state space of its own (minor)",
    )


def _other_vectors(manifest: Manifest, other: str, seen: str) -> Finding:
    return finding(
        "contract.embedding-space",
        "embedding_space",
        seen=seen,
        allowed=f"a mean cosine of at least {MINIMUM_EMBEDDING_COSINE}",
        message=f"embedding_space says {manifest.embedding_space!r}, as that of {other}, but their"
        " vectors of the same speech do not agree; name an embedding space of its own (major)",
    )


def _bounded(number: float) -> float:
    """For a report, which holds numbers only; a finding tells of what is none."""
    return number if math.isfinite(number) else -1.0
