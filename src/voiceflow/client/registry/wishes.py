"""What a promoter wishes a channel to be, and whether a statement says just that: pure.

The registry makes the statement that is to be signed, and is not believed: whoever signs has worked
out what it must say, from what they asked for and what they have read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from voiceflow.artifact import Manifest, digest_of
from voiceflow.catalog.channels import (
    Canary,
    Promotion,
    PromotionKind,
    Role,
    Rollout,
    Shadow,
    VersionPin,
)
from voiceflow.catalog.names import ChannelName
from voiceflow.catalog.versions import Version
from voiceflow.errors import Untrusted
from voiceflow.trust.authority import read_statement
from voiceflow.trust.statements import Statement


@dataclass(frozen=True, slots=True)
class Wished:
    """A promotion as it is wished for.

    Attributes:
        channel: Of which channel.
        kind: How it comes about.
        rollout: As `pinned` gives it.
        expire_time: When it shall be stale; None: never.
        newest: The promotion that it follows, as it was read; None: it is the first.
    """

    channel: ChannelName
    kind: PromotionKind
    rollout: Rollout
    expire_time: datetime | None
    newest: Promotion | None

    def check(self, statement: bytes) -> None:
        """Checks that a statement says this and nothing else.

        Raises:
            Untrusted: STATEMENT_INVALID: it is none; STATEMENT_MISMATCH, with every field that says
                something else.
        """
        said, _ = read_statement(statement)
        wished = self._statement()
        differing = [
            f"{field}: {getattr(said, field)}; wished for is {getattr(wished, field)}"
            for field in Statement.model_fields
            if getattr(said, field) != getattr(wished, field)
        ]
        if differing:
            raise _mismatch(
                f"what the registry wants signed is not what was wished for: {'; '.join(differing)}"
            )

    def _statement(self) -> Statement:
        newest = self.newest
        if newest is not None:
            newest_statement(newest, self.channel)
        return Statement.following(
            newest.statement if newest else None,
            channel=self.channel,
            sequence=newest.sequence + 1 if newest else 1,
            kind=self.kind,
            rollout=self.rollout,
            expire_time=self.expire_time,
        )


def newest_statement(newest: Promotion, channel: ChannelName) -> Statement:
    """What a channel's newest promotion says: its statement, and not its record, is signed.

    Raises:
        Untrusted: STATEMENT_INVALID; STATEMENT_MISMATCH: it says that it is another promotion.
    """
    said, name = read_statement(newest.statement)
    if (name, said.sequence) != (channel, newest.sequence):
        raise _mismatch(
            f"{newest.name} is told to be the newest, and says that it is "
            f"{name.promotion(said.sequence)}"
        )
    return said


def earlier_statement(content: bytes, following: Statement) -> Statement:
    """What a promotion says that another one follows, which names its digest.

    Raises:
        Untrusted: STATEMENT_INVALID; CHAIN_BROKEN: the other one follows something else.
    """
    said, _ = read_statement(content)
    place = (following.channel, following.sequence - 1, following.previous_statement_digest)
    if (said.channel, said.sequence, said.digest) != place:
        raise Untrusted(
            f"the history that the registry shows is not that of {following.channel}: promotion "
            f"{following.sequence} follows another one than it shows",
            reason="CHAIN_BROKEN",
        )
    return said


def pinned(rollout: Rollout, versions: dict[Role, Version]) -> Rollout:
    """A rollout as it is signed: with every digest, percentages in steps of 0.01, no 0 for 100.

    Args:
        rollout: As wished for; digests may be missing.
        versions: Each version that it names, in the full view.

    Raises:
        Untrusted: STATEMENT_MISMATCH: what stands under a name is not of that name, or does not
            have the digest that is wished for.
    """
    pins = {role: _pinned(pin, versions[role]) for role, pin in rollout.pins().items()}
    canary, shadow = rollout.canary, rollout.shadow
    return Rollout(
        primary=pins[Role.PRIMARY],
        canary=canary and Canary(pin=pins[Role.CANARY], percentage=round(canary.percentage, 2)),
        shadow=shadow
        and Shadow(pin=pins[Role.SHADOW], percentage=round(shadow.percentage, 2) or 100.0),
    )


def _pinned(pin: VersionPin, version: Version) -> VersionPin:
    manifest = version.manifest or b""
    digest = digest_of(manifest)
    if pin.manifest_digest not in {"", digest}:
        raise _mismatch(
            f"{pin.version} has the manifest digest {digest}; wished for is {pin.manifest_digest}"
        )
    if (name := Manifest.from_json(manifest).resource_name) != pin.version:
        raise _mismatch(f"what stands under {pin.version} says that it is {name}")
    return VersionPin(version=pin.version, manifest_digest=digest)


def _mismatch(message: str) -> Untrusted:
    return Untrusted(message, reason="STATEMENT_MISMATCH")
