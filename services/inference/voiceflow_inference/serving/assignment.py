"""Which version a stream begins on, and whether the shadow hears it. Pure.

A stream's place follows from its session and from the version on trial alone: the same on every
pod, after every restart, and for a client that comes back. Whoever was in a canary stays in it when
its percentage grows. Another version on trial draws anew, so that it is not always the same
sessions that bear the risk.
"""

from __future__ import annotations

import hashlib
from typing import Final

from voiceflow.catalog.channels import Role, Rollout, VersionPin

_STEPS: Final = 10_000
"""Percentages have two decimals."""


def role_of(session: str, rollout: Rollout) -> Role:
    """CANARY for as many sessions in a hundred as the rollout says, PRIMARY for the others."""
    canary = rollout.canary
    if canary is not None and _is_drawn(session, Role.CANARY, canary.pin, canary.percentage):
        return Role.CANARY
    return Role.PRIMARY


def is_shadowed(session: str, rollout: Rollout) -> bool:
    """Whether the shadow hears this session: only what the primary serves is heard."""
    shadow = rollout.shadow
    return (
        shadow is not None
        and role_of(session, rollout) is Role.PRIMARY
        and _is_drawn(session, Role.SHADOW, shadow.pin, shadow.percentage)
    )


def _is_drawn(session: str, role: Role, pin: VersionPin, percentage: float) -> bool:
    """The session's place among 10,000, uniform and independent for each role and version."""
    # A session is any text; what stands before it holds no line feed.
    drawn = hashlib.sha256(f"{role.value}\n{pin.version}\n{session}".encode()).digest()
    return int.from_bytes(drawn[:8]) % _STEPS < round(percentage * _STEPS / 100)
