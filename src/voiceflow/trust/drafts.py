"""The next version of a trust root, while it is written and goes round to be signed.

A draft is a trust root's file whose newest version may still lack signatures. So whoever is to sign
holds all that he needs, on a machine without a network: what was in force, and what shall be. Pods
and registries refuse it until the last signature is there (ROOT_NOT_SIGNED).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self

from pydantic import ValidationError
from securesystemslib.dsse import Envelope
from securesystemslib.signer import Key

from voiceflow.catalog.channels import PromotionKind
from voiceflow.catalog.values import Signature
from voiceflow.errors import Forbidden, InvalidInput, Untrusted
from voiceflow.trust.envelopes import PayloadType, opened, write_envelope
from voiceflow.trust.offices import KeyStatus, Promoter, PublicKey, Publisher
from voiceflow.trust.root import (
    TrustRoot,
    TrustRoots,
    missing_signatures,
    read_chain,
    unsigned_next,
    write_chain,
)
from voiceflow.trust.signing import SigningKey
from voiceflow.trust.strict_json import first_fault

SHORTEST_KEY_ID: Final = 8
"""How many digits of a key's id name it at least."""


@dataclass(frozen=True, slots=True)
class Lack:
    """Signatures that are missing.

    Attributes:
        version: Of the trust root whose root keys have to sign.
        missing: How many more.
        threshold: Of how many.
        unsigned: Ids of the keys that have not signed, any of which may.
    """

    version: int
    missing: int
    threshold: int
    unsigned: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Draft:
    """A version of the trust root that may still lack signatures.

    Attributes:
        before: The versions before it, all complete; None: it is the first.
        root: What it says.
        signature: The signatures that it has, in its envelope.
    """

    before: TrustRoots | None
    root: TrustRoot
    signature: Signature

    @classmethod
    def of(cls, before: TrustRoots | None, root: TrustRoot) -> Self:
        """A draft that nobody has signed yet."""
        envelope = Envelope(root.to_bytes(), PayloadType.TRUST_ROOT.value, {})
        return cls(before, root, write_envelope(envelope))

    @classmethod
    def from_json(cls, content: bytes) -> Self:
        """Reads a trust root's file whose newest version may lack signatures.

        Raises:
            Untrusted: ROOT_INVALID, ROOT_GAP; ROOT_NOT_SIGNED: an earlier version lacks signatures.
        """
        *earlier, newest = read_chain(content)
        before = TrustRoots.of(earlier) if earlier else None
        return cls(before, unsigned_next(before.newest if before else None, newest), newest)

    def to_json(self) -> bytes:
        """The file."""
        earlier = [one.signature for one in self.before.chain] if self.before else []
        return write_chain([*earlier, self.signature])

    def changed(self, root: TrustRoot) -> Self:
        """The draft with another content, or, where it is complete, a draft of the next version.

        Args:
            root: What it shall say; its version is set here.
        """
        if not self.lacks:
            roots = self.complete()
            return self.of(roots, _root(root, version=root.version + 1))
        return self.of(self.before, root)

    def signed_by(self, key: SigningKey) -> Self:
        """The draft with one signature more.

        Raises:
            Forbidden: KEY_NOT_ALLOWED: it is no root key, neither of this version nor of the last.
        """
        if key.key_id not in self._root_keys():
            raise Forbidden(
                f"{key.key_id} is a root key neither of version {self.root.version} nor of the one "
                "before it; only those sign it",
                reason="KEY_NOT_ALLOWED",
            )
        signature = key.sign_also(self.signature, PayloadType.TRUST_ROOT)
        return type(self)(self.before, self.root, signature)

    def check_follows(self, known: TrustRoots) -> None:
        """Checks that it is the next version of a trust root that one knows to be in force.

        What a draft says it would change is else what its sender says was there before.

        Raises:
            Untrusted: ROOT_INVALID: it goes on from something else.
        """
        before = self.before.chain if self.before is not None else ()
        if [one.root for one in before] != [one.root for one in known.chain]:
            raise Untrusted(
                f"version {self.root.version} is not the next one of the trust root that is known, "
                f"which has version {known.newest.version}",
                reason="ROOT_INVALID",
            )

    @property
    def signers(self) -> frozenset[str]:
        """Ids of the root keys, of this version and of the last, that have signed it."""
        keys = [*self.root.checkers(self.root.root_keys)]
        if self.before is not None:
            keys += self.before.newest.checkers(self.before.newest.root_keys)
        return opened(self.signature, PayloadType.TRUST_ROOT, keys=keys).signers

    @property
    def lacks(self) -> tuple[Lack, ...]:
        """Whose signatures are missing; none: it is complete."""
        signers = self.signers
        demanding = [self.root] if self.before is None else [self.before.newest, self.root]
        return tuple(
            Lack(
                one.version,
                missing,
                one.threshold,
                tuple(key for key in one.root_keys if key not in signers),
            )
            for one in demanding
            if (missing := missing_signatures(one, self.signature))
        )

    def complete(self) -> TrustRoots:
        """The trust root, with this version in force.

        Raises:
            Untrusted: ROOT_NOT_SIGNED.
        """
        if self.before is not None:
            return self.before.followed_by(self.signature)
        return TrustRoots.of([self.signature])

    def _root_keys(self) -> frozenset[str]:
        before = self.before.newest.root_keys if self.before is not None else ()
        return frozenset((*self.root.root_keys, *before))


def first_root(
    root_keys: Sequence[Key], *, threshold: int, expire_time: datetime | None = None
) -> TrustRoot:
    """The first version: root keys, and nobody else yet.

    Raises:
        InvalidInput: TRUST_ROOT_CHANGE_INVALID: it breaks a rule of the trust root.
    """
    return _checked(
        version=1,
        expire_time=expire_time,
        threshold=threshold,
        root_keys=tuple(one.keyid for one in root_keys),
        keys=_public(root_keys),
    )


def with_publisher(root: TrustRoot, key: Key, models: Sequence[str]) -> TrustRoot:
    """Lets a key sign manifests of some models; raises as `first_root`."""
    _check_is_active(root, key)
    entry = {"key": key.keyid, "models": tuple(models)}
    return _root(root, [key], publishers=(*root.publishers, entry))


def with_promoter(
    root: TrustRoot, key: Key, channels: Sequence[str], kinds: Sequence[PromotionKind]
) -> TrustRoot:
    """Lets a key sign some kinds of promotions of some channels; raises as `first_root`."""
    _check_is_active(root, key)
    entry = {"key": key.keyid, "channels": tuple(channels), "kinds": tuple(kinds)}
    return _root(root, [key], promoters=(*root.promoters, entry))


def with_status(root: TrustRoot, key_id: str, status: KeyStatus) -> TrustRoot:
    """Retires or revokes a key in all that it may.

    Raises:
        InvalidInput: TRUST_ROOT_CHANGE_INVALID: it neither publishes nor promotes, or is revoked.
    """
    held = [one for one in root.offices if one.key == key_id]
    if not held:
        raise _not_allowed(
            f"{key_id} neither publishes nor promotes; a root key is taken out by rotating"
        )
    if any(one.status is KeyStatus.REVOKED for one in held):
        raise _not_allowed(f"{key_id} is revoked, and stays so")
    return _root(
        root,
        publishers=tuple(_with_status(one, key_id, status) for one in root.publishers),
        promoters=tuple(_with_status(one, key_id, status) for one in root.promoters),
    )


def with_root_keys(
    root: TrustRoot, *, add: Sequence[Key] = (), remove: Iterable[str] = (), threshold: int | None
) -> TrustRoot:
    """Rotates root keys.

    Args:
        root: The version before.
        add: Keys that become root keys.
        remove: Ids of those that are none any more.
        threshold: How many must sign; None: as many as before.

    Raises:
        InvalidInput: As `first_root`; or a key that is to be removed is no root key.
    """
    gone = set(remove)
    if strangers := sorted(gone - set(root.root_keys)):
        raise _not_allowed(f"{strangers[0]} is no root key, and cannot be removed")
    kept = tuple(one for one in root.root_keys if one not in gone)
    return _root(
        root,
        add,
        root_keys=(*kept, *(one.keyid for one in add)),
        threshold=root.threshold if threshold is None else threshold,
    )


def with_expiry(root: TrustRoot, expire_time: datetime | None) -> TrustRoot:
    """Sets when it is high time for the next version; None: never."""
    return _root(root, expire_time=expire_time)


def find_key(root: TrustRoot, beginning: str) -> str:
    """The id of a key of a trust root, of which the first digits are given.

    Raises:
        InvalidInput: KEY_UNKNOWN: no key, or more than one, begins so.
    """
    found = [one for one in root.keys if one.startswith(beginning)]
    if len(beginning) < SHORTEST_KEY_ID or len(found) != 1:
        raise InvalidInput(
            f"{beginning[:64]!r} is the beginning of {len(found)} keys' ids; allowed are at least "
            f"{SHORTEST_KEY_ID} digits that only one begins with",
            reason="KEY_UNKNOWN",
        )
    return found[0]


def _with_status(one: Publisher | Promoter, key_id: str, status: KeyStatus) -> dict[str, Any]:
    return one.model_dump() | ({"status": status} if one.key == key_id else {})


def _check_is_active(root: TrustRoot, key: Key) -> None:
    for one in root.offices:
        if one.key == key.keyid and one.status is not KeyStatus.ACTIVE:
            raise _not_allowed(f"{key.keyid} is {one.status.value}; add another key")


def _root(root: TrustRoot, more_keys: Sequence[Key] = (), **changes: Any) -> TrustRoot:
    """A version with other fields, and the keys that those name."""
    fields = root.model_dump() | changes
    offices = [
        one["key"] if isinstance(one, dict) else one.key
        for one in (*fields["publishers"], *fields["promoters"])
    ]
    known = root.model_dump()["keys"] | _public(more_keys)
    named = {*fields["root_keys"], *offices}
    fields["keys"] = {one: known[one] for one in sorted(named & known.keys())}
    return _checked(**fields)


def _checked(**fields: Any) -> TrustRoot:
    expire_time = fields.get("expire_time")
    if expire_time is not None:
        fields["expire_time"] = expire_time.replace(microsecond=0)
    try:
        return TrustRoot.model_validate(fields)
    except ValidationError as error:
        raise _not_allowed(first_fault(error)) from None


def _public(keys: Iterable[Key]) -> dict[str, dict[str, Any]]:
    return {one.keyid: PublicKey.of(one).model_dump() for one in keys}


def _not_allowed(why: str) -> InvalidInput:
    return InvalidInput(f"the trust root cannot be so: {why}", reason="TRUST_ROOT_CHANGE_INVALID")
