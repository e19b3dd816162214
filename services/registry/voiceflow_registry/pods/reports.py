"""What a pod may say of itself, its reverts and its versions: pure rules."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Sequence
from typing import Final

from voiceflow.catalog.channels import VersionPin
from voiceflow.catalog.names import ChannelName, PodName, VersionName
from voiceflow.catalog.pods import Histogram, Pod, Revert, VersionOutcomes
from voiceflow.errors import Forbidden, InvalidInput
from voiceflow.identity.caller import Caller

MAXIMUM_REVERTS: Final = 100
MAXIMUM_LABELS: Final = 16
MAXIMUM_GENERATIONS: Final = 32

MAXIMUM_TEXT_CHARACTERS: Final = 1024
MAXIMUM_COUNT: Final = 10**12
"""Sums over a hundred thousand pods and all their generations fit into 64 bits."""
MAXIMUM_SUM: Final = 1e15
MAXIMUM_SPEECH_SECONDS: Final = 1e10

_LABEL_CHARACTERS: Final = 256
_HISTOGRAM_BOUNDS: Final = 100
_PARTS_OF: Final = {
    "failed_streams": "streams",
    "failed_hops": "hops",
    "non_finite_hops": "hops",
    "speakers_merged": "speakers",
    "differing_frames": "compared_frames",
}
"""Counts that are a part of others."""


def check_reporter(caller: Caller, pod: PodName, channel: ChannelName) -> None:
    """Whether a caller may report for a pod that follows a channel.

    Raises:
        Forbidden: POD_NOT_CALLER.
    """
    if not caller.is_pod(pod.pod, channel.model):
        own = ", ".join(caller.pods) or "none"
        raise Forbidden(
            f"pod.name: {caller.principal} may not report for {pod} on {channel}; its own pods: "
            f"{own}",
            reason="POD_NOT_CALLER",
            field="pod.name",
        )


def check_same_reporter(principal: str, known_principal: str, pod: str) -> None:
    """Whether a pod that is not lost goes on being reported by who began to.

    Of several pods that one grant covers, none may speak for another.

    Raises:
        Forbidden: POD_NOT_CALLER.
    """
    if principal != known_principal:
        raise Forbidden(
            f"pod.name: another principal than {principal} reports for {pod}; allowed once that "
            "one has been silent for so long that the pod is lost",
            reason="POD_NOT_CALLER",
            field="pod.name",
        )


def check_pod(pod: Pod, report_number: int) -> None:
    """Whether a report may be stored.

    Raises:
        InvalidInput: NAME_INVALID, FIELD_INVALID.
    """
    if report_number < 1:
        raise invalid("report_number", f"{report_number}; allowed is 1, 2, 3, …")
    if len(pod.labels) > MAXIMUM_LABELS:
        raise invalid("pod.labels", f"{len(pod.labels)} of them; allowed are {MAXIMUM_LABELS}")
    for label, value in pod.labels.items():
        if not label or max(len(label), len(value)) > _LABEL_CHARACTERS:
            raise invalid(
                "pod.labels",
                f"{label[:100]!r}; allowed are names and values of at most {_LABEL_CHARACTERS} "
                "characters",
            )
    if len(pod.generations) > MAXIMUM_GENERATIONS:
        raise invalid(
            "pod.generations", f"{len(pod.generations)}; allowed are {MAXIMUM_GENERATIONS}"
        )
    _check_text("pod.software_version", pod.software_version)
    for index, generation in enumerate(pod.generations):
        where = f"pod.generations[{index}]"
        _check_pin(f"{where}.version", generation.version)
        _check_text(f"{where}.message", generation.message)
        _check_text(f"{where}.reason", generation.reason)


def check_reverts(
    pod: Pod, channel: ChannelName, reverts: Sequence[Revert], newest_sequence: int
) -> None:
    """Whether these are reverts of this pod under promotions of its channel.

    Args:
        pod: Who reports them.
        channel: That it follows.
        reverts: What it reports.
        newest_sequence: Of the channel's newest promotion; 0 if there is none.

    Raises:
        InvalidInput: As `check_pod`.
    """
    if len(reverts) > MAXIMUM_REVERTS:
        raise invalid("reverts", f"{len(reverts)} of them; allowed are {MAXIMUM_REVERTS}")
    prefix = f"{channel}/reverts/"
    for index, revert in enumerate(reverts):
        where = f"reverts[{index}]"
        if not revert.name.startswith(prefix) or not _is_uuid(revert.name.removeprefix(prefix)):
            raise InvalidInput(
                f"{where}.name: {revert.name[:200]!r}; allowed is {prefix} and a UUID in lower "
                "case, with hyphens",
                reason="NAME_INVALID",
                field=f"{where}.name",
            )
        if revert.pod != pod.name:
            raise invalid(f"{where}.pod", f"{revert.pod[:100]!r}; a pod reports for itself alone")
        if not 1 <= revert.sequence <= newest_sequence:
            raise invalid(
                f"{where}.sequence",
                f"{revert.sequence}; allowed is 1 to {newest_sequence}, the newest of {channel}",
            )
        _check_pin(f"{where}.from_version", revert.from_version)
        if revert.to_version is not None:
            _check_pin(f"{where}.to_version", revert.to_version)
        _check_text(f"{where}.seen", revert.seen)
        _check_text(f"{where}.allowed", revert.allowed)
        _check_number(f"{where}.hops", revert.hops, most=MAXIMUM_COUNT)


def check_outcomes(outcomes: Sequence[VersionOutcomes]) -> None:
    """Whether outcomes can be added to others. Raises as `check_pod`."""
    if len(outcomes) > MAXIMUM_GENERATIONS:
        raise invalid("outcomes", f"{len(outcomes)}; allowed are {MAXIMUM_GENERATIONS}")
    for index, part in enumerate(outcomes):
        where = f"outcomes[{index}]"
        VersionName.parse(part.version, field=f"{where}.version")
        for name, number in part:
            if isinstance(number, int):
                _check_number(f"{where}.{name}", number, most=MAXIMUM_COUNT)
        for name, whole in _PARTS_OF.items():
            if getattr(part, name) > getattr(part, whole):
                raise invalid(
                    f"{where}.{name}",
                    f"{getattr(part, name)}; allowed are at most {whole}, {getattr(part, whole)}",
                )
        _check_number(f"{where}.speech", part.speech_seconds, most=MAXIMUM_SPEECH_SECONDS)
        _check_number(f"{where}.score_sum", abs(part.score_sum), most=MAXIMUM_SUM)
        _check_number(f"{where}.score_sum_of_squares", part.score_sum_of_squares, most=MAXIMUM_SUM)
        _check_histogram(f"{where}.compute_latency_seconds", part.compute_latency_seconds)


def invalid(field: str, seen: str) -> InvalidInput:
    """The error for a field with a value that is not allowed."""
    return InvalidInput(f"{field}: {seen}", reason="FIELD_INVALID", field=field)


def _check_text(field: str, text: str) -> None:
    if len(text) > MAXIMUM_TEXT_CHARACTERS:
        raise invalid(field, f"{len(text)} characters; allowed are {MAXIMUM_TEXT_CHARACTERS}")


def _check_pin(field: str, pin: VersionPin) -> None:
    VersionName.parse(pin.version, field=f"{field}.version")
    _check_text(f"{field}.manifest_digest", pin.manifest_digest)


def _check_number(field: str, value: float, *, most: float) -> None:
    if not 0 <= value <= most:  # neither is NaN
        raise invalid(field, f"{value}; allowed is a number up to {most}")


def _check_histogram(field: str, histogram: Histogram) -> None:
    bounds, counts = histogram.upper_bounds, histogram.counts
    if not bounds and not counts:
        return
    if len(bounds) > _HISTOGRAM_BOUNDS:
        raise invalid(f"{field}.upper_bounds", f"{len(bounds)}; allowed are {_HISTOGRAM_BOUNDS}")
    ascending = all(low < high for low, high in itertools.pairwise(bounds))
    if not ascending:
        raise invalid(f"{field}.upper_bounds", "not ascending; allowed are ascending numbers")
    for index, bound in enumerate(bounds):
        _check_number(f"{field}.upper_bounds[{index}]", bound, most=MAXIMUM_SUM)
    if len(counts) != len(bounds) + 1:
        raise invalid(
            f"{field}.counts",
            f"{len(counts)} counts for {len(bounds)} bounds; allowed is one more",
        )
    for index, count in enumerate(counts):
        _check_number(f"{field}.counts[{index}]", count, most=MAXIMUM_COUNT)
    _check_number(f"{field}.sum", histogram.sum, most=MAXIMUM_SUM)


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
