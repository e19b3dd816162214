"""Channels: promoted to, rolled back, watched, and their policies."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime

from google.protobuf.field_mask_pb2 import FieldMask

from voiceflow.catalog.channels import (
    Channel,
    ChannelCursor,
    ChannelPolicy,
    Promotion,
    Rollout,
    VersionPin,
    WatchEvent,
)
from voiceflow.catalog.names import ChannelName, ModelName, VersionName
from voiceflow.catalog.values import Signature
from voiceflow.client.registry.methods import ALL_MODELS, Methods, made
from voiceflow.client.registry.watching import SILENCE_SECONDS, Watching
from voiceflow.errors import NotFound
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.rpc.registry import (
    channel_from_wire,
    policy_from_wire,
    policy_to_wire,
    promotion_from_wire,
    rollout_to_wire,
    signature_to_wire,
    time_to_wire,
)


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
        etag: str | None = None,
        reason: str = "",
        allow_downgrade: bool = False,
        expire_time: datetime | None = None,
        signature: Signature | None = None,
        request_id: str | None = None,
        validate_only: bool = False,
    ) -> tuple[Channel, Promotion]:
        """Sets what a channel serves.

        Args:
            channel: Which; its first promotion makes it.
            rollout: As it shall be, as a whole; a version alone is a rollout of nothing else.
            etag: The state that the caller has seen; None: as it is now, whatever that is.
            reason: Why, for people.
            allow_downgrade: Let a primary of lower precedence in.
            expire_time: After it the promotion is stale.
            signature: Over the statement that a call with `validate_only` answers.
            request_id: A UUID; None: one is made.
            validate_only: Check it, and change nothing.

        Raises:
            Conflict: ETAG_STALE: another promotion came first; look again and decide again.
        """
        whole = rollout if isinstance(rollout, Rollout) else Rollout(primary=_pin(rollout))
        request = pb.PromoteVersionRequest(
            channel=str(channel),
            rollout=rollout_to_wire(whole),
            etag=await self._etag(channel) if etag is None else etag,
            request_id=made(request_id),
            validate_only=validate_only,
            reason=reason,
            allow_downgrade=allow_downgrade,
            expire_time=time_to_wire(expire_time),
            signature=signature_to_wire(signature),
        )
        response = await self._connection.ask(self._stub.PromoteVersion, request)
        return channel_from_wire(response.channel), promotion_from_wire(response.promotion)

    async def rollback(
        self,
        channel: ChannelName | str,
        *,
        to_sequence: int = 0,
        etag: str | None = None,
        reason: str = "",
        expire_time: datetime | None = None,
        signature: Signature | None = None,
        request_id: str | None = None,
        validate_only: bool = False,
    ) -> tuple[Channel, Promotion]:
        """Promotes again what the channel served before; arguments as for `promote`.

        Args:
            channel: Which.
            to_sequence: Whose primary to go back to; 0: the newest other one that is not yanked.
            etag: See `promote`.
            reason: See `promote`.
            expire_time: See `promote`.
            signature: See `promote`.
            request_id: See `promote`.
            validate_only: See `promote`.
        """
        request = pb.RollbackChannelRequest(
            channel=str(channel),
            to_sequence=to_sequence,
            etag=await self._etag(channel) if etag is None else etag,
            request_id=made(request_id),
            validate_only=validate_only,
            reason=reason,
            expire_time=time_to_wire(expire_time),
            signature=signature_to_wire(signature),
        )
        response = await self._connection.ask(self._stub.RollbackChannel, request)
        return channel_from_wire(response.channel), promotion_from_wire(response.promotion)

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
        self, cursors: Sequence[ChannelCursor], *, silence_seconds: float = SILENCE_SECONDS
    ) -> AsyncGenerator[WatchEvent, None]:
        """Follows channels until the generator is closed.

        The first connection is as patient as any request; once it stood, no outage ends the watch.

        Args:
            cursors: From where each channel is watched.
            silence_seconds: A stream that tells nothing for so long is taken up anew.

        Yields:
            Of each channel its promotions in order of sequence, each exactly once; its policy at
            the start and when it changes; heartbeats.

        Raises:
            NotAllowedNow: SEQUENCE_AHEAD: the registry holds less than the caller has seen.
        """
        watching = Watching(self._connection, cursors, silence_seconds)
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

    async def _etag(self, channel: ChannelName | str) -> str:
        """The channel's etag; empty where the channel has yet to be made."""
        try:
            return (await self.get_channel(channel)).etag
        except NotFound as error:
            if error.reason in {"CHANNEL_NOT_FOUND", "MODEL_NOT_FOUND"}:
                return ""
            raise


def _pin(version: VersionName | str) -> VersionPin:
    return VersionPin(version=str(version))
