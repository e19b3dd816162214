"""What a pod trusts, and how it comes to trust something newer; nothing here reads or fetches.

A pod follows one channel. It remembers the newest version of the trust root that it has seen, and
the promotion that it has moved to, and asks before it moves on. The rules, which refusals cite:

 1. The trust root never gets older (ROOT_BEHIND), and a version that was seen stays what it was
    (ROOT_INVALID). Every version after it is signed by the one before it: `voiceflow.trust.root`.
 2. The newest promotion is signed by a key that the trust root of now lets promote to this channel
    in this way (SIGNATURE_…, KEY_…). Those before it need no signature that still holds: their
    digests are in what follows them, so who signed the newest vouches for all, and the history of
    a channel outlives the keys that it was signed with.
 3. A promotion is of the channel that is followed, and its record says what its statement says
    (STATEMENT_INVALID, STATEMENT_MISMATCH).
 4. The sequence never falls (SEQUENCE_BEHIND): no rollback of the history.
 5. The same sequence is the same statement (SEQUENCE_FORKED).
 6. It goes on by at most 1000, and begins with at most 1,000,000 (SEQUENCE_TOO_FAR): a promotion of
    the greatest sequence there is would leave no room for any other.
 7. Every promotion between is there, and follows the one before it (CHAIN_BROKEN): the history that
    a pod has seen is the history that it goes on with.
 8. A pod does not move to a promotion that has expired (PROMOTION_EXPIRED). It goes on with the one
    that it has moved to, however old, and raises an alarm.

Expiry of the trust root raises an alarm and changes nothing: `TrustRoot.expired`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from voiceflow.artifact import digest_of
from voiceflow.catalog.channels import Promotion
from voiceflow.errors import Untrusted
from voiceflow.trust.authority import check_promotion, read_statement
from voiceflow.trust.root import MAXIMUM_VERSIONS, TrustRoot, TrustRoots
from voiceflow.trust.statements import Statement

MAXIMUM_JUMP: Final = 1000
"""How many promotions a pod may be behind; each of them must be fetched."""

MAXIMUM_FIRST_SEQUENCE: Final = 1_000_000
"""Of the first promotion that a pod sees at all: a new one every hour for a hundred years."""

_DigestOrNone = Annotated[str, StringConstraints(pattern=r"^(sha256:[0-9a-f]{64})?$")]


class TrustedState(BaseModel):
    """What a pod trusts, to be remembered; `TrustedState(channel=…)` trusts nothing yet.

    Each number stands beside a digest: one without the other, or with another, leads nowhere.

    Attributes:
        channel: `models/{model}/channels/{channel}`: which it follows.
        root_version: The newest version of the trust root that was seen; 0: none yet.
        root_digest: Of that version; empty: none yet.
        sequence: Of the promotion moved to; 0: none yet.
        statement_digest: Of its statement; empty: none yet.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    channel: Annotated[str, Field(max_length=200)]
    root_version: Annotated[int, Field(ge=0, le=MAXIMUM_VERSIONS)] = 0
    root_digest: _DigestOrNone = ""
    sequence: Annotated[int, Field(ge=0, lt=2**63)] = 0
    statement_digest: _DigestOrNone = ""

    @model_validator(mode="after")
    def _digests_fit(self) -> Self:
        if bool(self.root_digest) != bool(self.root_version):
            raise ValueError("root_digest: there is one of every version, and of none else")
        if bool(self.statement_digest) != bool(self.sequence):
            raise ValueError("statement_digest: there is one of every promotion, and of none else")
        return self


def advance_root(state: TrustedState, roots: TrustRoots) -> TrustedState:
    """Trusts the newest version of a trust root.

    Args:
        state: What is trusted.
        roots: The chain; that each version is signed was checked when it was read.

    Raises:
        Untrusted: ROOT_BEHIND, ROOT_INVALID.
    """
    newest = roots.newest
    if newest.version < state.root_version:
        raise Untrusted(
            f"the trust root has version {newest.version}; version {state.root_version} was seen "
            "(rule 1)",
            reason="ROOT_BEHIND",
        )
    if state.root_version and roots.at(state.root_version).digest != state.root_digest:
        raise Untrusted(
            f"version {state.root_version} of the trust root is not the one that was seen (rule 1)",
            reason="ROOT_INVALID",
        )
    return _changed(state, root_version=newest.version, root_digest=newest.digest)


def advance_promotion(
    root: TrustRoot, state: TrustedState, steps: Sequence[Promotion], now: datetime
) -> TrustedState:
    """Trusts a promotion, and may then move to it.

    Args:
        root: The newest version of the trust root, which `state` must have advanced to.
        state: What is trusted.
        steps: Every promotion after the trusted one, the newest last; of a pod that trusts none
            yet the newest suffices. The trusted one alone says whether it may be gone on with.
        now: By the pod's clock.

    Raises:
        Untrusted: With the rule that is broken; what was trusted stays trusted.
    """
    if root.digest != state.root_digest:
        raise Untrusted(
            f"version {root.version} of the trust root is not the one that is trusted (rule 1)",
            reason="ROOT_BEHIND",
        )
    if not steps:
        raise _broken("there is no promotion to move to")
    newest = steps[-1]
    check_promotion(root, statement=newest.statement, signature=newest.signature, new=False)
    _check_record(state.channel, newest)
    _check_sequence(state, newest)
    _check_chain(state, steps)
    if newest.sequence > state.sequence and expired(newest, now):
        raise Untrusted(
            f"promotion {newest.sequence} of {state.channel} has expired and cannot be moved to "
            "(rule 8)",
            reason="PROMOTION_EXPIRED",
        )
    return _changed(state, sequence=newest.sequence, statement_digest=digest_of(newest.statement))


def expired(promotion: Promotion, now: datetime) -> bool:
    """Whether it is high time for the next one."""
    return promotion.expire_time is not None and now >= promotion.expire_time


def _check_record(channel: str, promotion: Promotion) -> Statement:
    """Rule 3; what was signed."""
    said, name = read_statement(promotion.statement)
    if said.channel != channel:
        raise _mismatch(f"it is of {said.channel}, and {channel} is followed")
    differing = [
        field
        for field, recorded, signed in (
            ("name", promotion.name, name.promotion(said.sequence)),
            ("sequence", promotion.sequence, said.sequence),
            ("kind", promotion.kind, said.kind),
            ("rollout", promotion.rollout, said.rollout),
            ("expire_time", promotion.expire_time, said.expire_time),
        )
        if recorded != signed
    ]
    if differing:
        raise _mismatch(f"its record has another {', '.join(differing)} than was signed")
    return said


def _check_sequence(state: TrustedState, newest: Promotion) -> None:
    """Rules 4, 5 and 6."""
    if newest.sequence < state.sequence:
        raise Untrusted(
            f"promotion {newest.sequence} of {state.channel} is the newest; {state.sequence} was "
            "moved to (rule 4)",
            reason="SEQUENCE_BEHIND",
        )
    if newest.sequence == state.sequence and digest_of(newest.statement) != state.statement_digest:
        raise Untrusted(
            f"promotion {newest.sequence} of {state.channel} is not the one that was moved to "
            "(rule 5)",
            reason="SEQUENCE_FORKED",
        )
    limit = state.sequence + MAXIMUM_JUMP if state.sequence else MAXIMUM_FIRST_SEQUENCE
    if newest.sequence > limit:
        raise Untrusted(
            f"promotion {newest.sequence} of {state.channel} is too far from {state.sequence}; "
            f"allowed is at most {limit} (rule 6)",
            reason="SEQUENCE_TOO_FAR",
        )


def _check_chain(state: TrustedState, steps: Sequence[Promotion]) -> None:
    """Rule 7, and rule 3 of the promotions between."""
    newest = steps[-1]
    wanted = max(1, newest.sequence - state.sequence) if state.sequence else len(steps)
    if len(steps) != wanted:
        raise _broken(
            f"{len(steps)} promotions were given; {wanted} lead from {state.sequence} to "
            f"{newest.sequence}"
        )
    before = state.statement_digest if newest.sequence > state.sequence > 0 else None
    for number, step in enumerate(steps, newest.sequence - len(steps) + 1):
        said = _check_record(state.channel, step)
        if said.sequence != number:
            raise _broken(f"{said.sequence} stands where {number} must")
        if before is not None and said.previous_statement_digest != before:
            raise _broken(f"{number} does not follow what is before it")
        before = digest_of(step.statement)


def _changed(state: TrustedState, **fields: int | str) -> TrustedState:
    return TrustedState.model_validate(state.model_dump() | fields)


def _mismatch(why: str) -> Untrusted:
    return Untrusted(f"a promotion cannot be trusted: {why} (rule 3)", reason="STATEMENT_MISMATCH")


def _broken(why: str) -> Untrusted:
    return Untrusted(f"the history of the channel is broken: {why} (rule 7)", reason="CHAIN_BROKEN")
