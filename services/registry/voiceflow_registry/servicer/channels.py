"""Channels: reading, promoting, rolling back, their policies, and watching them."""

from __future__ import annotations

from functools import lru_cache

from voiceflow.catalog.channels import ChannelPolicy, Promotion, WatchEvent
from voiceflow.catalog.names import ChannelName
from voiceflow.errors import InvalidInput
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.rpc.access import caller_of
from voiceflow.rpc.registry import (
    channel_to_wire,
    cursor_from_wire,
    optional_time_from_wire,
    policy_from_wire,
    policy_to_wire,
    promotion_to_wire,
    rollout_from_wire,
    watch_event_to_wire,
)
from voiceflow_registry.audit.changes import Change, promoted, set_policy
from voiceflow_registry.servicer.auditing import Auditing
from voiceflow_registry.servicer.threads import Threads
from voiceflow_registry.servicer.values import (
    Acts,
    Context,
    checked_signature,
    listed,
    parent_model,
)


class ChannelMethods:
    """The part of the service that is about channels."""

    _acts: Acts
    _threads: Threads
    _auditing: Auditing

    async def GetChannel(  # noqa: N802
        self, request: pb.GetChannelRequest, _context: Context
    ) -> pb.GetChannelResponse:
        """See the service."""
        name = ChannelName.parse(request.name)
        channel = await self._threads.call(lambda: self._acts.channels.get(name))
        return pb.GetChannelResponse(channel=channel_to_wire(channel))

    async def ListChannels(  # noqa: N802
        self, request: pb.ListChannelsRequest, _context: Context
    ) -> pb.ListChannelsResponse:
        """See the service."""
        parent = parent_model(request.parent)
        channels, token = await self._threads.call(
            lambda: listed(
                lambda page_size: self._acts.channels.list(
                    parent,
                    version=request.version,
                    page_size=page_size,
                    page_token=request.page_token,
                ),
                request.page_size,
                channel_to_wire,
            )
        )
        return pb.ListChannelsResponse(channels=channels, next_page_token=token)

    async def PromoteVersion(  # noqa: N802
        self, request: pb.PromoteVersionRequest, context: Context
    ) -> pb.PromoteVersionResponse:
        """See the service."""
        name = ChannelName.parse(request.channel, field="channel")
        if not request.HasField("rollout"):
            raise InvalidInput("rollout is required", reason="FIELD_REQUIRED", field="rollout")
        rollout = rollout_from_wire(request.rollout)
        expire_time = optional_time_from_wire(request, "expire_time", "")
        signature = checked_signature(request)
        caller = caller_of(context)
        channel, promotion = await self._auditing.act(
            self._auditing.deed(caller, "PromoteVersion", name, request),
            lambda: self._acts.channels.promote(
                caller,
                name,
                rollout=rollout,
                etag=request.etag,
                request_id=request.request_id,
                validate_only=request.validate_only,
                reason=request.reason,
                allow_downgrade=request.allow_downgrade,
                expire_time=expire_time,
                signature=signature,
            ),
            lambda done: self._change(name, done[1]),
        )
        self._acts.hub.nudge(name)
        return pb.PromoteVersionResponse(
            channel=channel_to_wire(channel), promotion=promotion_to_wire(promotion)
        )

    async def RollbackChannel(  # noqa: N802
        self, request: pb.RollbackChannelRequest, context: Context
    ) -> pb.RollbackChannelResponse:
        """See the service."""
        name = ChannelName.parse(request.channel, field="channel")
        expire_time = optional_time_from_wire(request, "expire_time", "")
        signature = checked_signature(request)
        caller = caller_of(context)
        channel, promotion = await self._auditing.act(
            self._auditing.deed(caller, "RollbackChannel", name, request),
            lambda: self._acts.channels.rollback(
                caller,
                name,
                to_sequence=request.to_sequence,
                etag=request.etag,
                request_id=request.request_id,
                validate_only=request.validate_only,
                reason=request.reason,
                expire_time=expire_time,
                signature=signature,
            ),
            lambda done: self._change(name, done[1]),
        )
        self._acts.hub.nudge(name)
        return pb.RollbackChannelResponse(
            channel=channel_to_wire(channel), promotion=promotion_to_wire(promotion)
        )

    async def ListChannelHistory(  # noqa: N802
        self, request: pb.ListChannelHistoryRequest, _context: Context
    ) -> pb.ListChannelHistoryResponse:
        """See the service."""
        name = ChannelName.parse(request.parent, field="parent")
        at_time = optional_time_from_wire(request, "at_time", "")
        promotions, token = await self._threads.call(
            lambda: listed(
                lambda page_size: self._acts.channels.history(
                    name,
                    page_size=page_size,
                    page_token=request.page_token,
                    at_time=at_time,
                    version=request.version,
                ),
                request.page_size,
                promotion_to_wire,
            )
        )
        return pb.ListChannelHistoryResponse(promotions=promotions, next_page_token=token)

    async def WatchChannels(  # noqa: N802
        self, request: pb.WatchChannelsRequest, context: Context
    ) -> None:
        """See the service. Replies are written as bytes; see `register`."""
        cursors = [
            cursor_from_wire(cursor, f"channels[{at}]")
            for at, cursor in enumerate(request.channels)
        ]
        with self._threads.told():
            async with self._acts.hub.subscribe(cursors) as events:
                async for event in events:
                    await context.write(_encoded(event))

    async def GetChannelPolicy(  # noqa: N802
        self, request: pb.GetChannelPolicyRequest, _context: Context
    ) -> pb.GetChannelPolicyResponse:
        """See the service."""
        name = ChannelName.parse_policy(request.name)
        policy = await self._threads.call(lambda: self._acts.channels.policy(name))
        return pb.GetChannelPolicyResponse(policy=policy_to_wire(policy))

    async def UpdateChannelPolicy(  # noqa: N802
        self, request: pb.UpdateChannelPolicyRequest, context: Context
    ) -> pb.UpdateChannelPolicyResponse:
        """See the service."""
        name = ChannelName.parse_policy(request.policy.name, field="policy.name")
        wanted = policy_from_wire(_settable(request.policy))
        mask = tuple(request.update_mask.paths) if request.HasField("update_mask") else None
        caller = caller_of(context)

        def update() -> tuple[ChannelPolicy, ChannelPolicy]:
            before = self._acts.channels.policy(name)
            policy = self._acts.channels.update_policy(
                caller,
                wanted,
                update_mask=mask,
                etag=request.etag,
                request_id=request.request_id,
                validate_only=request.validate_only,
            )
            return before, policy

        _, policy = await self._auditing.act(
            self._auditing.deed(caller, "UpdateChannelPolicy", name.policy, request),
            update,
            lambda done: set_policy(*done),
        )
        self._acts.hub.nudge(name)
        return pb.UpdateChannelPolicyResponse(policy=policy_to_wire(policy))

    def _change(self, name: ChannelName, promotion: Promotion) -> Change:
        return promoted(self._acts.channels.previous(name, promotion), promotion)


def _settable(policy: pb.ChannelPolicy) -> pb.ChannelPolicy:
    """Without what is output only, which is ignored in requests."""
    settable = pb.ChannelPolicy()
    settable.CopyFrom(policy)
    for field in ("sequence", "etag", "principal", "update_time"):
        settable.ClearField(field)
    return settable


def _encoded(event: WatchEvent) -> bytes:
    return _promotion(event) if isinstance(event, Promotion) else _message(event)


def _message(event: WatchEvent) -> bytes:
    return watch_event_to_wire(event).SerializeToString()


@lru_cache(maxsize=256)
def _promotion(promotion: Promotion) -> bytes:
    """The same for all watchers, of whom there may be thousands."""
    return _message(promotion)
