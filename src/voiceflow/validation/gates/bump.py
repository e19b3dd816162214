"""Whether a version number tells enough of what has changed since the newest earlier version."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import semver

from voiceflow.catalog.gates import Finding
from voiceflow.catalog.versions import Bump, ChangeKind
from voiceflow.difference import Described, difference
from voiceflow.validation.findings import finding
from voiceflow.validation.values import Earlier

TENSOR_CHANGES: Final = frozenset(
    {
        ChangeKind.INPUT_ADDED,
        ChangeKind.INPUT_REMOVED,
        ChangeKind.OUTPUT_ADDED,
        ChangeKind.OUTPUT_REMOVED,
        ChangeKind.TENSOR_RETYPED,
        ChangeKind.TENSOR_RESHAPED,
    }
)


def before(target: Described, earlier: Sequence[Earlier]) -> list[Earlier]:
    """Versions of the same model that come before it, the newest first."""
    found = [
        one
        for one in earlier
        if one.described.name.model == target.name.model
        and one.described.name.version < target.name.version
    ]
    return sorted(found, key=lambda one: one.described.name.version, reverse=True)


def too_small(
    rule_id: str, target: Described, earlier: Sequence[Earlier], *, tensors: bool
) -> Iterator[Finding]:
    """One finding for each change that demands more than the number gives.

    Args:
        rule_id: Of the gate that asks.
        target: The version.
        earlier: Those published before, yanked ones left out.
        tensors: Whether to judge changes of tensors, or all others.
    """
    newest = next(iter(before(target, earlier)), None)
    if newest is None:
        return
    found = difference(newest.described, target)
    for change in found.changes:
        if change.bump > found.actual_bump and (change.kind in TENSOR_CHANGES) is tensors:
            least = _next(newest.described.name.version, change.bump)
            was, becomes = change.before or "nothing", change.after or "nothing"
            yield finding(
                rule_id,
                change.subject,
                seen=f"{target.name.version} after {newest.described.name.version}:"
                f" a {found.actual_bump.name.lower()} bump",
                allowed=f"a {change.bump.name.lower()} bump: {least} or higher",
                message=f"{change.subject} was {was} and becomes {becomes}; raise the version to"
                f" {least} or higher, or leave it as it was",
            )


def _next(version: semver.Version, bump: Bump) -> semver.Version:
    """The lowest release that is so much higher; below 1.0.0 a place less is promised."""
    if version.major == 0:
        return version.bump_minor() if bump is Bump.MAJOR else version.bump_patch()
    steps = {
        Bump.PATCH: version.bump_patch,
        Bump.MINOR: version.bump_minor,
        Bump.MAJOR: version.bump_major,
    }
    return steps[bump]()
