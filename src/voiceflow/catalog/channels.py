"""Channels: what servers shall serve, how it came to that, and under which policy."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Final

from pydantic import BeforeValidator, Field

from voiceflow.catalog.gates import AccuracyBudget, CostBudget, Gate, NonNegative
from voiceflow.catalog.values import LONGEST_SECONDS, Sequence64, Signature, Time, Value

MAXIMUM_REASON_CHARACTERS: Final = 1024


class Role(StrEnum):
    """What a version is to a channel."""

    PRIMARY = "primary"
    CANARY = "canary"
    SHADOW = "shadow"


class VersionPin(Value):
    """One version, and the bytes that it stands for.

    Attributes:
        version: `models/{model}/versions/{semver}`.
        manifest_digest: In a request it may be empty; otherwise it must be the version's.
    """

    version: str
    manifest_digest: str = ""


class Canary(Value):
    """A version on trial; more than 0, less than 100 percent of the streams, in steps of 0.01."""

    pin: VersionPin
    percentage: float


class Shadow(Value):
    """A version that hears what the primary hears; more than 0, at most 100 percent."""

    pin: VersionPin
    percentage: float = 100.0


class Rollout(Value):
    """Which versions a channel serves, and to whom."""

    primary: VersionPin
    canary: Canary | None = None
    shadow: Shadow | None = None

    def pins(self) -> dict[Role, VersionPin]:
        """Every version that it names, by role."""
        pins = {Role.PRIMARY: self.primary}
        if self.canary is not None:
            pins[Role.CANARY] = self.canary.pin
        if self.shadow is not None:
            pins[Role.SHADOW] = self.shadow.pin
        return pins

    @property
    def has_trial(self) -> bool:
        """Whether a canary or a shadow stands beside the primary."""
        return self.canary is not None or self.shadow is not None

    @property
    def in_short(self) -> str:
        """For people: `1.2.0, canary 1.3.0 at 5 %, shadow 1.4.0 of 100 %`."""
        parts = [_number(self.primary)]
        if self.canary is not None:
            parts.append(f"canary {_number(self.canary.pin)} at {self.canary.percentage:g} %")
        if self.shadow is not None:
            parts.append(f"shadow {_number(self.shadow.pin)} of {self.shadow.percentage:g} %")
        return ", ".join(parts)


class PromotionKind(StrEnum):
    """How a promotion came about."""

    PROMOTE = "promote"
    ROLLBACK = "rollback"
    AUTOMATIC_ROLLBACK = "automatic_rollback"


def _well_formed(trace_parent: object) -> object:
    """What is malformed counts as nothing: a trace is never a reason to refuse."""
    if isinstance(trace_parent, str) and not _TRACE_PARENT.fullmatch(trace_parent):
        return ""
    return trace_parent


_TRACE_PARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

TraceParent = Annotated[str, BeforeValidator(_well_formed)]
"""Where a trace goes on, as W3C Trace Context writes it in 55 characters; empty: nowhere."""


class Promotion(Value):
    """One entry of a channel's history; immutable.

    Attributes:
        name: `models/{model}/channels/{channel}/promotions/{sequence}`.
        sequence: 1, 2, 3, … without gap.
        rollback_to_sequence: The sequence gone back to, for a rollback; else 0.
        commit_time: By the clock of the replica that wrote it.
        expire_time: After it servers raise an alarm, and go on serving.
        statement: What the promoter signs, exactly: a canonical JSON record.
        signature: Over `statement`.
        etag: The channel's etag while this is the newest promotion.
        trace_parent: The span that committed it, if anything records; not part of `statement`.
    """

    name: str
    sequence: Annotated[int, Field(ge=1, lt=2**63)]
    kind: PromotionKind
    rollout: Rollout
    rollback_to_sequence: Sequence64 = 0
    principal: str
    reason: str = ""
    commit_time: Time
    expire_time: Time | None = None
    statement: bytes
    signature: Signature | None = None
    request_id: str = ""
    etag: str
    trace_parent: TraceParent = ""


class Channel(Value):
    """What servers that follow the channel shall serve: its newest promotion."""

    name: str
    rollout: Rollout
    sequence: Sequence64
    etag: str
    create_time: Time
    update_time: Time


class RevertRules(Value):
    """When a pod leaves a version for the last good one; None does not bound."""

    minimum_streams: Annotated[int, Field(ge=0, lt=2**31)] = 0
    error_worse_points: NonNegative | None = None
    slower_percent: NonNegative | None = None
    flicker_worse_percent: NonNegative | None = None
    non_finite_hops: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    hang_after_seconds: Annotated[float, Field(gt=0.0, le=LONGEST_SECONDS)] | None = None


class FleetRollback(Value):
    """When reverts of pods commit a rollback for all: both numbers must be reached."""

    enabled: bool = False
    minimum_pods: Annotated[int, Field(ge=0, lt=2**31)] = 0
    minimum_percent: Annotated[float, Field(ge=0.0, le=100.0)] = 0.0


class ChannelPolicy(Value):
    """Who may promote to a channel, what is demanded, and when a pod, or all, go back.

    Attributes:
        name: `models/{model}/channels/{channel}/policy`.
        sequence: 1, 2, 3, … without gap; 0 is the registry's default.
        promoters: Principals that may promote, as URIs; the last segment may be `*`. Empty: any.
        demanded_gates: That a version must have passed under this channel's policy.
        validation_valid_for_seconds: An older validation does not count; None: any age.
        principal: Who set it; empty for the default.
    """

    name: str
    sequence: Sequence64 = 0
    etag: str = ""
    promoters: tuple[str, ...] = ()
    allow_publisher_to_promote: bool = False
    allow_prereleases: bool = False
    allow_downgrades: bool = False
    demanded_gates: tuple[Gate, ...] = ()
    validation_valid_for_seconds: Annotated[float, Field(gt=0.0, le=LONGEST_SECONDS)] | None = None
    cost_budget: CostBudget = CostBudget()
    accuracy_budget: AccuracyBudget = AccuracyBudget()
    revert_rules: RevertRules = RevertRules()
    fleet_rollback: FleetRollback = FleetRollback()
    principal: str = ""
    update_time: Time | None = None


class ChannelCursor(Value):
    """From where a channel is watched.

    Attributes:
        channel: `models/{model}/channels/{channel}`.
        after_sequence: Send every promotion after this one; 0: from the first on. None: begin with
            the newest.
    """

    channel: str
    after_sequence: Sequence64 | None = None


class Heartbeat(Value):
    """Nothing has happened that was not sent; how far each channel is known."""

    channels: tuple[ChannelCursor, ...]
    send_time: Time


WatchEvent = Promotion | ChannelPolicy | Heartbeat


def _number(pin: VersionPin) -> str:
    """`1.2.0` of `models/diarizer/versions/1.2.0`."""
    return pin.version.rpartition("/")[2]
