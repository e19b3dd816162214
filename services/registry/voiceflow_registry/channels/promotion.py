"""What may be promoted to a channel: its newest promotion and a wish in, the next promotion out.

Everything here is a pure function of what it is given, and each refusal cites its rule by the
error's reason. The acts around it are in `channels`.

A wish is judged in this order, so that an error never tells more than the caller may know:

1. `wishes.check_wish`: is it well-formed at all;
2. `wishes.check_state`: is it about the state that the caller has seen, and may the caller;
3. `next_promotion` or `next_rollback`: are the versions fit for it, and does it change anything.

A version that stays in its role, with no more of the streams than before, is not promoted anew: it
must not be yanked, but gates, pre-release and publisher are not asked again. Else a
channel whose primary was validated long ago could not end a canary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from voiceflow.artifact import Digest
from voiceflow.catalog.channels import (
    Channel,
    ChannelPolicy,
    Promotion,
    PromotionKind,
    Role,
    Rollout,
    VersionPin,
)
from voiceflow.catalog.gates import Gate
from voiceflow.catalog.names import ChannelName, VersionName
from voiceflow.catalog.versions import VersionState
from voiceflow.errors import Forbidden, NotAllowedNow, Violation
from voiceflow.trust.statements import Statement
from voiceflow_registry.channels.etags import etag_of
from voiceflow_registry.channels.rollouts import complete, digest_field, share, version_field
from voiceflow_registry.channels.wishes import (
    MAXIMUM_SEQUENCE,
    PromotionWish,
    RollbackWish,
    Situation,
    Wish,
)


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """What is known of a version when a promotion is decided.

    Attributes:
        manifest_digest: Of what was published under the name.
        state: Where it stands in its life.
        publisher: Principal that published it.
        passed: Gates that it has passed and that count for the channel's policy.
    """

    name: VersionName
    manifest_digest: Digest
    state: VersionState
    publisher: str
    passed: frozenset[Gate] = frozenset()


def channel_of(name: ChannelName, newest: Promotion, created: datetime) -> Channel:
    """The channel as it is, or was, while a promotion is its newest.

    Args:
        name: The channel's.
        newest: The promotion.
        created: Commit time of the channel's first promotion.
    """
    return Channel(
        name=str(name),
        rollout=newest.rollout,
        sequence=newest.sequence,
        etag=newest.etag,
        create_time=created,
        update_time=newest.commit_time,
    )


def next_promotion(
    situation: Situation,
    wish: PromotionWish,
    facts: Mapping[Role, VersionFacts],
    now: datetime,
) -> Promotion:
    """The promotion that a wish makes.

    Args:
        situation: The channel; `check_state` has passed.
        wish: What is wanted; `check_wish` has passed.
        facts: Of each version that `rollouts.named_versions` gives.
        now: Goes into the promotion.

    Raises:
        NotAllowedNow: DIGEST_MISMATCH, VERSION_DELETED, VERSION_YANKED, PRERELEASE_NOT_ALLOWED,
            DOWNGRADE_NOT_ALLOWED, GATES_NOT_PASSED with a violation for each version and gate,
            NOTHING_CHANGES, SEQUENCE_EXHAUSTED.
        Forbidden: PROMOTER_IS_PUBLISHER.
    """
    policy, newest = situation.policy, situation.newest
    for role, version in facts.items():
        _check_digest(role, wish.rollout.pins()[role], version)
        check_promotable(version.name, version.state, field=version_field(role))
    rollout = complete(
        wish.rollout, {role: version.manifest_digest for role, version in facts.items()}
    )
    promoted = {
        role: version
        for role, version in facts.items()
        if newest is None
        or share(rollout, role, str(version.name)) > share(newest.rollout, role, str(version.name))
    }
    for role, version in promoted.items():
        if version.publisher == wish.principal and not policy.allow_publisher_to_promote:
            raise Forbidden(
                f"{version.name} was published by {version.publisher}; somebody else must promote "
                "it, as long as the channel's policy does not allow publishers to",
                reason="PROMOTER_IS_PUBLISHER",
                field=version_field(role),
            )
        if version.name.version.prerelease is not None and not policy.allow_prereleases:
            raise NotAllowedNow(
                f"{version.name} is a pre-release; the policy of {situation.channel} does not "
                "allow any",
                reason="PRERELEASE_NOT_ALLOWED",
                field=version_field(role),
            )
    _check_direction(situation, wish, facts[Role.PRIMARY].name)
    _check_gates(policy, promoted.values())
    if newest is not None and (rollout, wish.expire_time) == (newest.rollout, newest.expire_time):
        raise NotAllowedNow(
            f"{situation.channel} serves just this since sequence {newest.sequence}",
            reason="NOTHING_CHANGES",
        )
    return _append(situation, wish, PromotionKind.PROMOTE, rollout, now)


def rollback_target(
    present: Promotion,
    earlier: Iterable[Promotion],
    state: Callable[[str], VersionState],
    *,
    kind: PromotionKind = PromotionKind.ROLLBACK,
) -> Promotion:
    """The promotion that a rollback goes back to where nobody says which.

    What is on trial goes first: while a canary or shadow stands, people go back to the present
    promotion, whose primary stays alone. Else it is the newest before it whose primary is another
    one and not yanked. The registry itself goes back because the primary fails: it leaves the
    primary in any case, and never for what is on trial beside it.

    Args:
        present: The channel's newest promotion.
        earlier: Those before it, newest first; read no further than needed.
        state: Of a version, by name.
        kind: Who goes back: people, or the registry.

    Raises:
        NotAllowedNow: NO_EARLIER_VERSION.
    """
    if kind is PromotionKind.ROLLBACK and present.rollout.has_trial:
        return present
    serving = {pin.version for pin in present.rollout.pins().values()}
    refused: set[str] = set()
    for promotion in earlier:
        version = promotion.rollout.primary.version
        if version in serving or version in refused:
            continue
        if state(version) is VersionState.PUBLISHED:
            return promotion
        refused.add(version)
    yanked = f"; yanked since: {', '.join(sorted(refused))}" if refused else ""
    raise NotAllowedNow(
        f"{present.name} has no earlier promotion with another primary{yanked}",
        reason="NO_EARLIER_VERSION",
    )


def next_rollback(
    situation: Situation,
    wish: RollbackWish,
    target: Promotion,
    state: VersionState,
    now: datetime,
) -> Promotion:
    """The promotion that takes a channel back to the primary of an earlier one.

    Going back to the present promotion ends its canary and shadow.

    Args:
        situation: The channel; `check_state` has passed.
        wish: What is wanted; `check_wish` has passed.
        target: The promotion to go back to.
        state: Of its primary.
        now: Goes into the promotion.

    Raises:
        NotAllowedNow: VERSION_DELETED, VERSION_YANKED; NO_EARLIER_VERSION, if the channel serves
            that primary alone already; SEQUENCE_EXHAUSTED.
    """
    primary = target.rollout.primary
    check_promotable(VersionName.parse(primary.version), state, field="to_sequence")
    rollout = Rollout(primary=primary)
    newest = situation.newest
    if newest is not None and (rollout, wish.expire_time) == (newest.rollout, newest.expire_time):
        raise NotAllowedNow(
            f"{situation.channel} serves {primary.version} alone already; that is nothing to go "
            "back to",
            reason="NO_EARLIER_VERSION",
            field="to_sequence",
        )
    return _append(situation, wish, wish.kind, rollout, now, to_sequence=target.sequence)


def check_promotable(name: VersionName, state: VersionState, *, field: str) -> None:
    """Whether a version's state lets it be promoted.

    Raises:
        NotAllowedNow: VERSION_DELETED, VERSION_YANKED.
    """
    if state is VersionState.DELETED:
        raise NotAllowedNow(
            f"{name} was deleted: its files are gone", reason="VERSION_DELETED", field=field
        )
    if state is VersionState.YANKED:
        raise NotAllowedNow(
            f"{name} was yanked: it is not to be promoted again",
            reason="VERSION_YANKED",
            field=field,
        )


def _check_digest(role: Role, pin: VersionPin, version: VersionFacts) -> None:
    if pin.manifest_digest not in {"", version.manifest_digest}:
        raise NotAllowedNow(
            f"{version.name} has the manifest digest {version.manifest_digest}, not "
            f"{pin.manifest_digest[:100]!r}",
            reason="DIGEST_MISMATCH",
            field=digest_field(role),
        )


def _check_direction(situation: Situation, wish: PromotionWish, primary: VersionName) -> None:
    if situation.newest is None:
        return
    present = VersionName.parse(situation.newest.rollout.primary.version)
    if primary.version >= present.version:
        return
    if not situation.policy.allow_downgrades:
        needed = "the policy does not allow that; RollbackChannel goes back"
    elif not wish.allow_downgrade:
        needed = "set allow_downgrade if that is meant"
    else:
        return
    raise NotAllowedNow(
        f"{primary} is lower than the present primary, {present.version}; {needed}",
        reason="DOWNGRADE_NOT_ALLOWED",
        field=version_field(Role.PRIMARY),
    )


def _check_gates(policy: ChannelPolicy, promoted: Iterable[VersionFacts]) -> None:
    violations = [
        Violation(
            kind=gate.value,
            subject=str(version.name),
            description=f"the {gate.value} gate has not passed under {policy.name}, or too long "
            "ago; validate the version for this channel",
        )
        for version in {version.name: version for version in promoted}.values()
        for gate in policy.demanded_gates
        if gate not in version.passed
    ]
    if violations:
        missing = ", ".join(f"{violation.subject}: {violation.kind}" for violation in violations)
        raise NotAllowedNow(
            f"gates that the channel demands have not passed: {missing}",
            reason="GATES_NOT_PASSED",
            violations=violations,
        )


def _append(
    situation: Situation,
    wish: Wish,
    kind: PromotionKind,
    rollout: Rollout,
    now: datetime,
    *,
    to_sequence: int = 0,
) -> Promotion:
    newest, channel = situation.newest, situation.channel
    if newest is not None and newest.sequence >= MAXIMUM_SEQUENCE:
        raise NotAllowedNow(
            f"{channel} is at sequence {newest.sequence}, the last there is; use another channel",
            reason="SEQUENCE_EXHAUSTED",
        )
    sequence = newest.sequence + 1 if newest else 1
    statement = Statement.following(
        newest.statement if newest else None,
        channel=channel,
        sequence=sequence,
        kind=kind,
        rollout=rollout,
        expire_time=wish.expire_time,
    ).to_bytes()
    return Promotion(
        name=channel.promotion(sequence),
        sequence=sequence,
        kind=kind,
        rollout=rollout,
        rollback_to_sequence=to_sequence,
        principal=wish.principal,
        reason=wish.reason,
        commit_time=now,
        expire_time=wish.expire_time,
        statement=statement,
        signature=wish.signature,
        request_id=wish.request_id,
        etag=etag_of(sequence, statement),
        trace_parent=wish.trace_parent,
    )
