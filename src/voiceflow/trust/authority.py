"""What registry and pods ask before they believe: has somebody signed this who may?"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from voiceflow.catalog.channels import Rollout
from voiceflow.catalog.names import ChannelName, VersionName
from voiceflow.catalog.values import Signature
from voiceflow.errors import InvalidInput, Untrusted
from voiceflow.trust.envelopes import PayloadType, opened
from voiceflow.trust.offices import KeyStatus
from voiceflow.trust.root import TrustRoot
from voiceflow.trust.statements import Statement

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


def check_manifest(
    root: TrustRoot, *, model: str, manifest: bytes, signature: Signature | None, new: bool
) -> str:
    """Checks that a publisher of a model has signed a manifest.

    What the manifest says is for the caller to check: its name, and the digest that it must have.

    Args:
        root: The trust root in force.
        model: Id of the model that it is offered as.
        manifest: Its bytes.
        signature: What came with it.
        new: Whether it is signed now, and so not by a retired key.

    Returns:
        Id of the key that vouches for it.

    Raises:
        Untrusted: SIGNATURE_MISSING, SIGNATURE_INVALID, KEY_REVOKED, KEY_NOT_ALLOWED.
    """
    what = f"a manifest of {model}"
    signers = _signers(root, signature, PayloadType.MANIFEST, manifest, what)
    offices = [_Office(one.key, one.covers(model), one.status) for one in root.publishers]
    return _permitted(offices, signers, what, new=new)


def check_promotion(
    root: TrustRoot, *, statement: bytes, signature: Signature | None, new: bool
) -> Statement:
    """Checks that a promoter of a channel has signed a promotion of a kind that is his.

    Args:
        root: The trust root in force.
        statement: What was signed, to the byte.
        signature: What came with it.
        new: Whether it is signed now, and so not by a retired key.

    Returns:
        What was signed: of one model alone, every version with a digest.

    Raises:
        Untrusted: SIGNATURE_MISSING, SIGNATURE_INVALID, KEY_REVOKED, KEY_NOT_ALLOWED,
            STATEMENT_INVALID.
    """
    signers = _signers(root, signature, PayloadType.PROMOTION, statement, "a promotion")
    said, channel = read_statement(statement)
    offices = [
        _Office(one.key, one.covers(channel, said.kind), one.status) for one in root.promoters
    ]
    _permitted(offices, signers, f"a promotion ({said.kind.value}) of {channel}", new=new)
    return said


def read_statement(content: bytes) -> tuple[Statement, ChannelName]:
    """Reads a statement, whoever may have signed it, and checks that it names what can be served.

    Raises:
        Untrusted: STATEMENT_INVALID: it is none, or names no channel, a version of another model
            or one without a digest, or has the digest of one before it where there is none, or a
            share that nothing can have.
    """
    said = Statement.from_bytes(content)
    try:
        channel = ChannelName.parse(said.channel)
        pinned = [VersionName.parse(pin.version) for pin in said.rollout.pins().values()]
    except InvalidInput as error:
        raise _statement_invalid(error.message) from None
    if any(version.model != channel.model for version in pinned):
        raise _statement_invalid(f"it pins a version of another model to {channel}")
    digests = [pin.manifest_digest for pin in said.rollout.pins().values()]
    if said.sequence > 1:
        digests.append(said.previous_statement_digest)
    elif said.previous_statement_digest:
        raise _statement_invalid("it is the first one and names one before it")
    if not all(_DIGEST.fullmatch(digest) for digest in digests):
        raise _statement_invalid("a digest in it is missing, or none")
    _check_shares(said.rollout)
    return said, channel


def _check_shares(rollout: Rollout) -> None:
    canary, shadow = rollout.canary, rollout.shadow
    if canary is not None and not (_is_share(canary.percentage) and canary.percentage < 100.0):
        raise _statement_invalid(f"its canary has {canary.percentage} percent of the streams")
    if shadow is not None and not _is_share(shadow.percentage):
        raise _statement_invalid(f"its shadow hears {shadow.percentage} percent of the streams")


def _is_share(percentage: float) -> bool:
    """Whether there can be such a share; they go in steps of 0.01."""
    return 0.0 < percentage <= 100.0 and percentage == round(percentage, 2)


class _Office(NamedTuple):
    key: str
    covers: bool
    status: KeyStatus


def _signers(
    root: TrustRoot,
    signature: Signature | None,
    payload_type: PayloadType,
    payload: bytes,
    what: str,
) -> frozenset[str]:
    if signature is None or not signature.content:
        raise Untrusted(f"{what} must be signed, and is not", reason="SIGNATURE_MISSING")
    signers = opened(signature, payload_type, keys=root.checkers(), expected=payload).signers
    if not signers:
        raise Untrusted(
            f"{what} is not signed by any key of version {root.version} of the trust root",
            reason="SIGNATURE_INVALID",
        )
    return signers


def _permitted(offices: Iterable[_Office], signers: frozenset[str], what: str, *, new: bool) -> str:
    """Id of a key, of those that have signed, that may."""
    held = [one for one in offices if one.key in signers]
    signing = {KeyStatus.ACTIVE} if new else {KeyStatus.ACTIVE, KeyStatus.RETIRED}
    for one in held:
        if one.covers and one.status in signing:
            return one.key
    seen = ", ".join(sorted(key[:16] for key in signers))
    if any(one.status is KeyStatus.REVOKED for one in held):
        raise Untrusted(f"{what} is signed by {seen}: revoked", reason="KEY_REVOKED")
    why = "retired" if any(one.covers for one in held) else "which may not sign that"
    raise Untrusted(f"{what} is signed by {seen}: {why}", reason="KEY_NOT_ALLOWED")


def _statement_invalid(why: str) -> Untrusted:
    return Untrusted(f"the statement of a promotion: {why}", reason="STATEMENT_INVALID")
