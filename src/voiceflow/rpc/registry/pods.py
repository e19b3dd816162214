"""Pods, their reverts and outcomes, and collection, to and from their messages."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Final

from voiceflow.catalog.pods import (
    Cause,
    CollectedObject,
    Collection,
    Comparison,
    GenerationState,
    Histogram,
    OutcomeComparison,
    Pod,
    PodGeneration,
    Revert,
    VersionOutcomes,
)
from voiceflow.catalog.queries import PodFilter
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.rpc.registry.channels import ROLES, pin_from_wire, pin_to_wire
from voiceflow.rpc.registry.values import (
    EnumMap,
    invalid,
    join,
    make,
    number,
    optional_number,
    optional_time_from_wire,
    required,
    seconds_from_wire,
    seconds_to_wire,
    time_from_wire,
    time_to_wire,
)

_STATES: Final = EnumMap(pb.PodGeneration.State, "STATE_", GenerationState)
_CAUSES: Final = EnumMap(pb.Revert.Cause, "CAUSE_", Cause)

_COUNTS: Final = (
    "streams",
    "failed_streams",
    "hops",
    "failed_hops",
    "non_finite_hops",
    "turns",
    "speakers",
    "speakers_merged",
    "label_changes",
    "score_count",
    "compared_frames",
    "differing_frames",
)


def pod_to_wire(pod: Pod) -> pb.Pod:
    """One server process, as it last reported."""
    return pb.Pod(
        name=pod.name,
        channel=pod.channel,
        desired_sequence=pod.desired_sequence,
        serving_sequence=pod.serving_sequence,
        generations=[
            pb.PodGeneration(
                generation=generation.generation,
                version=pin_to_wire(generation.version),
                state=_STATES.to_wire(generation.state),
                role=ROLES.to_wire(generation.role),
                streams=generation.streams,
                message=generation.message,
                reason=generation.reason,
            )
            for generation in pod.generations
        ],
        draining=pod.draining,
        watch_lost_time=time_to_wire(pod.watch_lost_time),
        start_time=time_to_wire(pod.start_time),
        software_version=pod.software_version,
        labels=pod.labels,
        report_time=time_to_wire(pod.report_time),
        lost=pod.lost,
    )


def pod_from_wire(message: pb.Pod, path: str = "pod") -> Pod:
    """Reads what `pod_to_wire` wrote.

    Raises:
        InvalidInput: FIELD_REQUIRED, FIELD_INVALID; so all readers here do.
    """
    return make(
        Pod,
        path,
        name=message.name,
        channel=message.channel,
        desired_sequence=message.desired_sequence,
        serving_sequence=message.serving_sequence,
        generations=tuple(
            _generation(generation, f"{path}.generations[{at}]")
            for at, generation in enumerate(message.generations)
        ),
        draining=message.draining,
        watch_lost_time=optional_time_from_wire(message, "watch_lost_time", path),
        start_time=time_from_wire(message, "start_time", path),
        software_version=message.software_version,
        labels=dict(message.labels),
        report_time=optional_time_from_wire(message, "report_time", path),
        lost=message.lost,
    )


def _generation(message: pb.PodGeneration, path: str) -> PodGeneration:
    required(message, "version", path)
    return PodGeneration(
        generation=_count(message.generation, join(path, "generation")),
        version=pin_from_wire(message.version),
        state=_STATES.from_wire(message.state, join(path, "state")),
        role=ROLES.from_wire(message.role, join(path, "role")),
        streams=_count(message.streams, join(path, "streams")),
        message=message.message,
        reason=message.reason,
    )


def pod_filter_to_wire(where: PodFilter) -> pb.PodFilter:
    """Which pods to list."""
    return pb.PodFilter(
        channel=where.channel,
        version=where.version,
        not_converged=where.not_converged,
        include_lost=where.include_lost,
        labels=where.labels,
    )


def pod_filter_from_wire(message: pb.PodFilter) -> PodFilter:
    """Reads what `pod_filter_to_wire` wrote."""
    return PodFilter(
        channel=message.channel,
        version=message.version,
        not_converged=message.not_converged,
        include_lost=message.include_lost,
        labels=dict(message.labels),
    )


def revert_to_wire(revert: Revert) -> pb.Revert:
    """A pod has left a version for another."""
    return pb.Revert(
        name=revert.name,
        pod=revert.pod,
        sequence=revert.sequence,
        from_version=pin_to_wire(revert.from_version),
        to_version=None if revert.to_version is None else pin_to_wire(revert.to_version),
        role=ROLES.to_wire(revert.role),
        cause=_CAUSES.to_wire(revert.cause),
        seen=revert.seen,
        allowed=revert.allowed,
        hops=revert.hops,
        revert_time=time_to_wire(revert.revert_time),
    )


def revert_from_wire(message: pb.Revert, path: str = "revert") -> Revert:
    """Reads what `revert_to_wire` wrote; a `to_version` that names nothing is None."""
    required(message, "from_version", path)
    return make(
        Revert,
        path,
        name=message.name,
        pod=message.pod,
        sequence=message.sequence,
        from_version=pin_from_wire(message.from_version),
        to_version=pin_from_wire(message.to_version) if message.to_version.version else None,
        role=ROLES.from_wire(message.role, join(path, "role")),
        cause=_CAUSES.from_wire(message.cause, join(path, "cause")),
        seen=message.seen,
        allowed=message.allowed,
        hops=_count(message.hops, join(path, "hops")),
        revert_time=time_from_wire(message, "revert_time", path),
    )


def outcomes_to_wire(outcomes: VersionOutcomes) -> pb.VersionOutcomes:
    """How a version fares."""
    latency = outcomes.compute_latency_seconds
    counts = {name: getattr(outcomes, name) for name in _COUNTS}
    return pb.VersionOutcomes(
        version=outcomes.version,
        role=ROLES.to_wire(outcomes.role),
        speech=seconds_to_wire(outcomes.speech_seconds),
        compute_latency_seconds=pb.Histogram(
            upper_bounds=latency.upper_bounds, counts=latency.counts, sum=latency.sum
        ),
        score_sum=outcomes.score_sum,
        score_sum_of_squares=outcomes.score_sum_of_squares,
        **counts,
    )


def outcomes_from_wire(message: pb.VersionOutcomes, path: str = "outcomes") -> VersionOutcomes:
    """Reads what `outcomes_to_wire` wrote."""
    counts = {name: _count(getattr(message, name), join(path, name)) for name in _COUNTS}
    return VersionOutcomes(
        version=message.version,
        role=ROLES.from_wire(message.role, join(path, "role")),
        speech_seconds=seconds_from_wire(message, "speech", path) or 0.0,
        compute_latency_seconds=_histogram(
            message.compute_latency_seconds, join(path, "compute_latency_seconds")
        ),
        score_sum=number(message, "score_sum", path),
        score_sum_of_squares=number(message, "score_sum_of_squares", path),
        **counts,
    )


def _histogram(message: pb.Histogram, path: str) -> Histogram:
    bounds = tuple(message.upper_bounds)
    ascending = all(low < high for low, high in pairwise(bounds))
    if not ascending or not all(map(math.isfinite, bounds)):
        raise invalid(join(path, "upper_bounds"), bounds, "finite numbers in ascending order")
    wanted = len(bounds) + 1
    if len(message.counts) != wanted and (bounds or message.counts):
        raise invalid(
            join(path, "counts"), f"{len(message.counts)} counts", f"{wanted}, one more than bounds"
        )
    return Histogram(
        upper_bounds=bounds,
        counts=tuple(
            _count(count, f"{path}.counts[{at}]") for at, count in enumerate(message.counts)
        ),
        sum=number(message, "sum", path),
    )


def comparison_to_wire(comparison: OutcomeComparison) -> pb.CompareOutcomesResponse:
    """Two versions on one channel beside each other."""
    return pb.CompareOutcomesResponse(
        base=outcomes_to_wire(comparison.base),
        target=outcomes_to_wire(comparison.target),
        base_pods=comparison.base_pods,
        target_pods=comparison.target_pods,
        comparisons=[
            pb.CompareOutcomesResponse.Comparison(
                name=figure.name,
                base=figure.base,
                target=figure.target,
                difference_low=figure.difference_low,
                difference_high=figure.difference_high,
            )
            for figure in comparison.comparisons
        ],
    )


def comparison_from_wire(message: pb.CompareOutcomesResponse) -> OutcomeComparison:
    """Reads what `comparison_to_wire` wrote."""
    return OutcomeComparison(
        base=outcomes_from_wire(message.base, required(message, "base", "")),
        target=outcomes_from_wire(message.target, required(message, "target", "")),
        base_pods=message.base_pods,
        target_pods=message.target_pods,
        comparisons=tuple(
            _comparison(figure, f"comparisons[{at}]")
            for at, figure in enumerate(message.comparisons)
        ),
    )


def _comparison(message: pb.CompareOutcomesResponse.Comparison, path: str) -> Comparison:
    return Comparison(
        name=message.name,
        base=number(message, "base", path),
        target=number(message, "target", path),
        difference_low=optional_number(message, "difference_low", path),
        difference_high=optional_number(message, "difference_high", path),
    )


def collection_to_wire(collection: Collection) -> pb.CollectGarbageResponse:
    """What one call of collection did."""
    return pb.CollectGarbageResponse(
        objects=[
            pb.CollectGarbageResponse.CollectedObject(
                key=taken.key,
                size_bytes=taken.size_bytes,
                create_time=time_to_wire(taken.create_time),
            )
            for taken in collection.objects
        ],
        collected_bytes=collection.collected_bytes,
        more=collection.more,
    )


def collection_from_wire(message: pb.CollectGarbageResponse) -> Collection:
    """Reads what `collection_to_wire` wrote."""
    return Collection(
        objects=tuple(
            CollectedObject(
                key=taken.key,
                size_bytes=taken.size_bytes,
                create_time=time_from_wire(taken, "create_time", f"objects[{at}]"),
            )
            for at, taken in enumerate(message.objects)
        ),
        collected_bytes=message.collected_bytes,
        more=message.more,
    )


def _count(value: int, field: str) -> int:
    if value < 0:
        raise invalid(field, value, "0 or more")
    return value
