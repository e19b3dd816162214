"""Channels: promoted to, rolled back, watched, and their policies."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any, Final, TypeAlias, TypeVar

import grpc
from google.protobuf.field_mask_pb2 import FieldMask

from voiceflow.catalog.channels import (
    Channel,
    ChannelCursor,
    ChannelPolicy,
    Promotion,
    PromotionKind,
    Rollout,
    VersionPin,
    WatchEvent,
)
from voiceflow.catalog.names import ChannelName, ModelName, VersionName
from voiceflow.catalog.values import Signature
from voiceflow.catalog.versions import Version, VersionState
from voiceflow.client.registry.methods import ALL_MODELS, Methods, made
from voiceflow.client.registry.watching import FOREVER, SILENCE_SECONDS, Watching
from voiceflow.client.registry.wishes import (
    Wished,
    earlier_statement,
    newest_statement,
    pinned,
)
from voiceflow.client.retry import RetryPolicy
from voiceflow.errors import NotFound, Untrusted
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.rpc.registry import (
    channel_from_wire,
    policy_from_wire,
    policy_to_wire,
    promotion_from_wire,
    rollout_to_wire,
    signature_to_wire,
    time_to_wire,
    version_from_wire,
)
from voiceflow.trust.authority import check_promotion
from voiceflow.trust.envelopes import PayloadType
from voiceflow.trust.root import TrustRoot
from voiceflow.trust.signing import SigningKey
from voiceflow.trust.statements import Statement

_Request = TypeVar("_Request", pb.PromoteVersionRequest, pb.RollbackChannelRequest)
_Method: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[Any, Any]"


class ChannelMethods(Methods):
    """The client's part for channels; see `RegistryClient`."""

    async def get_channel(self, name: ChannelName | str) -> Channel:
        """A channel."""
        request = pb.GetChannelRequest(name=str(name))
        response = await self._connection.ask(self._stub.GetChannel, request)
        return channel_from_wire(response.channel)

    def list_channels(
        self, model: ModelName | str = ALL_MODELS, *, version: VersionName | str = ""
    ) -> AsyncGenerator[Channel, None]:
        """Channels by name; only those that name a version, if one is given."""
        request = pb.ListChannelsRequest(parent=str(model), version=str(version))
        return self._connection.pages(
            self._stub.ListChannels, request, lambda page: page.channels, channel_from_wire
        )

    async def promote(
        self,
        channel: ChannelName | str,
        rollout: Rollout | VersionName | str,
        *,
        newest: Promotion | None = None,
        etag: str | None = None,
        reason: str = "",
        allow_downgrade: bool = False,
        expire_time: datetime | None = None,
        signature: Signature | None = None,
        signing_key: SigningKey | None = None,
        trust_root: TrustRoot | None = None,
        request_id: str | None = None,
        validate_only: bool = False,
        check_statement: bool = False,
    ) -> tuple[Channel, Promotion]:
        """Sets what a channel serves.

        Args:
            channel: Which; its first promotion makes it.
            rollout: As it shall be, as a whole; a version alone is a rollout of nothing else.
            newest: The promotion that it shall follow, as read before `rollout` was made from its
                statement (its record is signed by nobody); None: the newest now.
            etag: The state that the caller has seen; None: that of the promotion that it follows.
            reason: Why, for people.
            allow_downgrade: Let a primary of lower precedence in.
            expire_time: After it the promotion is stale.
            signature: Over the statement that a call with `validate_only` answers.
            signing_key: Instead: signs the statement here, after `check_statement`.
            trust_root: Before: by it the promotion that is followed must be signed, too.
            request_id: A UUID; None: one is made.
            validate_only: Check it, and change nothing.
            check_statement: Check that the registry's statement says what is wished for here, as
                whoever signs it has to; reads the channel's history and the versions for that.

        Raises:
            Conflict: ETAG_STALE: another promotion came first; look again and decide again.
            Untrusted: STATEMENT_INVALID, STATEMENT_MISMATCH, or, by `trust_root`, why the signature
                of the followed one does not hold: nothing was signed.
        """
        name = ChannelName.parse(str(channel))
        whole = rollout if isinstance(rollout, Rollout) else Rollout(primary=_pin(rollout))
        request = pb.PromoteVersionRequest(
            channel=str(name),
            rollout=rollout_to_wire(whole),
            request_id=made(request_id),
            validate_only=validate_only,
            reason=reason,
            allow_downgrade=allow_downgrade,
            expire_time=time_to_wire(expire_time),
            signature=signature_to_wire(signature),
        )
        if newest is not None and etag is None:
            etag = newest.etag
        if signing_key is None and not check_statement:
            request.etag = await self._etag(channel) if etag is None else etag
            return await self._answer(self._stub.PromoteVersion, request)
        newest = newest or await self.newest(name)
        _check_signed(newest, trust_root)
        request.etag = _etag_of(newest) if etag is None else etag
        wished = Wished(name, PromotionKind.PROMOTE, await self._pinned(whole), expire_time, newest)
        return await self._signed(self._stub.PromoteVersion, request, wished, signing_key)

    async def rollback(
        self,
        channel: ChannelName | str,
        *,
        to_sequence: int = 0,
        etag: str | None = None,
        reason: str = "",
        expire_time: datetime | None = None,
        signature: Signature | None = None,
        signing_key: SigningKey | None = None,
        trust_root: TrustRoot | None = None,
        request_id: str | None = None,
        validate_only: bool = False,
        check_statement: bool = False,
    ) -> tuple[Channel, Promotion]:
        """Promotes again what the channel served before; arguments as for `promote`.

        Args:
            channel: Which.
            to_sequence: Whose primary to go back to; 0: the present one, where a canary or shadow
                stands, which ends; else the newest other one that is not yanked.
            etag: See `promote`.
            reason: See `promote`.
            expire_time: See `promote`.
            signature: See `promote`.
            signing_key: See `promote`.
            trust_root: See `promote`.
            request_id: See `promote`.
            validate_only: See `promote`.
            check_statement: See `promote`; what is gone back to is found by the statements alone,
                each of which names the one before it.

        Raises:
            Conflict: See `promote`.
            Untrusted: See `promote`; CHAIN_BROKEN: the history that is shown is another one.
        """
        name = ChannelName.parse(str(channel))
        request = pb.RollbackChannelRequest(
            channel=str(name),
            to_sequence=to_sequence,
            request_id=made(request_id),
            validate_only=validate_only,
            reason=reason,
            expire_time=time_to_wire(expire_time),
            signature=signature_to_wire(signature),
        )
        if signing_key is None and not check_statement:
            request.etag = await self._etag(channel) if etag is None else etag
            return await self._answer(self._stub.RollbackChannel, request)
        newest = await self.newest(name)
        _check_signed(newest, trust_root)
        request.etag = _etag_of(newest) if etag is None else etag
        target = None if newest is None else await self._target(name, newest, to_sequence)
        if target is None:
            await self._answer(self._stub.RollbackChannel, _only_looked_at(request))  # says why
            raise Untrusted(
                f"the registry would roll {name} back to what its history does not hold",
                reason="STATEMENT_MISMATCH",
            )
        request.to_sequence = target.sequence
        rollout = await self._pinned(Rollout(primary=target.rollout.primary))
        wished = Wished(name, PromotionKind.ROLLBACK, rollout, expire_time, newest)
        return await self._signed(self._stub.RollbackChannel, request, wished, signing_key)

    async def newest(self, channel: ChannelName | str) -> Promotion | None:
        """A channel's newest promotion; None where the channel has yet to be made."""
        try:
            async with aclosing(self.history(channel)) as promotions:
                return await anext(promotions, None)
        except NotFound as error:
            if error.reason in _NO_CHANNEL:
                return None
            raise

    def history(
        self, channel: ChannelName | str, *, version: VersionName | str = ""
    ) -> AsyncGenerator[Promotion, None]:
        """A channel's promotions, newest first; only those that name a version, if one is given."""
        request = pb.ListChannelHistoryRequest(parent=str(channel), version=str(version))
        return self._connection.pages(
            self._stub.ListChannelHistory,
            request,
            lambda page: page.promotions,
            promotion_from_wire,
        )

    async def at_time(self, channel: ChannelName | str, time: datetime) -> Promotion | None:
        """What served at a time; None if the channel is younger."""
        request = pb.ListChannelHistoryRequest(parent=str(channel), at_time=time_to_wire(time))
        response = await self._connection.ask(self._stub.ListChannelHistory, request)
        for promotion in response.promotions:
            return promotion_from_wire(promotion)
        return None

    async def watch(
        self,
        cursors: Sequence[ChannelCursor],
        *,
        silence_seconds: float = SILENCE_SECONDS,
        patience: RetryPolicy = FOREVER,
    ) -> AsyncGenerator[WatchEvent, None]:
        """Follows channels until the generator is closed.

        The first connection is as patient as any request.

        Args:
            cursors: From where each channel is watched.
            silence_seconds: A stream that tells nothing for so long is taken up anew.
            patience: Once it stood; by default no outage ends the watch.

        Yields:
            Of each channel its promotions in order of sequence, each exactly once; its policy at
            the start and when it changes; heartbeats.

        Raises:
            NotAllowedNow: SEQUENCE_AHEAD: the registry holds less than the caller has seen.
        """
        watching = Watching(self._connection, cursors, silence_seconds, patience)
        async with aclosing(watching.events()) as events:
            async for event in events:
                yield event

    # Policies

    async def policy(self, channel: ChannelName | str) -> ChannelPolicy:
        """A channel's policy, or the registry's default."""
        request = pb.GetChannelPolicyRequest(name=f"{channel}/policy")
        response = await self._connection.ask(self._stub.GetChannelPolicy, request)
        return policy_from_wire(response.policy)

    async def update_policy(
        self,
        policy: ChannelPolicy,
        *,
        update_mask: Sequence[str] | None = None,
        etag: str | None = None,
        request_id: str | None = None,
        validate_only: bool = False,
    ) -> ChannelPolicy:
        """Sets a channel's policy.

        Args:
            policy: As it shall be, under its name.
            update_mask: The fields to set; None: all.
            etag: As last read; None: the policy's own, or as it is now if that is empty.
            request_id: A UUID; None: one is made.
            validate_only: Check it, and change nothing.

        Raises:
            Conflict: ETAG_STALE.
        """
        seen = policy.etag if etag is None else etag
        if etag is None and not seen:
            seen = (await self.policy(policy.name.removesuffix("/policy"))).etag
        request = pb.UpdateChannelPolicyRequest(
            policy=policy_to_wire(policy),
            update_mask=None if update_mask is None else FieldMask(paths=update_mask),
            etag=seen,
            request_id=made(request_id),
            validate_only=validate_only,
        )
        response = await self._connection.ask(self._stub.UpdateChannelPolicy, request)
        return policy_from_wire(response.policy)

    async def _signed(
        self,
        method: _Method,
        request: _Request,
        wished: Wished,
        signing_key: SigningKey | None,
    ) -> tuple[Channel, Promotion]:
        """Lets the registry make the statement, checks it, and sends it back signed."""
        channel, promotion = await self._answer(method, _only_looked_at(request))
        wished.check(promotion.statement)
        if request.validate_only:
            return channel, promotion
        if signing_key is not None:
            signature = signing_key.sign(promotion.statement, PayloadType.PROMOTION)
            request.signature.MergeFrom(
                pb.SignatureBundle(media_type=signature.media_type, content=signature.content)
            )
        return await self._answer(method, request)

    async def _answer(self, method: _Method, request: _Request) -> tuple[Channel, Promotion]:
        response = await self._connection.ask(method, request)
        return channel_from_wire(response.channel), promotion_from_wire(response.promotion)

    async def _target(
        self, channel: ChannelName, newest: Promotion, to_sequence: int
    ) -> Statement | None:
        """Says whose primary to go back to, as the service does; None if there is none."""
        serves = ""
        async with aclosing(self._said(channel, newest)) as statements:
            async for said in statements:
                if to_sequence and said.sequence != to_sequence:
                    continue
                if to_sequence or (not serves and said.rollout.has_trial):
                    return said
                primary = said.rollout.primary.version
                serves = serves or primary
                if primary != serves:
                    version = await self._version(primary)
                    if version.state is VersionState.PUBLISHED:
                        return said
        return None

    async def _said(
        self, channel: ChannelName, newest: Promotion
    ) -> AsyncGenerator[Statement, None]:
        """What the newest promotion says, and those before it: of each, the next has the digest."""
        said = newest_statement(newest, channel)
        yield said
        async with aclosing(self.history(channel)) as promotions:
            async for one in promotions:
                if one.sequence < said.sequence:  # others came meanwhile
                    said = earlier_statement(one.statement, said)
                    yield said

    async def _pinned(self, rollout: Rollout) -> Rollout:
        pins = rollout.pins()
        return pinned(rollout, {role: await self._version(pins[role].version) for role in pins})

    async def _version(self, name: str) -> Version:
        request = pb.GetVersionRequest(name=name, view=pb.VERSION_VIEW_FULL)
        response = await self._connection.ask(self._stub.GetVersion, request)
        return version_from_wire(response.version)

    async def _etag(self, channel: ChannelName | str) -> str:
        """The channel's etag; empty where the channel has yet to be made."""
        try:
            return (await self.get_channel(channel)).etag
        except NotFound as error:
            if error.reason in _NO_CHANNEL:
                return ""
            raise


_NO_CHANNEL: Final = frozenset({"CHANNEL_NOT_FOUND", "MODEL_NOT_FOUND"})


def _etag_of(newest: Promotion | None) -> str:
    return "" if newest is None else newest.etag


def _check_signed(newest: Promotion | None, trust_root: TrustRoot | None) -> None:
    if newest is not None and trust_root is not None:
        signature = newest.signature
        check_promotion(trust_root, statement=newest.statement, signature=signature, new=False)


def _only_looked_at(request: _Request) -> _Request:
    """The same request, that changes nothing, and has an id of its own."""
    copy = type(request)()
    copy.CopyFrom(request)
    copy.validate_only = True
    copy.request_id = made(None)
    return copy


def _pin(version: VersionName | str) -> VersionPin:
    return VersionPin(version=str(version))
