"""Pods: what each serves, what it has reverted, and how its versions fare."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from voiceflow.catalog.channels import Role, VersionPin
from voiceflow.catalog.values import Sequence64, Time, Value


class GenerationState(StrEnum):
    """Where a loaded version stands in a pod."""

    DOWNLOADING = "downloading"
    LOADING = "loading"
    WARMING = "warming"
    ACTIVE = "active"
    DRAINING = "draining"
    FAILED = "failed"


class PodGeneration(Value):
    """One loaded version in a pod."""

    generation: int
    version: VersionPin
    state: GenerationState
    role: Role
    streams: int = 0
    message: str = ""
    reason: str = ""


class Pod(Value):
    """One server process, as it last reported.

    Attributes:
        name: `pods/{pod}`.
        channel: That it follows.
        desired_sequence: The newest promotion that it has seen.
        serving_sequence: The one that it serves; equal when it has converged.
        watch_lost_time: It has not reached the registry's watch since; None while it does.
        report_time: By the registry's clock; None in what a pod says itself.
        lost: No report for three times the interval that it was told.
    """

    name: str
    channel: str
    desired_sequence: Sequence64 = 0
    serving_sequence: Sequence64 = 0
    generations: tuple[PodGeneration, ...] = ()
    draining: bool = False
    watch_lost_time: Time | None = None
    start_time: Time
    software_version: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    report_time: Time | None = None
    lost: bool = False


class Cause(StrEnum):
    """Why a pod left a version."""

    WARM_FAILED = "warm_failed"
    CRASH = "crash"
    HANG = "hang"
    NON_FINITE = "non_finite"
    ERRORS = "errors"
    LATENCY = "latency"
    FLICKER = "flicker"


class Revert(Value):
    """A pod has left a version for another, of its own accord.

    Attributes:
        name: `models/{model}/channels/{channel}/reverts/{revert}`, {revert} a UUID of the pod's.
        sequence: The promotion that it could not hold.
        to_version: None if there was no last good version.
        seen: What was seen, as text; `allowed` in the same unit.
        hops: That the version had computed in this pod.
        revert_time: By the pod's clock.
    """

    name: str
    pod: str
    sequence: Sequence64
    from_version: VersionPin
    to_version: VersionPin | None = None
    role: Role
    cause: Cause
    seen: str = ""
    allowed: str = ""
    hops: int = 0
    revert_time: Time


class Histogram(Value):
    """Counts by value; `counts` has one more than there are bounds, for what exceeds them all."""

    upper_bounds: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    sum: float = 0.0


class VersionOutcomes(Value):
    """How a version fares: counts from the start of its generation in a pod, or a sum of such."""

    version: str
    role: Role
    streams: int = 0
    failed_streams: int = 0
    hops: int = 0
    failed_hops: int = 0
    non_finite_hops: int = 0
    speech_seconds: float = 0.0
    turns: int = 0
    speakers: int = 0
    speakers_merged: int = 0
    label_changes: int = 0
    compute_latency_seconds: Histogram = Histogram()
    score_count: int = 0
    score_sum: float = 0.0
    score_sum_of_squares: float = 0.0
    compared_frames: int = 0
    differing_frames: int = 0


class Comparison(Value):
    """One figure of two versions; bounds of target - base at 95 % confidence, None: too little."""

    name: str
    base: float
    target: float
    difference_low: float | None = None
    difference_high: float | None = None


class OutcomeComparison(Value):
    """Two versions on one channel beside each other, added up over all pods."""

    base: VersionOutcomes
    target: VersionOutcomes
    base_pods: int
    target_pods: int
    comparisons: tuple[Comparison, ...]


class CollectedObject(Value):
    """An object that collection took, or would take."""

    key: str
    size_bytes: int
    create_time: Time


class Collection(Value):
    """What one call of collection did."""

    objects: tuple[CollectedObject, ...]
    collected_bytes: int
    more: bool
