"""What a pod may say of itself, its reverts and its versions: pure rules."""

from __future__ import annotations

import itertools
import math
import uuid
from collections.abc import Sequence
from typing import Final

from voiceflow.catalog.names import ChannelName, VersionName
from voiceflow.catalog.pods import Histogram, Pod, Revert, VersionOutcomes
from voiceflow.errors import InvalidInput

MAXIMUM_REVERTS: Final = 100
MAXIMUM_LABELS: Final = 16
MAXIMUM_GENERATIONS: Final = 32

_LABEL_CHARACTERS: Final = 256
_HISTOGRAM_BOUNDS: Final = 200


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
    for index, generation in enumerate(pod.generations):
        VersionName.parse(
            generation.version.version, field=f"pod.generations[{index}].version.version"
        )


def check_reverts(pod: Pod, channel: ChannelName, reverts: Sequence[Revert]) -> None:
    """Whether these are reverts of this pod on its channel. Raises as `check_pod`."""
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
        VersionName.parse(revert.from_version.version, field=f"{where}.from_version.version")


def check_outcomes(outcomes: Sequence[VersionOutcomes]) -> None:
    """Whether outcomes can be added to others. Raises as `check_pod`."""
    if len(outcomes) > MAXIMUM_GENERATIONS:
        raise invalid("outcomes", f"{len(outcomes)}; allowed are {MAXIMUM_GENERATIONS}")
    for index, part in enumerate(outcomes):
        where = f"outcomes[{index}]"
        VersionName.parse(part.version, field=f"{where}.version")
        for name in VersionOutcomes.model_fields:
            value = getattr(part, name)
            if isinstance(value, int | float) and not isinstance(value, bool):
                _check_number(f"{where}.{name}", value, signed=name == "score_sum")
        _check_histogram(f"{where}.compute_latency_seconds", part.compute_latency_seconds)


def invalid(field: str, seen: str) -> InvalidInput:
    """The error for a field with a value that is not allowed."""
    return InvalidInput(f"{field}: {seen}", reason="FIELD_INVALID", field=field)


def _check_number(field: str, value: float, *, signed: bool) -> None:
    if not math.isfinite(value) or (value < 0 and not signed):
        raise invalid(field, f"{value}; allowed is a finite number{'' if signed else ' from 0'}")


def _check_histogram(field: str, histogram: Histogram) -> None:
    bounds, counts = histogram.upper_bounds, histogram.counts
    if not bounds and not counts:
        return
    if len(bounds) > _HISTOGRAM_BOUNDS:
        raise invalid(f"{field}.upper_bounds", f"{len(bounds)}; allowed are {_HISTOGRAM_BOUNDS}")
    ascending = all(low < high for low, high in itertools.pairwise(bounds))
    if not ascending or not all(map(math.isfinite, bounds)):
        raise invalid(f"{field}.upper_bounds", "not ascending; allowed are ascending numbers")
    if len(counts) != len(bounds) + 1 or min(counts) < 0:
        raise invalid(
            f"{field}.counts",
            f"{len(counts)} counts for {len(bounds)} bounds; allowed is one more, from 0",
        )
    _check_number(f"{field}.sum", histogram.sum, signed=True)


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
