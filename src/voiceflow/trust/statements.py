"""What a promoter signs: a promotion as canonical JSON (RFC 8785), chained to the last one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field

from voiceflow.artifact import Digest, digest_of
from voiceflow.catalog.channels import PromotionKind, Role, Rollout
from voiceflow.catalog.names import ChannelName
from voiceflow.catalog.values import Time
from voiceflow.errors import Untrusted

MAXIMUM_STATEMENT_BYTES: Final = 16 * 1024


class Statement(BaseModel):
    """One promotion, as it is signed.

    Attributes:
        channel: `models/{model}/channels/{channel}`: into whose history it goes.
        sequence: Its place there.
        kind: How it comes about.
        rollout: With the digest of every manifest.
        expire_time: After it the promotion is stale; microseconds count.
        previous_statement_digest: Of the promotion before it; empty for the first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    channel: str
    sequence: Annotated[int, Field(ge=1, lt=2**63)]
    kind: PromotionKind
    rollout: Rollout
    expire_time: Time | None
    previous_statement_digest: str

    @classmethod
    def following(
        cls,
        before: bytes | None,
        *,
        channel: ChannelName,
        sequence: int,
        kind: PromotionKind,
        rollout: Rollout,
        expire_time: datetime | None,
    ) -> Self:
        """The statement that follows another one.

        Args:
            before: The statement of the promotion before it, as bytes; None for the first.
            channel: Whose history it goes into.
            sequence: Its place there.
            kind: How it comes about.
            rollout: With every digest.
            expire_time: After it the promotion is stale.
        """
        return cls(
            channel=str(channel),
            sequence=sequence,
            kind=kind,
            rollout=rollout,
            expire_time=expire_time,
            previous_statement_digest="" if before is None else digest_of(before),
        )

    def to_bytes(self) -> bytes:
        """What is signed, to the byte."""
        body = {
            "channel": self.channel,
            "expire_time": self.expire_time and _utc(self.expire_time),
            "kind": self.kind.value,
            "previous_statement_digest": self.previous_statement_digest,
            "rollout": {role.value: _signed(self.rollout, role) for role in self.rollout.pins()},
            "sequence": self.sequence,
        }
        return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Reads a statement.

        Raises:
            Untrusted: STATEMENT_INVALID: it is too long, none, or not in the one canonical form.
        """
        if len(content) > MAXIMUM_STATEMENT_BYTES:
            raise _invalid(f"it has {len(content)} bytes; at most {MAXIMUM_STATEMENT_BYTES}")
        try:
            body = json.loads(content)
            roles = {role: _read(Role(role), said) for role, said in body["rollout"].items()}
            statement = cls.model_validate_json(json.dumps(body | {"rollout": roles}))
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise _invalid(str(error)) from error
        if statement.to_bytes() != content:
            raise _invalid("it is not in the one canonical form")
        return statement

    @property
    def digest(self) -> Digest:
        """Of its bytes; the next statement names it."""
        return digest_of(self.to_bytes())


def _signed(rollout: Rollout, role: Role) -> dict[str, object]:
    pin = rollout.pins()[role]
    entry: dict[str, object] = {"manifest_digest": pin.manifest_digest, "version": pin.version}
    trial = {Role.CANARY: rollout.canary, Role.SHADOW: rollout.shadow}.get(role)
    if trial is not None:
        percentage = trial.percentage
        # RFC 8785 writes whole numbers without a fraction.
        entry["percentage"] = int(percentage) if percentage.is_integer() else percentage
    return entry


def _read(role: Role, said: dict[str, object]) -> dict[str, object]:
    """A role within a rollout, out of what was signed; the inverse of `_signed`."""
    pin = {"version": said["version"], "manifest_digest": said["manifest_digest"]}
    return pin if role is Role.PRIMARY else {"pin": pin, "percentage": said["percentage"]}


def _invalid(why: str) -> Untrusted:
    return Untrusted(
        f"the statement of a promotion cannot be read: {why}", reason="STATEMENT_INVALID"
    )


def _utc(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
