"""Keys, trust roots and signed things for everybody's tests; the keys are the same in every run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from voiceflow.artifact import digest_of
from voiceflow.catalog.channels import Promotion, PromotionKind, Rollout, VersionPin
from voiceflow.catalog.names import ChannelName
from voiceflow.catalog.values import Signature
from voiceflow.trust.envelopes import PayloadType
from voiceflow.trust.offices import Promoter, PublicKey, Publisher
from voiceflow.trust.root import TrustRoot, TrustRoots
from voiceflow.trust.signing import SigningKey
from voiceflow.trust.statements import Statement

CHANNEL: Final = ChannelName("diarizer", "stable")
ROOT_KEYS: Final = ("root-1", "root-2", "root-3")
COMMIT_TIME: Final = datetime(2026, 1, 1, tzinfo=UTC)
ONLY_PEOPLE: Final = (PromotionKind.PROMOTE, PromotionKind.ROLLBACK)


@lru_cache
def key(name: str) -> SigningKey:
    """The key of a name: `root-1` to `root-3`, `publisher`, `promoter`, `registry`, any other."""
    made = SigningKey(Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest()))
    _MADE[made.key_id] = made
    return made


def publisher(name: str = "publisher", *, models: Sequence[str] = ("*",), **more: Any) -> Publisher:
    """An entry of a trust root."""
    return Publisher(key=key(name).key_id, models=tuple(models), **more)


def promoter(
    name: str = "promoter",
    *,
    channels: Sequence[str] = ("models/*/channels/*",),
    kinds: Sequence[PromotionKind] = ONLY_PEOPLE,
    **more: Any,
) -> Promoter:
    """An entry of a trust root."""
    return Promoter(key=key(name).key_id, channels=tuple(channels), kinds=tuple(kinds), **more)


def registry() -> Promoter:
    """The entry of the key that lies on the registry's server."""
    return promoter("registry", kinds=[PromotionKind.AUTOMATIC_ROLLBACK])


def trust_root(
    *,
    version: int = 1,
    threshold: int = 2,
    root_keys: Sequence[str] = ROOT_KEYS,
    publishers: Sequence[Publisher] | None = None,
    promoters: Sequence[Promoter] | None = None,
    expire_time: datetime | None = None,
) -> TrustRoot:
    """One version, unsigned: three root keys of which two must sign, everybody may do their thing.

    Args:
        version: Its number.
        threshold: How many root keys must sign.
        root_keys: Names of keys.
        publishers: Entries; None: `publisher`, for all models.
        promoters: Entries; None: `promoter` and `registry`, for all channels.
        expire_time: When an alarm is raised.
    """
    publishers = [publisher()] if publishers is None else publishers
    promoters = [promoter(), registry()] if promoters is None else promoters
    used = {
        *(key(name).key_id for name in root_keys),
        *(one.key for one in publishers),
        *(one.key for one in promoters),
    }
    return TrustRoot(
        version=version,
        expire_time=expire_time,
        threshold=threshold,
        root_keys=tuple(key(name).key_id for name in root_keys),
        keys={key_id: PublicKey.of(_MADE[key_id].public) for key_id in sorted(used)},
        publishers=tuple(publishers),
        promoters=tuple(promoters),
    )


def signed_root(root: TrustRoot | bytes, signers: Sequence[str] = ROOT_KEYS[:2]) -> Signature:
    """A version in its envelope; by default two of the three root keys have signed."""
    payload = root if isinstance(root, bytes) else root.to_bytes()
    return signed(payload, PayloadType.TRUST_ROOT, signers)


def signed(payload: bytes, payload_type: PayloadType, signers: Sequence[str]) -> Signature:
    """Anything in an envelope, signed by some keys."""
    signature = key(signers[0]).sign(payload, payload_type)
    for name in signers[1:]:
        signature = key(name).sign_also(signature, payload_type)
    return signature


def trust_roots(*versions: TrustRoot) -> TrustRoots:
    """A chain whose versions are signed by `root-1` and `root-2`; without any, `trust_root()`."""
    return TrustRoots.of(signed_root(one) for one in versions or (trust_root(),))


def signed_manifest(manifest: bytes, signer: str = "publisher") -> Signature:
    """The publisher's signature over a manifest."""
    return key(signer).sign(manifest, PayloadType.MANIFEST)


def signed_statement(statement: bytes, signer: str = "promoter") -> Signature:
    """The promoter's signature over a statement."""
    return key(signer).sign(statement, PayloadType.PROMOTION)


def pin(version: str = "1.0.0", manifest: bytes = b"{}", model: str = CHANNEL.model) -> VersionPin:
    """A version and the digest of its manifest."""
    return VersionPin(
        version=f"models/{model}/versions/{version}", manifest_digest=digest_of(manifest)
    )


def promotion(
    before: Promotion | None = None,
    *,
    channel: ChannelName = CHANNEL,
    sequence: int | None = None,
    kind: PromotionKind = PromotionKind.PROMOTE,
    rollout: Rollout | None = None,
    expire_time: datetime | None = None,
    signer: str | None = "promoter",
    reason: str = "",
) -> Promotion:
    """A promotion that follows another one, with the signature of whom you like; None: unsigned."""
    if sequence is None:
        sequence = 1 if before is None else before.sequence + 1
    rollout = rollout or Rollout(primary=pin())
    statement = Statement.following(
        None if before is None else before.statement,
        channel=channel,
        sequence=sequence,
        kind=kind,
        rollout=rollout,
        expire_time=expire_time,
    ).to_bytes()
    return Promotion(
        name=channel.promotion(sequence),
        sequence=sequence,
        kind=kind,
        rollout=rollout,
        principal="spiffe://test/promoter",
        reason=reason,
        commit_time=COMMIT_TIME,
        expire_time=expire_time,
        statement=statement,
        signature=None if signer is None else signed_statement(statement, signer),
        etag=f"etag-{sequence}",
    )


def history(length: int, **more: Any) -> list[Promotion]:
    """The first promotions of a channel, each following the last one; sequence 1 first."""
    steps: list[Promotion] = []
    for _ in range(length):
        steps.append(promotion(steps[-1] if steps else None, **more))
    return steps


_MADE: Final[dict[str, SigningKey]] = {}
"""Every key that was made, by its id."""
