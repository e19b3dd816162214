"""Channels, promotions, policies and what a watch tells, to and from their messages."""

from __future__ import annotations

from typing import Final

from voiceflow.catalog.channels import (
    Canary,
    Channel,
    ChannelCursor,
    ChannelPolicy,
    FleetRollback,
    Heartbeat,
    Promotion,
    PromotionKind,
    RevertRules,
    Role,
    Rollout,
    Shadow,
    VersionPin,
    WatchEvent,
)
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.rpc.registry.gates import (
    GATES,
    accuracy_budget_from_wire,
    accuracy_budget_to_wire,
    cost_budget_from_wire,
    cost_budget_to_wire,
)
from voiceflow.rpc.registry.values import (
    EnumMap,
    invalid,
    join,
    make,
    number,
    optional,
    optional_number,
    optional_time_from_wire,
    required,
    seconds_from_wire,
    seconds_to_wire,
    signature_from_wire,
    signature_to_wire,
    time_from_wire,
    time_to_wire,
)

ROLES: Final = EnumMap(pb.Role, "ROLE_", Role)
_KINDS: Final = EnumMap(pb.Promotion.Kind, "KIND_", PromotionKind)


def pin_to_wire(pin: VersionPin) -> pb.VersionPin:
    """One version, and the bytes that it stands for."""
    return pb.VersionPin(version=pin.version, manifest_digest=pin.manifest_digest)


def pin_from_wire(message: pb.VersionPin) -> VersionPin:
    """Reads what `pin_to_wire` wrote."""
    return VersionPin(version=message.version, manifest_digest=message.manifest_digest)


def rollout_to_wire(rollout: Rollout) -> pb.Rollout:
    """Which versions a channel serves."""
    message = pb.Rollout(primary=pin_to_wire(rollout.primary))
    for trial, sent in ((rollout.canary, message.canary), (rollout.shadow, message.shadow)):
        if trial is not None:
            sent.pin.CopyFrom(pin_to_wire(trial.pin))
            sent.percentage = trial.percentage
    return message


def rollout_from_wire(message: pb.Rollout, path: str = "rollout") -> Rollout:
    """Reads what `rollout_to_wire` wrote; a shadow's 0 percent is 100.

    Raises:
        InvalidInput: FIELD_REQUIRED, FIELD_INVALID; so all readers here do.
    """
    required(message, "primary", path)
    canary = shadow = None
    if message.HasField("canary"):
        here = join(path, "canary")
        required(message.canary, "pin", here)
        canary = Canary(
            pin=pin_from_wire(message.canary.pin),
            percentage=number(message.canary, "percentage", here),
        )
    if message.HasField("shadow"):
        here = join(path, "shadow")
        required(message.shadow, "pin", here)
        shadow = Shadow(
            pin=pin_from_wire(message.shadow.pin),
            percentage=number(message.shadow, "percentage", here) or 100.0,
        )
    return Rollout(primary=pin_from_wire(message.primary), canary=canary, shadow=shadow)


def promotion_to_wire(promotion: Promotion) -> pb.Promotion:
    """One entry of a channel's history."""
    return pb.Promotion(
        name=promotion.name,
        sequence=promotion.sequence,
        kind=_KINDS.to_wire(promotion.kind),
        rollout=rollout_to_wire(promotion.rollout),
        rollback_to_sequence=promotion.rollback_to_sequence,
        principal=promotion.principal,
        reason=promotion.reason,
        commit_time=time_to_wire(promotion.commit_time),
        expire_time=time_to_wire(promotion.expire_time),
        statement=promotion.statement,
        signature=signature_to_wire(promotion.signature),
        request_id=promotion.request_id,
        etag=promotion.etag,
        trace_parent=promotion.trace_parent,
    )


def promotion_from_wire(message: pb.Promotion, path: str = "promotion") -> Promotion:
    """Reads what `promotion_to_wire` wrote."""
    return make(
        Promotion,
        path,
        name=message.name,
        sequence=message.sequence,
        kind=_KINDS.from_wire(message.kind, join(path, "kind")),
        rollout=rollout_from_wire(message.rollout, required(message, "rollout", path)),
        rollback_to_sequence=message.rollback_to_sequence,
        principal=message.principal,
        reason=message.reason,
        commit_time=time_from_wire(message, "commit_time", path),
        expire_time=optional_time_from_wire(message, "expire_time", path),
        statement=message.statement,
        signature=signature_from_wire(message, "signature"),
        request_id=message.request_id,
        etag=message.etag,
        trace_parent=message.trace_parent,
    )


def channel_to_wire(channel: Channel) -> pb.Channel:
    """What servers that follow the channel shall serve."""
    return pb.Channel(
        name=channel.name,
        rollout=rollout_to_wire(channel.rollout),
        sequence=channel.sequence,
        etag=channel.etag,
        create_time=time_to_wire(channel.create_time),
        update_time=time_to_wire(channel.update_time),
    )


def channel_from_wire(message: pb.Channel, path: str = "channel") -> Channel:
    """Reads what `channel_to_wire` wrote."""
    return make(
        Channel,
        path,
        name=message.name,
        rollout=rollout_from_wire(message.rollout, required(message, "rollout", path)),
        sequence=message.sequence,
        etag=message.etag,
        create_time=time_from_wire(message, "create_time", path),
        update_time=time_from_wire(message, "update_time", path),
    )


def policy_to_wire(policy: ChannelPolicy) -> pb.ChannelPolicy:
    """Who may promote to a channel, what is demanded, and when it reverts."""
    rules, fleet = policy.revert_rules, policy.fleet_rollback
    return pb.ChannelPolicy(
        name=policy.name,
        sequence=policy.sequence,
        etag=policy.etag,
        promoters=policy.promoters,
        allow_publisher_to_promote=policy.allow_publisher_to_promote,
        allow_prereleases=policy.allow_prereleases,
        allow_downgrades=policy.allow_downgrades,
        demanded_gates=[GATES.to_wire(gate) for gate in policy.demanded_gates],
        validation_valid_for=seconds_to_wire(policy.validation_valid_for_seconds),
        cost_budget=cost_budget_to_wire(policy.cost_budget),
        accuracy_budget=accuracy_budget_to_wire(policy.accuracy_budget),
        revert_rules=pb.RevertRules(
            minimum_streams=rules.minimum_streams,
            error_worse_points=rules.error_worse_points,
            slower_percent=rules.slower_percent,
            flicker_worse_percent=rules.flicker_worse_percent,
            non_finite_hops=rules.non_finite_hops,
            hang_after=seconds_to_wire(rules.hang_after_seconds),
        ),
        fleet_rollback=pb.FleetRollback(
            enabled=fleet.enabled,
            minimum_pods=fleet.minimum_pods,
            minimum_percent=fleet.minimum_percent,
        ),
        principal=policy.principal,
        update_time=time_to_wire(policy.update_time),
    )


def policy_from_wire(message: pb.ChannelPolicy, path: str = "policy") -> ChannelPolicy:
    """Reads what `policy_to_wire` wrote."""
    return make(
        ChannelPolicy,
        path,
        name=message.name,
        sequence=message.sequence,
        etag=message.etag,
        promoters=tuple(message.promoters),
        allow_publisher_to_promote=message.allow_publisher_to_promote,
        allow_prereleases=message.allow_prereleases,
        allow_downgrades=message.allow_downgrades,
        demanded_gates=GATES.all_from_wire(message.demanded_gates, join(path, "demanded_gates")),
        validation_valid_for_seconds=seconds_from_wire(message, "validation_valid_for", path),
        cost_budget=cost_budget_from_wire(message.cost_budget, join(path, "cost_budget")),
        accuracy_budget=accuracy_budget_from_wire(
            message.accuracy_budget, join(path, "accuracy_budget")
        ),
        revert_rules=_revert_rules(message.revert_rules, join(path, "revert_rules")),
        fleet_rollback=_fleet_rollback(message.fleet_rollback, join(path, "fleet_rollback")),
        principal=message.principal,
        update_time=optional_time_from_wire(message, "update_time", path),
    )


def _revert_rules(message: pb.RevertRules, path: str) -> RevertRules:
    return make(
        RevertRules,
        path,
        minimum_streams=message.minimum_streams,
        error_worse_points=optional_number(message, "error_worse_points", path),
        slower_percent=optional_number(message, "slower_percent", path),
        flicker_worse_percent=optional_number(message, "flicker_worse_percent", path),
        non_finite_hops=optional(message, "non_finite_hops"),
        hang_after_seconds=seconds_from_wire(message, "hang_after", path),
    )


def _fleet_rollback(message: pb.FleetRollback, path: str) -> FleetRollback:
    return make(
        FleetRollback,
        path,
        enabled=message.enabled,
        minimum_pods=message.minimum_pods,
        minimum_percent=number(message, "minimum_percent", path),
    )


def cursor_to_wire(cursor: ChannelCursor) -> pb.ChannelCursor:
    """From where a channel is watched."""
    return pb.ChannelCursor(channel=cursor.channel, after_sequence=cursor.after_sequence)


def cursor_from_wire(message: pb.ChannelCursor, path: str = "channels") -> ChannelCursor:
    """Reads what `cursor_to_wire` wrote."""
    return make(
        ChannelCursor,
        path,
        channel=message.channel,
        after_sequence=optional(message, "after_sequence"),
    )


def watch_event_to_wire(event: WatchEvent) -> pb.WatchChannelsResponse:
    """One thing that a watch tells."""
    match event:
        case Promotion():
            return pb.WatchChannelsResponse(promotion=promotion_to_wire(event))
        case ChannelPolicy():
            return pb.WatchChannelsResponse(policy=policy_to_wire(event))
        case Heartbeat():
            beat = pb.WatchChannelsResponse.Heartbeat(
                channels=[cursor_to_wire(cursor) for cursor in event.channels],
                send_time=time_to_wire(event.send_time),
            )
            return pb.WatchChannelsResponse(heartbeat=beat)


def watch_event_from_wire(message: pb.WatchChannelsResponse) -> WatchEvent:
    """Reads what `watch_event_to_wire` wrote."""
    match message.WhichOneof("event"):
        case "promotion":
            return promotion_from_wire(message.promotion)
        case "policy":
            return policy_from_wire(message.policy)
        case "heartbeat":
            return Heartbeat(
                channels=tuple(
                    cursor_from_wire(cursor, f"heartbeat.channels[{at}]")
                    for at, cursor in enumerate(message.heartbeat.channels)
                ),
                send_time=time_from_wire(message.heartbeat, "send_time", "heartbeat"),
            )
        case _:
            raise invalid("event", "nothing", "promotion, policy or heartbeat")
