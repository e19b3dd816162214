"""What callers wish of a channel, and whether they may: before any version is looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from voiceflow.catalog.channels import (
    ChannelPolicy,
    Promotion,
    PromotionKind,
    Rollout,
)
from voiceflow.catalog.names import ChannelName
from voiceflow.catalog.values import Signature, iso
from voiceflow.errors import Conflict, Forbidden, InvalidInput, NotFound
from voiceflow_registry.reasons import check_reason

MAXIMUM_SEQUENCE: Final = 2**63 - 1

_MAXIMUM_SIGNATURE_BYTES: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Situation:
    """A channel as it is: its newest promotion, None before the first, and its policy."""

    channel: ChannelName
    newest: Promotion | None
    policy: ChannelPolicy


@dataclass(frozen=True, slots=True)
class Wish:
    """What promoting and rolling back have in common.

    Attributes:
        principal: Who wants it.
        etag: Of the state that the caller has seen; empty: that there is no channel yet.
        request_id: As the caller chose it; may be empty.
        reason: Why, for people.
        expire_time: After it servers raise an alarm.
        signature: Over the statement that the promotion will have.
        trace_parent: Where the trace of its promotion goes on; empty: nowhere.
    """

    principal: str
    etag: str = ""
    request_id: str = ""
    reason: str = ""
    expire_time: datetime | None = None
    signature: Signature | None = None
    trace_parent: str = ""


@dataclass(frozen=True, slots=True)
class PromotionWish(Wish):
    """A wish that a channel serve some rollout."""

    rollout: Rollout = field(kw_only=True)
    allow_downgrade: bool = False


@dataclass(frozen=True, slots=True)
class RollbackWish(Wish):
    """A wish that a channel go back.

    Attributes:
        to_sequence: Of the promotion whose primary to go back to; 0: let `rollback_target` choose.
        kind: Who wants it: a person, or a quorum of pods.
        by_operator: An operator wants it: going back does not wait for somebody whom the policy
            names.
    """

    to_sequence: int = 0
    kind: PromotionKind = PromotionKind.ROLLBACK
    by_operator: bool = False


def check_wish(wish: Wish, now: datetime) -> None:
    """Whether a wish is well-formed, whatever the channel is like.

    Raises:
        InvalidInput: FIELD_INVALID, if the reason or the signature is too long, the reason is not
            one line of text, or the expiry lies in the past.
    """
    check_reason(wish.reason)
    if wish.expire_time is not None and wish.expire_time <= now:
        raise _invalid(
            "expire_time", f"{iso(wish.expire_time)} is past; allowed is later than {iso(now)}"
        )
    if wish.signature is not None and len(wish.signature.content) > _MAXIMUM_SIGNATURE_BYTES:
        raise _invalid(
            "signature.content",
            f"{len(wish.signature.content)} bytes; allowed are {_MAXIMUM_SIGNATURE_BYTES}",
        )
    if isinstance(wish, RollbackWish) and not 0 <= wish.to_sequence <= MAXIMUM_SEQUENCE:
        raise _invalid("to_sequence", f"{wish.to_sequence}; allowed is 0 or an earlier sequence")


def check_state(situation: Situation, wish: Wish) -> None:
    """Whether a wish is about the channel as it is now, and the policy lets its caller have it.

    An empty etag says that the caller has seen no channel. If there is one by now, promoting is
    ETAG_STALE like any other etag that was overtaken: of two first promotions, one wins.

    Raises:
        NotFound: CHANNEL_NOT_FOUND, for a rollback of a channel that was never promoted to.
        InvalidInput: FIELD_REQUIRED, for a rollback without an etag.
        Conflict: ETAG_STALE.
        Forbidden: POLICY_FORBIDS.
    """
    newest = situation.newest
    if isinstance(wish, RollbackWish):
        if newest is None:
            raise channel_not_found(situation.channel)
        if not wish.etag:
            raise InvalidInput(
                "etag: missing; send the channel's, as last read",
                reason="FIELD_REQUIRED",
                field="etag",
            )
    if wish.etag != (newest.etag if newest else ""):
        raise etag_stale(situation.channel, wish.etag)
    if isinstance(wish, RollbackWish) and (
        wish.kind is PromotionKind.AUTOMATIC_ROLLBACK or wish.by_operator
    ):
        return  # the policy names a quorum, not a principal; operators may set the policy
    promoters = situation.policy.promoters
    if promoters and not any(_matches(pattern, wish.principal) for pattern in promoters):
        raise Forbidden(
            f"{wish.principal} is none of those that may promote to {situation.channel}; its "
            "policy names them, and an operator can change it",
            reason="POLICY_FORBIDS",
        )


def etag_stale(channel: ChannelName, etag: str) -> Conflict:
    """The error for a state that has changed since the caller looked."""
    seen = f"is no longer as {etag!r:.80} says" if etag else "exists by now"
    return Conflict(
        f"{channel} {seen}; read it again, and decide again", reason="ETAG_STALE", field="etag"
    )


def channel_not_found(channel: ChannelName) -> NotFound:
    """The error for a channel that was never promoted to."""
    return NotFound(
        f"there is no channel {channel}; its first promotion makes it", reason="CHANNEL_NOT_FOUND"
    )


def _matches(pattern: str, principal: str) -> bool:
    """Whether a policy's pattern names a principal; `*` stands for its whole last segment."""
    above, _, last = pattern.rpartition("/")
    if last != "*":
        return pattern == principal
    mine, slash, segment = principal.rpartition("/")
    return bool(slash and segment) and mine == above


def _invalid(field: str, seen: str) -> InvalidInput:
    return InvalidInput(f"{field}: {seen}", reason="FIELD_INVALID", field=field)
