"""What channels serve and have served, and under which policy; promotes and rolls back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from voiceflow.catalog.channels import Channel, ChannelPolicy, Promotion, PromotionKind, Rollout
from voiceflow.catalog.names import ANY_MODEL, ChannelName, ModelName, VersionName
from voiceflow.catalog.values import Page, Signature
from voiceflow.errors import NotFound
from voiceflow.identity.caller import Caller, CallerRole
from voiceflow.telemetry.context import trace_parent
from voiceflow_registry.channels.policies import Policies
from voiceflow_registry.channels.promoting import PassedGates, Promoting, PublishedVersions
from voiceflow_registry.channels.promotion import channel_of
from voiceflow_registry.channels.traces import promoting, tell
from voiceflow_registry.channels.wishes import PromotionWish, RollbackWish, channel_not_found
from voiceflow_registry.paging import page_of
from voiceflow_registry.storage.object_store import ObjectStore
from voiceflow_registry.trust import Trust

REGISTRY_PRINCIPAL: Final = "voiceflow:registry"
"""Who commits a rollback that a quorum of pods asked for."""


class Channels:
    """The channels of all models; safe to use from many threads, and many processes on one store.

    Any method may raise StoreUnavailable, and ContentCorrupt for what is not as it was stored.

    Args:
        store: Holds them.
        versions: Those that may be promoted.
        validations: What these have passed.
        clock: Tells when promotions were committed, for people.
        default_policy: Holds for channels without one of their own.
        trust: Whose signatures are taken; None: they are kept as they come.
    """

    def __init__(
        self,
        store: ObjectStore,
        versions: PublishedVersions,
        validations: PassedGates,
        clock: Callable[[], datetime],
        default_policy: ChannelPolicy,
        trust: Trust | None = None,
    ) -> None:
        self._store = store
        self._policies = Policies(store, clock, default_policy)
        self._promoting = Promoting(store, versions, validations, self._policies, clock, trust)
        self._history = self._promoting.history

    def get(self, name: ChannelName) -> Channel:
        """A channel as it is now.

        Raises:
            NotFound: CHANNEL_NOT_FOUND.
        """
        return self._channel(name, self._served(name))

    def newest(self, name: ChannelName) -> Promotion | None:
        """The promotion that is in force; None before the first."""
        entry = self._history.newest(name)
        return entry.promotion if entry else None

    def promotions_after(self, name: ChannelName, sequence: int) -> Iterator[Promotion]:
        """Promotions that follow a sequence, in order, up to the newest."""
        return (entry.promotion for entry in self._history.after(name, sequence))

    def previous(self, name: ChannelName, promotion: Promotion) -> Promotion | None:
        """The promotion right before another one; None before the first."""
        entry = self._history.at(name, promotion.sequence - 1) if promotion.sequence > 1 else None
        return entry.promotion if entry else None

    def sequences(self) -> Iterator[tuple[ChannelName, int]]:
        """Every channel, and the sequence of its newest promotion."""
        for name in self._names(None):
            newest = self.newest(name)
            if newest is not None:
                yield name, newest.sequence

    def list(
        self, parent: ModelName | None, *, version: str, page_size: int, page_token: str
    ) -> Page[Channel]:
        """Channels of one model by name; of all models (None), by model first.

        Args:
            parent: The model.
            version: Only channels whose newest promotion names it, in any role; empty: all.
            page_size: As `page_of` has it.
            page_token: Likewise.

        Raises:
            NotFound: MODEL_NOT_FOUND.
            InvalidInput: NAME_INVALID, FIELD_INVALID, PAGE_TOKEN_INVALID.
        """
        wanted = str(VersionName.parse(version, field="version")) if version else ""
        if parent is not None:
            self._check_model(parent)

        def after(key: str) -> Iterator[tuple[str, Channel]]:
            reached = tuple(key.split("/"))
            for name in self._names(parent):
                if (name.model, name.channel) <= reached:
                    continue
                newest = self.newest(name)
                if newest is not None and (not wanted or _names(newest, wanted)):
                    yield f"{name.model}/{name.channel}", self._channel(name, newest)

        query = {
            "list": "channels",
            "parent": parent.model if parent else ANY_MODEL,
            "version": wanted,
        }
        return page_of(after, query=query, page_size=page_size, page_token=page_token)

    def naming(self, version: VersionName) -> Sequence[ChannelName]:
        """Channels whose newest promotion names a version, in any role."""
        return [
            name
            for name in self._names(version.parent)
            if (newest := self.newest(name)) is not None and _names(newest, str(version))
        ]

    def using(self, version: VersionName) -> Sequence[ChannelName]:
        """Channels that keep a yanked version from being deleted.

        Those whose newest promotion names it, and those to which a promotion that names it may be
        under way. The version must have been found yanked before this is asked: then no promotion
        that is begun later can name it.
        """
        held = self._promoting.holds.channels(
            version
        )  # first: what is committed meanwhile is seen below
        return sorted({*held, *self.naming(version)})

    def promote(
        self,
        caller: Caller,
        name: ChannelName,
        *,
        rollout: Rollout,
        etag: str,
        request_id: str = "",
        validate_only: bool = False,
        reason: str = "",
        allow_downgrade: bool = False,
        expire_time: datetime | None = None,
        signature: Signature | None = None,
    ) -> tuple[Channel, Promotion]:
        """Sets what a channel serves.

        Args:
            caller: Who.
            name: The channel; its first promotion makes it.
            rollout: What it shall serve, in place of all that it serves.
            etag: As last read; empty for the first promotion alone.
            request_id: Makes it safe to retry; may be empty.
            validate_only: Check, and answer as if it were done.
            reason: Why, for people.
            allow_downgrade: Let a lower primary in, if the policy consents.
            expire_time: After it servers raise an alarm.
            signature: Over the statement that the promotion will have.

        Returns:
            The channel with this promotion as its newest, and the promotion. For a request that
            was carried out before: what was answered then.

        Raises:
            InvalidInput: FIELD_REQUIRED, FIELD_INVALID, NAME_INVALID, REQUEST_ID_REUSED.
            NotFound: VERSION_NOT_FOUND.
            Conflict: ETAG_STALE.
            NotAllowedNow: As `next_promotion`.
            Forbidden: POLICY_FORBIDS, PROMOTER_IS_PUBLISHER.
            Untrusted: As `Trust.check_version`, of every version that it names, and as
                `Trust.check_promotion`; with `validate_only` it need not be signed.
        """
        with promoting(name, PromotionKind.PROMOTE, validate_only=validate_only) as span:
            wish = PromotionWish(
                principal=caller.principal,
                etag=etag,
                request_id=request_id,
                reason=reason,
                expire_time=expire_time,
                signature=signature,
                trace_parent=trace_parent(),
                rollout=rollout,
                allow_downgrade=allow_downgrade,
            )
            promotion = self._promoting.promote(caller, name, wish, validate_only=validate_only)
            tell(span, promotion)
            return self._channel(name, promotion), promotion

    def rollback(
        self,
        caller: Caller,
        name: ChannelName,
        *,
        to_sequence: int,
        etag: str,
        request_id: str = "",
        validate_only: bool = False,
        reason: str = "",
        expire_time: datetime | None = None,
        signature: Signature | None = None,
        kind: PromotionKind = PromotionKind.ROLLBACK,
    ) -> tuple[Channel, Promotion]:
        """Promotes again the primary of an earlier promotion, without canary or shadow.

        Args:
            caller: Who.
            name: The channel.
            to_sequence: Whose primary to go back to; the present one itself ends its canary and
                shadow. 0: as `rollback_target` has it.
            etag: As last read.
            request_id: Makes it safe to retry; may be empty.
            validate_only: Check, and answer as if it were done.
            reason: Why, for people.
            expire_time: After it servers raise an alarm.
            signature: Over the statement that the promotion will have.
            kind: Whether a person wants it, or a quorum of pods.

        Returns:
            As `promote`.

        Raises:
            InvalidInput: FIELD_REQUIRED, FIELD_INVALID, REQUEST_ID_REUSED.
            NotFound: CHANNEL_NOT_FOUND, PROMOTION_NOT_FOUND.
            Conflict: ETAG_STALE.
            NotAllowedNow: NO_EARLIER_VERSION, VERSION_YANKED, VERSION_DELETED.
            Forbidden: POLICY_FORBIDS.
            Untrusted: As `promote`.
        """
        with promoting(name, kind, validate_only=validate_only) as span:
            wish = RollbackWish(
                principal=caller.principal,
                etag=etag,
                request_id=request_id,
                reason=reason,
                expire_time=expire_time,
                signature=signature,
                trace_parent=trace_parent(),
                to_sequence=to_sequence,
                kind=kind,
                by_operator=CallerRole.OPERATOR in caller.roles,
            )
            promotion = self._promoting.rollback(caller, name, wish, validate_only=validate_only)
            tell(span, promotion)
            return self._channel(name, promotion), promotion

    def history(
        self,
        name: ChannelName,
        *,
        page_size: int,
        page_token: str,
        at_time: datetime | None = None,
        version: str = "",
    ) -> Page[Promotion]:
        """Promotions of a channel, newest first, or the one that was in force at a time.

        Args:
            name: The channel.
            page_size: As `page_of` has it.
            page_token: Likewise.
            at_time: Only the promotion of highest sequence whose commit time is not later. Clocks
                of replicas differ, so a later sequence may bear an earlier time; the sequence
                decides. None if the channel is younger.
            version: Only promotions that name it, in any role; with `at_time`, that one promotion
                if it does. Empty: all.

        Raises:
            NotFound: CHANNEL_NOT_FOUND.
            InvalidInput: NAME_INVALID, FIELD_INVALID, PAGE_TOKEN_INVALID.
        """
        wanted = str(VersionName.parse(version, field="version")) if version else ""
        newest = self._served(name)

        def after(key: str) -> Iterator[tuple[str, Promotion]]:
            if key and not key.isdecimal():
                return
            for promotion in self._backwards(name, newest, int(key) if key else None):
                if at_time is not None and promotion.commit_time > at_time:
                    continue
                if not wanted or _names(promotion, wanted):
                    yield str(promotion.sequence), promotion
                if at_time is not None:
                    return

        query = {
            "list": "history",
            "parent": str(name),
            "at_time": at_time.astimezone(UTC).isoformat() if at_time else "",
            "version": wanted,
        }
        page = page_of(after, query=query, page_size=page_size, page_token=page_token)
        return Page(page.items) if at_time is not None else page

    def policy(self, name: ChannelName) -> ChannelPolicy:
        """The policy of a channel, which need not exist; the default one if none was set."""
        return self._policies.get(name)

    def policy_after(self, name: ChannelName, sequence: int) -> ChannelPolicy | None:
        """The newest policy of a channel, if it is newer than a sequence."""
        return self._policies.after(name, sequence)

    def update_policy(
        self,
        caller: Caller,
        policy: ChannelPolicy,
        *,
        update_mask: Sequence[str] | None,
        etag: str,
        request_id: str = "",
        validate_only: bool = False,
    ) -> ChannelPolicy:
        """Sets a channel's policy, or some fields of it; see `Policies.update`."""
        return self._policies.update(
            caller,
            policy,
            update_mask=update_mask,
            etag=etag,
            request_id=request_id,
            validate_only=validate_only,
        )

    def _channel(self, name: ChannelName, newest: Promotion) -> Channel:
        first = None if newest.sequence == 1 else self._history.at(name, 1)
        return channel_of(
            name, newest, first.promotion.commit_time if first else newest.commit_time
        )

    def _served(self, name: ChannelName) -> Promotion:
        newest = self.newest(name)
        if newest is None:
            raise channel_not_found(name)
        return newest

    def _backwards(
        self, name: ChannelName, newest: Promotion, below: int | None
    ) -> Iterator[Promotion]:
        """Promotions from the newest, or from the one below a sequence, to the first."""
        if below is None:
            yield newest
        start = newest.sequence if below is None else min(below, newest.sequence + 1)
        yield from (entry.promotion for entry in self._history.before(name, start))

    def _names(self, parent: ModelName | None) -> Iterator[ChannelName]:
        """Channels that have a history, sorted."""
        models = [parent.model] if parent else sorted(self._store.list_folders("history/"))
        for model in models:
            for channel in sorted(self._store.list_folders(f"history/{model}/")):
                yield ChannelName(model, channel)

    def _check_model(self, name: ModelName) -> None:
        for _ in self._store.list(f"versions/{name.model}/", limit=1):
            return
        raise NotFound(f"{name} has no version", reason="MODEL_NOT_FOUND", field="parent")


def _names(promotion: Promotion, version: str) -> bool:
    return any(pin.version == version for pin in promotion.rollout.pins().values())
