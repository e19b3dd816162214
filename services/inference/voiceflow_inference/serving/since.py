"""Since which promotion each version has its role on the channel. Pure.

This is told, and nothing is decided by it: of a history that is checked, only the newest promotion
need be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from voiceflow.catalog.channels import Promotion, PromotionKind, Role, Rollout

LOOK_BACK: Final = 50
"""Promotions; as many as a registry tells in one answer."""


@dataclass(frozen=True, slots=True)
class Since:
    """The promotion that gave a version its role.

    Attributes:
        sequence: Its number.
        kind: How it came about.
        commit_time: By the registry's clock.
        or_earlier: What was before it is not known: it may have been an earlier one.
    """

    sequence: int
    kind: PromotionKind
    commit_time: datetime
    or_earlier: bool


@dataclass(frozen=True, slots=True)
class Promoted:
    """What is told of a promotion, and decides nothing.

    Attributes:
        rollout: As it was promoted, with all roles.
        kind: How it came about.
        commit_time: By the registry's clock.
        since: Of each role that it names.
    """

    rollout: Rollout
    kind: PromotionKind
    commit_time: datetime
    since: Mapping[Role, Since]


def promoted(newest: Promotion, since: Mapping[Role, Since] | None = None) -> Promoted:
    """What is told of a promotion.

    Args:
        newest: The promotion.
        since: Of its roles; None: nothing is known of what was before it.
    """
    return Promoted(newest.rollout, newest.kind, newest.commit_time, since or roles_since([newest]))


def is_enough(history: Sequence[Promotion]) -> bool:
    """Whether promotions, the newest first, say of every role since when it is as it is."""
    return not any(since.or_earlier for since in roles_since(history).values())


def roles_since(history: Sequence[Promotion]) -> dict[Role, Since]:
    """Since when each role of a promotion is as it is.

    Args:
        history: That promotion, then those before it, the newest first; at least one.
    """
    found = {}
    for role, pin in history[0].rollout.pins().items():
        first, or_earlier = history[0], history[0].sequence > 1
        for promotion in history[1:]:
            if promotion.sequence != first.sequence - 1:
                break
            if promotion.rollout.pins().get(role) != pin:
                or_earlier = False
                break
            first, or_earlier = promotion, promotion.sequence > 1
        found[role] = Since(first.sequence, first.kind, first.commit_time, or_earlier)
    return found
