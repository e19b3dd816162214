"""What acts have changed, as entries of the audit tell it: short. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from voiceflow.catalog.channels import ChannelPolicy, Promotion
from voiceflow.catalog.gates import ValidationReport
from voiceflow.catalog.names import PodName
from voiceflow.catalog.pods import Collection, Revert
from voiceflow.catalog.versions import Version, VersionState


@dataclass(frozen=True, slots=True)
class Change:
    """What an act has changed; both are empty where nothing changed."""

    before: str = ""
    after: str = ""


NOTHING_CHANGED: Final = Change()


def promoted(before: Promotion | None, promotion: Promotion) -> Change:
    """`1.3.0`, `1.4.0, canary 1.5.0 at 5 %`."""
    return Change(before.rollout.in_short if before else "", promotion.rollout.in_short)


def published(version: Version, *, already: bool) -> Change:
    """The digest of the manifest; nothing where it was published before, or only tried out."""
    if already or version.publish_time is None:
        return NOTHING_CHANGED
    return Change("", version.manifest_digest)


def moved(before: VersionState | None, after: VersionState) -> Change:
    """`published`, `yanked`; nothing where it had that state before."""
    if before is None or before is after:
        return NOTHING_CHANGED
    return Change(before.value, after.value)


def set_policy(before: ChannelPolicy, policy: ChannelPolicy) -> Change:
    """`policy 1`, `policy 2`; nothing where that one stood before."""
    if before.sequence == policy.sequence:
        return NOTHING_CHANGED
    return Change(f"policy {before.sequence}", f"policy {policy.sequence}")


def collected(collection: Collection) -> Change:
    """`12 objects removed`."""
    if not collection.objects:
        return NOTHING_CHANGED
    return Change("", f"{len(collection.objects)} objects removed")


def reverted(pod: PodName, reverts: Sequence[Revert]) -> Change:
    """`3 reverts of pods/a`."""
    return Change("", f"{len(reverts)} revert{'s' * (len(reverts) > 1)} of {pod}")


def validated(report: ValidationReport) -> Change:
    """`validations/1 passed`."""
    _, _, validation = report.name.rpartition("/")
    return Change("", f"validations/{validation} {'passed' if report.passed else 'failed'}")
