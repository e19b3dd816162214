"""Whether two versions' state, or speaker vectors, mean the same: what was said, judged; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voiceflow.artifact import Manifest
from voiceflow.catalog.gates import Figure, Finding
from voiceflow.pipeline.model import FloatArray
from voiceflow.validation.findings import finding
from voiceflow.validation.values import GateOutcome

MAXIMUM_PROBABILITY_DIFFERENCE: Final = 0.03
MINIMUM_STATE_COSINE: Final = 0.99
"""Of the worst frame: far above what weights rounded to 8 bits do to the default model's answers,
far below what other weights do."""

MINIMUM_EMBEDDING_COSINE: Final = 0.9
"""Between two versions' vectors of the same voice; two voices are hardly ever above 0.7."""

_HEARD: Final = 0.5
"""Activity above which a vector is somebody's."""


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


def judge_state(
    other: str, manifest: Manifest, switches: Sequence[tuple[Said, Said]]
) -> GateOutcome:
    """Whether a version with another's state goes on as it would with its own.

    Args:
        other: The earlier version whose state was carried over.
        manifest: Of the version that claims its state space.
        switches: For each, what is said after it with that state, and by the version that has heard
            all of the audio itself.
    """
    # NumPy's maximum of NaN and anything is NaN, which is within no bound.
    probability = float(np.max([_furthest_probability(*switch) for switch in switches]))
    cosine = float(np.min([_worst_cosine(*switch) for switch in switches]))
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
    return GateOutcome((state_not_shared(manifest, other, seen),), figures)


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
    return GateOutcome((vectors_not_shared(manifest, other, seen),), figures)


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


def state_not_shared(manifest: Manifest, other: str, seen: str) -> Finding:
    """The claim on a state space is refused."""
    return finding(
        "contract.state-space",
        "state_space",
        seen=seen,
        allowed=f"probabilities {MAXIMUM_PROBABILITY_DIFFERENCE} apart on average, cosine of"
        f" vectors at least {MINIMUM_STATE_COSINE}",
        message=f"state_space says {manifest.state_space!r}, as that of {other}, but with its state"
        " this version does not go on as with its own; name a state space of its own (minor)",
    )


def vectors_not_shared(manifest: Manifest, other: str, seen: str) -> Finding:
    """The claim on an embedding space is refused."""
    return finding(
        "contract.embedding-space",
        "embedding_space",
        seen=seen,
        allowed=f"a mean cosine of at least {MINIMUM_EMBEDDING_COSINE}",
        message=f"embedding_space says {manifest.embedding_space!r}, as that of {other}, but their"
        " vectors of the same speech do not agree; name an embedding space of its own (major)",
    )


def _furthest_probability(carried: Said, alone: Said) -> float:
    speech, activity = carried.speech - alone.speech, carried.activity - alone.activity
    return float(np.abs(np.concatenate([speech[:, None], activity], axis=1)).max(initial=0.0))


def _worst_cosine(carried: Said, alone: Said) -> float:
    """Of the first track's vectors, frame by frame, where both hear a voice."""
    cosines = (carried.embedding[:, 0] * alone.embedding[:, 0]).sum(axis=1)  # (frames,)
    heard = np.minimum(carried.activity[:, 0], alone.activity[:, 0]) > _HEARD
    return float(cosines[heard].min(initial=1.0))


def _pairs(one: Said, other: Said) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of both that tell of the same audio: the middle of one's frame is in the other's."""
    rows = np.arange(len(one.embedding))
    frame, look_ahead = one.manifest.frame_samples, one.manifest.look_ahead_frames
    middles = (one.first_frame + rows - look_ahead) * frame + frame // 2
    partners = middles // other.manifest.frame_samples - other.first_frame
    partners += other.manifest.look_ahead_frames
    there = (middles >= 0) & (partners >= 0) & (partners < len(other.embedding))
    return rows[there], partners[there]


def _bounded(number: float) -> float:
    """For a report, which holds numbers only; a finding tells of what is none."""
    return number if math.isfinite(number) else -1.0
