"""Commits promotions and rollbacks: the one way into a channel's history.

Promotion n + 1 of a channel is one object that can be created once: creating it is the commit, and
of two callers with one etag one wins. What comes after the commit (the hint) only saves work. A
promotion that names a yanked version was decided before the yank; one that names a deleted version
cannot come about (see `holds`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, Protocol

from voiceflow.catalog.channels import ChannelPolicy, Promotion, PromotionKind, Role
from voiceflow.catalog.gates import Gate
from voiceflow.catalog.names import ChannelName, VersionName
from voiceflow.catalog.versions import VersionState
from voiceflow.errors import ContentCorrupt, NotFound
from voiceflow.identity.caller import Caller
from voiceflow_registry.channels.history import History
from voiceflow_registry.channels.holds import Holds
from voiceflow_registry.channels.policies import Policies
from voiceflow_registry.channels.promotion import (
    VersionFacts,
    check_promotable,
    next_promotion,
    next_rollback,
    rollback_target,
)
from voiceflow_registry.channels.rollouts import named_versions, version_field
from voiceflow_registry.channels.traces import count
from voiceflow_registry.channels.wishes import (
    PromotionWish,
    RollbackWish,
    Situation,
    Wish,
    channel_not_found,
    check_state,
    check_wish,
    etag_stale,
)
from voiceflow_registry.records import (
    ChannelHint,
    PromotionRecord,
    Request,
    VersionRecord,
    channel_key,
    decode,
    encode,
    history_key,
)
from voiceflow_registry.requests import request_of
from voiceflow_registry.storage.object_store import (
    ABSENT,
    ObjectMissing,
    ObjectStore,
    PreconditionFailed,
    StoreError,
)
from voiceflow_registry.trust import Trust

_HINT_EVERY: Final = 8
"""Promotions from one hint to the next: stores allow one object to be written about once a second,
and probing forward over seven is cheap."""


_log = logging.getLogger(__name__)


class PublishedVersions(Protocol):
    """What promoting needs to know of versions."""

    def record(self, name: VersionName) -> VersionRecord:
        """A version's record; NotFound, VERSION_NOT_FOUND."""

    def state(self, name: VersionName) -> VersionState:
        """Where it stands now; NotFound, VERSION_NOT_FOUND."""


class PassedGates(Protocol):
    """What promoting needs to know of validations."""

    def passed(
        self, record: VersionRecord, *, policy: ChannelPolicy, channel: ChannelName
    ) -> set[Gate]:
        """Gates that a version has passed and that count for a channel."""


class Promoting:
    """Appends to the histories of channels.

    Args:
        store: Holds them.
        versions: Those that may be promoted.
        validations: What these have passed.
        policies: Of the channels.
        clock: Tells when promotions were committed, for people.
        trust: Whose signatures are taken; None: they are kept as they come.

    Attributes:
        history: The promotions of all channels.
        holds: Versions that promotions under way name.
    """

    def __init__(
        self,
        store: ObjectStore,
        versions: PublishedVersions,
        validations: PassedGates,
        policies: Policies,
        clock: Callable[[], datetime],
        trust: Trust | None = None,
    ) -> None:
        self.history = History(store, PromotionRecord, history_key, hint=self._hint)
        self.holds = Holds(store, self.history.reached)
        self._store = store
        self._versions = versions
        self._validations = validations
        self._policies = policies
        self._clock = clock
        self._trust = trust

    def promote(
        self, caller: Caller, name: ChannelName, wish: PromotionWish, *, validate_only: bool
    ) -> Promotion:
        """See `Channels.promote`."""
        payload = {
            "rollout": wish.rollout.model_dump(mode="json"),
            "allow_downgrade": wish.allow_downgrade,
        }
        request = _request(caller, "PromoteVersion", name, wish, payload)
        newest, earlier = self._before(name, request, wish.etag)
        if earlier is not None:
            return earlier.promotion
        check_wish(wish, self._clock())
        named = named_versions(name, wish.rollout)
        situation = self._situation(name, newest)
        check_state(situation, wish)
        facts = {role: self._facts(role, named[role], situation) for role in named}
        promotion = next_promotion(situation, wish, facts, self._clock())
        promotion = self._trusted(promotion, version_field, validate_only=validate_only)
        if validate_only:
            return promotion
        return self._commit(name, promotion, request, newest)

    def rollback(
        self, caller: Caller, name: ChannelName, wish: RollbackWish, *, validate_only: bool
    ) -> Promotion:
        """See `Channels.rollback`."""
        payload = {"to_sequence": wish.to_sequence}
        request = _request(caller, "RollbackChannel", name, wish, payload)
        newest, earlier = self._before(name, request, wish.etag)
        if earlier is not None:
            return earlier.promotion
        check_wish(wish, self._clock())
        situation = self._situation(name, newest)
        check_state(situation, wish)
        target = self._target(name, situation, wish)
        state = self._versions.state(VersionName.parse(target.rollout.primary.version))
        promotion = next_rollback(situation, wish, target, state, self._clock())
        promotion = self._trusted(promotion, lambda _: "to_sequence", validate_only=validate_only)
        if validate_only:
            return promotion
        return self._commit(name, promotion, request, newest)

    def _before(
        self, name: ChannelName, request: Request, etag: str
    ) -> tuple[PromotionRecord | None, PromotionRecord | None]:
        """The newest promotion, and the one that this request has made already."""
        newest = self.history.newest(name)
        return newest, self.history.answered(name, request, etag, newest)

    def _situation(self, name: ChannelName, newest: PromotionRecord | None) -> Situation:
        return Situation(name, newest.promotion if newest else None, self._policies.get(name))

    def _facts(self, role: Role, version: VersionName, situation: Situation) -> VersionFacts:
        try:
            record = self._versions.record(version)
        except NotFound as error:
            raise NotFound(error.message, reason=error.reason, field=version_field(role)) from None
        policy = situation.policy
        passed: set[Gate] = set()
        if policy.demanded_gates:
            passed = self._validations.passed(record, policy=policy, channel=situation.channel)
        return VersionFacts(
            name=version,
            manifest_digest=record.manifest_digest,
            state=self._versions.state(version),
            publisher=record.request.principal,
            passed=frozenset(passed),
        )

    def _target(self, name: ChannelName, situation: Situation, wish: RollbackWish) -> Promotion:
        newest, to_sequence = situation.newest, wish.to_sequence
        if newest is None:
            raise channel_not_found(name)
        if to_sequence:
            entry = self.history.at(name, to_sequence)
            if entry is None:
                raise NotFound(
                    f"there is no promotion {name.promotion(to_sequence)}; the newest is "
                    f"{newest.sequence}",
                    reason="PROMOTION_NOT_FOUND",
                    field="to_sequence",
                )
            return entry.promotion
        return rollback_target(
            newest,
            (entry.promotion for entry in self.history.before(name, newest.sequence)),
            lambda version: self._versions.state(VersionName.parse(version)),
            kind=wish.kind,
        )

    def _trusted(
        self, promotion: Promotion, field: Callable[[Role], str], *, validate_only: bool
    ) -> Promotion:
        """The promotion, as pods will follow it: signed, and so is every version that it names.

        One that is only looked at need not be signed yet: what it says is what is to be signed.
        """
        if self._trust is None:
            return promotion
        for role, pin in promotion.rollout.pins().items():
            version = VersionName.parse(pin.version)
            record = self._versions.record(version)
            self._trust.check_version(version, record.manifest, record.signature, field=field(role))
        if promotion.kind is PromotionKind.AUTOMATIC_ROLLBACK:
            return self._trust.signed(promotion)
        if promotion.signature is not None or not validate_only:
            self._trust.check_promotion(promotion)
        return promotion

    def _commit(
        self,
        name: ChannelName,
        promotion: Promotion,
        request: Request,
        newest: PromotionRecord | None,
    ) -> Promotion:
        serving = newest.promotion.rollout if newest else None
        named = {pin.version for pin in serving.pins().values()} if serving else set()
        coming = {
            role: VersionName.parse(pin.version)
            for role, pin in promotion.rollout.pins().items()
            if pin.version not in named
        }
        with self.holds.held(set(coming.values()), name, promotion.sequence):
            self._check_still_promotable(coming)
            record = PromotionRecord(promotion=promotion, request=request)
            stands = self.history.append(name, record)
            if stands is None:
                raise etag_stale(name, newest.promotion.etag if newest else "")
        if stands is record:
            count(name, promotion)
        self._leave_hint(name, promotion.sequence)
        return stands.promotion

    def _check_still_promotable(self, coming: Mapping[Role, VersionName]) -> None:
        for role, version in coming.items():
            check_promotable(version, self._versions.state(version), field=version_field(role))

    def _hint(self, name: ChannelName) -> int:
        key = channel_key(name)
        try:
            return decode(ChannelHint, self._store.get(key).content, key).sequence
        except (ObjectMissing, ContentCorrupt):
            return 0  # probing from the beginning finds the same

    def _leave_hint(self, name: ChannelName, sequence: int) -> None:
        if sequence % _HINT_EVERY != 1:
            return
        try:
            held = self._store.info(channel_key(name))
            self._store.put(
                channel_key(name),
                encode(ChannelHint(sequence=sequence)),
                if_generation=held.generation if held else ABSENT,
            )
        except PreconditionFailed:
            return  # of two that are written at once the lower may stay; it is a hint
        except StoreError as error:  # must not undo the answer
            _log.warning("could not leave a hint, which does no harm: %s", error)


def _request(
    caller: Caller, method: str, name: ChannelName, wish: Wish, payload: Mapping[str, object]
) -> Request:
    said = {
        "channel": str(name),
        "etag": wish.etag,
        "reason": wish.reason,
        "expire_time": wish.expire_time and wish.expire_time.astimezone(UTC).isoformat(),
        "signature": wish.signature and wish.signature.model_dump(mode="json"),
    }
    return request_of(caller, method, wish.request_id, {**said, **payload})
