"""Whether pods that left a version are enough to take it from all. Pure.

One sick pod moves nobody else: a quorum needs at least two, and the policy says how many and what
part of those that serve the version.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from voiceflow.catalog.channels import FleetRollback, Promotion, PromotionKind, Role
from voiceflow.catalog.pods import GenerationState, Pod, Revert

COUNTS_FOR_SECONDS: Final = 60.0
"""A pod counts if it reported within this time."""


@dataclass(frozen=True, slots=True)
class Quorum:
    """Enough pods have left a version.

    Attributes:
        version: Name of the version.
        role: What it is to the channel.
        reverted: Pods that have left it.
        serving: Pods that serve it, or did until they left it.
    """

    version: str
    role: Role
    reverted: int
    serving: int

    @property
    def reason(self) -> str:
        """For people."""
        return f"{self.reverted} of {self.serving} pods left {self.version} ({self.role.value})"


def quorum(
    newest: Promotion,
    rule: FleetRollback,
    pods: Sequence[Pod],
    reverts: Iterable[Revert],
    now: datetime,
) -> Quorum | None:
    """A version of the newest promotion that enough pods have left; None if there is none.

    Pods count that reported within the last minute. Of these, those have left a version that
    reverted from it under the newest promotion, and those serve it that have it active, or have
    left it. What the registry went back to by itself it does not leave by itself: where that fails
    too, people decide.

    Args:
        newest: Of the channel.
        rule: What its policy demands.
        pods: That follow the channel, with their report times.
        reverts: That they reported; those of other promotions do not matter.
        now: By the clock of the report times.
    """
    if not rule.enabled or newest.kind is PromotionKind.AUTOMATIC_ROLLBACK:
        return None
    oldest = now - timedelta(seconds=COUNTS_FOR_SECONDS)
    fresh = {pod.name: pod for pod in pods if pod.report_time and pod.report_time >= oldest}
    left = {
        (revert.from_version.version, revert.pod)
        for revert in reverts
        if revert.sequence == newest.sequence and revert.pod in fresh
    }
    for role, pin in newest.rollout.pins().items():
        reverted = {pod for version, pod in left if version == pin.version}
        serving = reverted | {name for name, pod in fresh.items() if _has_active(pod, pin.version)}
        enough = len(reverted) >= rule.minimum_pods
        if enough and 100.0 * len(reverted) >= rule.minimum_percent * len(serving):
            return Quorum(pin.version, role, len(reverted), len(serving))
    return None


def _has_active(pod: Pod, version: str) -> bool:
    return any(
        generation.version.version == version and generation.state is GenerationState.ACTIVE
        for generation in pod.generations
    )
