"""What a rollout must be like, whatever its channel serves now, and the shape that is kept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from voiceflow.artifact import Digest
from voiceflow.catalog.channels import Canary, Role, Rollout, Shadow, VersionPin
from voiceflow.catalog.names import ChannelName, VersionName
from voiceflow.errors import InvalidInput

_PIN_OF: Final[Mapping[Role, str]] = {
    Role.PRIMARY: "primary",
    Role.CANARY: "canary.pin",
    Role.SHADOW: "shadow.pin",
}


def named_versions(channel: ChannelName, rollout: Rollout) -> dict[Role, VersionName]:
    """The versions that a rollout names, by role.

    Raises:
        InvalidInput: FIELD_REQUIRED without a primary; NAME_INVALID; FIELD_INVALID for a version
            of another model, a canary or shadow that is the primary, or a bad percentage.
    """
    if not rollout.primary.version:
        raise InvalidInput(
            "rollout.primary.version: missing; a rollout names the version that serves",
            reason="FIELD_REQUIRED",
            field="rollout.primary.version",
        )
    named = {}
    for role, pin in rollout.pins().items():
        where = version_field(role)
        named[role] = VersionName.parse(pin.version, field=where)
        if named[role].model != channel.model:
            raise _invalid(
                where, f"{pin.version} is of another model; allowed are versions of {channel.model}"
            )
        if role is not Role.PRIMARY and named[role] == named[Role.PRIMARY]:
            raise _invalid(where, f"{pin.version} is the primary; allowed is any other version")
    canary, shadow = rollout.canary, rollout.shadow
    if canary is not None and not 0.0 < _steps(canary.percentage) < 100.0:
        raise _invalid(
            "rollout.canary.percentage",
            f"{canary.percentage}; allowed is more than 0 and less than 100, in steps of 0.01",
        )
    if shadow is not None and not 0.0 <= _steps(shadow.percentage) <= 100.0:
        raise _invalid(
            "rollout.shadow.percentage",
            f"{shadow.percentage}; allowed is more than 0 and at most 100, in steps of 0.01, or 0 "
            "for 100",
        )
    return named


def complete(rollout: Rollout, digests: Mapping[Role, Digest]) -> Rollout:
    """A rollout as it is kept: with every digest, percentages in steps of 0.01, no 0 for 100.

    Args:
        rollout: `named_versions` has passed.
        digests: Of the manifest of each version that it names.
    """
    pins = {
        role: VersionPin(version=pin.version, manifest_digest=digests[role])
        for role, pin in rollout.pins().items()
    }
    canary, shadow = rollout.canary, rollout.shadow
    return Rollout(
        primary=pins[Role.PRIMARY],
        canary=canary and Canary(pin=pins[Role.CANARY], percentage=_steps(canary.percentage)),
        shadow=shadow
        and Shadow(pin=pins[Role.SHADOW], percentage=_steps(shadow.percentage) or 100.0),
    )


def share(rollout: Rollout, role: Role, version: str) -> float:
    """Percent of the streams that a version serves, or hears, in a role; 0 without that role."""
    pin = rollout.pins().get(role)
    if pin is None or pin.version != version:
        return 0.0
    if role is Role.CANARY and rollout.canary is not None:
        return rollout.canary.percentage
    if role is Role.SHADOW and rollout.shadow is not None:
        return rollout.shadow.percentage
    return 100.0


def version_field(role: Role) -> str:
    """Path of the request's field that names a role's version."""
    return f"rollout.{_PIN_OF[role]}.version"


def digest_field(role: Role) -> str:
    """Path of the request's field with the digest of a role's version."""
    return f"rollout.{_PIN_OF[role]}.manifest_digest"


def _steps(percentage: float) -> float:
    """The percentage, give or take what binary fractions do to it; NaN if no multiple of 0.01."""
    if not math.isfinite(percentage) or abs(percentage - round(percentage, 2)) > 1e-9:
        return math.nan
    return round(percentage, 2)


def _invalid(field: str, seen: str) -> InvalidInput:
    return InvalidInput(f"{field}: {seen}", reason="FIELD_INVALID", field=field)
