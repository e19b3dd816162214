"""Narrows a list of versions down: pure."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any, Final

import semver

from voiceflow.artifact import Manifest
from voiceflow.catalog.queries import VersionFilter
from voiceflow.catalog.versions import VersionState
from voiceflow.errors import InvalidInput
from voiceflow_registry.records import VersionRecord

_COMPARATOR: Final = re.compile(r"\s*(>=|<=|!=|>|<|=)\s*(\S+)\s*")
_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}
_RANGE_CHARACTERS: Final = 1000
_DEFAULT_STATES: Final = (VersionState.PUBLISHED, VersionState.YANKED)


class Selection:
    """Whether a version is one of those asked for.

    What its number and state tell is asked first, so that no record is read in vain.

    Args:
        where: What was asked for.

    Raises:
        InvalidInput: FIELD_INVALID, if the range is none.
    """

    def __init__(self, where: VersionFilter) -> None:
        self._where = where
        self._states = where.states or _DEFAULT_STATES
        self._comparators = _comparators(where.semver_range)

    def has(self, version: semver.Version, state: VersionState) -> bool:
        """Whether number and state are among those asked for."""
        if state not in self._states or (self._where.exclude_prereleases and version.prerelease):
            return False
        return all(holds(version, bound) for holds, bound in self._comparators)

    def has_record(self, record: VersionRecord, manifest: Manifest) -> bool:
        """Whether all else is as asked for."""
        where = self._where
        wanted = (
            (where.contract, manifest.contract),
            (where.embedding_space, manifest.embedding_space),
            (where.publisher, record.request.principal),
        )
        if any(want and want != seen for want, seen in wanted):
            return False
        digests = {file.digest for file in record.files} | {record.manifest_digest}
        return not where.digest or where.digest in digests


def _comparators(text: str) -> list[tuple[Callable[[Any, Any], bool], semver.Version]]:
    """Reads `>=1.2.0,<2.0.0`; precedence alone counts, of pre-releases too."""
    if not text:
        return []
    comparators = []
    for part in text[: _RANGE_CHARACTERS + 1].split(","):
        match = _COMPARATOR.fullmatch(part)
        version = match[2] if match else ""
        is_whole = semver.Version.is_valid(version) and "+" not in version
        if not match or not is_whole or len(text) > _RANGE_CHARACTERS:
            raise InvalidInput(
                f"filter.semver_range: {part[:100]!r} is no comparator; allowed are >=, <=, >, <, "
                "= and != with a whole version without build metadata, joined by commas, as in "
                f">=1.2.0,<2.0.0, in at most {_RANGE_CHARACTERS} characters",
                reason="FIELD_INVALID",
                field="filter.semver_range",
            )
        comparators.append((_OPERATORS[match[1]], semver.Version.parse(version)))
    return comparators
