"""The trust root: whose signatures count, as a file with the chain of all its versions.

The rules, which refusals cite:

 1. A version has one form: canonical JSON, with the fields below and no other.
 2. A key stands under the id that is computed from it; so no key has two. A point that everybody
    can sign for is none.
 3. The threshold is at least 2, and no more than there are root keys, each named once.
 4. Every key that is named is there, and no key is there that is not named.
 5. A key has one office: root, publisher or promoter; a revoked one is revoked in all of it.
 6. A key that rolls back automatically does nothing else: it lies on a server.
 7. Versions count 1, 2, 3, … without gap (ROOT_GAP).
 8. A version is signed by its own root keys, as many as its threshold says, and likewise by those
    of the version before it (ROOT_NOT_SIGNED).
 9. A key that the version before it has revoked is there, and revoked: it never comes back.

What breaks rules 1 to 6, or 9, is ROOT_INVALID.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from securesystemslib.signer import Key, SSlibKey

from voiceflow.artifact import Digest, digest_of
from voiceflow.catalog.channels import PromotionKind
from voiceflow.catalog.values import Signature, Time
from voiceflow.errors import InvalidInput, Untrusted
from voiceflow.trust.envelopes import (
    ENVELOPE_MEDIA_TYPE,
    MAXIMUM_SIGNATURES,
    EnvelopeFields,
    KeyId,
    Opened,
    PayloadType,
    opened,
)
from voiceflow.trust.offices import KeyStatus, Office, Promoter, PublicKey, Publisher
from voiceflow.trust.strict_json import canonical, first_fault, parsed

MAXIMUM_CHAIN_BYTES: Final = 16 * 1024 * 1024
MAXIMUM_VERSIONS: Final = 1024
MAXIMUM_OFFICES: Final = 128
"""Publishers of one version, and promoters; their keys must fit into an envelope."""

_FILE_SCHEMA_VERSION: Final = 1


class TrustRoot(BaseModel):
    """One version of the trust root.

    Attributes:
        version: 1, 2, 3, …
        expire_time: In whole seconds; after it an alarm is raised, and nothing is unloaded.
        threshold: How many root keys must sign the next version.
        root_keys: Ids of the keys that may.
        keys: Every key that is named, by its id.
        publishers: Whose manifests hold.
        promoters: Whose promotions hold.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: Annotated[int, Field(ge=1, le=MAXIMUM_VERSIONS)]
    expire_time: Time | None = None
    threshold: Annotated[int, Field(ge=2, le=MAXIMUM_SIGNATURES)]
    root_keys: Annotated[tuple[KeyId, ...], Field(max_length=MAXIMUM_SIGNATURES)]
    keys: dict[KeyId, PublicKey]
    publishers: Annotated[tuple[Publisher, ...], Field(max_length=MAXIMUM_OFFICES)] = ()
    promoters: Annotated[tuple[Promoter, ...], Field(max_length=MAXIMUM_OFFICES)] = ()

    @model_validator(mode="after")
    def _obeys_its_rules(self) -> Self:
        self._check_keys()
        self._check_offices()
        if self.expire_time is not None and self.expire_time.microsecond:
            raise ValueError("rule 1: expire_time is not in whole seconds")
        return self

    def _check_keys(self) -> None:
        for key_id, key in self.keys.items():
            if key.key_id != key_id:
                raise ValueError(f"rule 2: the id of {key_id} is {key.key_id}")
        if len(set(self.root_keys)) != len(self.root_keys):
            raise ValueError("rule 3: a root key is named twice")
        if self.threshold > len(self.root_keys):
            raise ValueError(
                f"rule 3: the threshold is {self.threshold} of {len(self.root_keys)} root keys"
            )
        named = {*self.root_keys, *(one.key for one in self.offices)}
        if missing := sorted(named - self.keys.keys()):
            raise ValueError(f"rule 4: {missing[0]} is named and not there")
        if spare := sorted(self.keys.keys() - named):
            raise ValueError(f"rule 4: {spare[0]} is there and not named")

    def _check_offices(self) -> None:
        publishers = {one.key for one in self.publishers}
        promoters = {one.key for one in self.promoters}
        roots = set(self.root_keys)
        twice = (publishers & promoters) | (publishers & roots) | (promoters & roots)
        if twice:
            raise ValueError(f"rule 5: {min(twice)} has two offices")
        for one in self.offices:
            if one.key in self.revoked and one.status is not KeyStatus.REVOKED:
                raise ValueError(f"rule 5: {one.key} is revoked, and {one.status.value}")
        for key in promoters:
            kinds = {kind for one in self.promoters if one.key == key for kind in one.kinds}
            if PromotionKind.AUTOMATIC_ROLLBACK in kinds and len(kinds) > 1:
                raise ValueError(f"rule 6: {key} rolls back automatically and does more")

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Reads a version.

        Raises:
            Untrusted: ROOT_INVALID: it breaks rule 1 to 6.
        """
        try:
            root = cls.model_validate_json(content)
        except ValidationError as error:
            raise _invalid(first_fault(error)) from None
        if root.to_bytes() != content:
            raise _invalid("rule 1: it is not in the one canonical form")
        return root

    def to_bytes(self) -> bytes:
        """What is signed, to the byte."""
        body = self.model_dump(mode="json")
        if self.expire_time is not None:
            time = self.expire_time.astimezone(UTC).replace(tzinfo=None)
            body["expire_time"] = time.isoformat(timespec="seconds") + "Z"
        return canonical(body)

    @property
    def offices(self) -> tuple[Office, ...]:
        """Those of publishers, and of promoters."""
        return (*self.publishers, *self.promoters)

    @property
    def revoked(self) -> frozenset[str]:
        """Ids of the keys that are revoked."""
        return frozenset(one.key for one in self.offices if one.status is KeyStatus.REVOKED)

    @property
    def digest(self) -> Digest:
        """Of its bytes."""
        return digest_of(self.to_bytes())

    def expired(self, now: datetime) -> bool:
        """Whether it is high time for the next one."""
        return self.expire_time is not None and now >= self.expire_time

    def checkers(self, key_ids: Iterable[str] | None = None) -> tuple[SSlibKey, ...]:
        """What checks signatures of these keys of its own; None: of all."""
        wanted = self.keys if key_ids is None else key_ids
        return tuple(self.keys[key_id].checker(key_id) for key_id in wanted)


@dataclass(frozen=True, slots=True)
class SignedRoot:
    """A version, in the envelope that it came in."""

    root: TrustRoot
    signature: Signature


@dataclass(frozen=True, slots=True)
class TrustRoots:
    """The chain of all versions, each one signed as rule 8 says.

    Attributes:
        chain: Version 1 first; never empty.
    """

    chain: tuple[SignedRoot, ...]

    @classmethod
    def of(cls, signatures: Iterable[Signature]) -> Self:
        """Checks a chain, from its first version on.

        Raises:
            Untrusted: ROOT_INVALID, ROOT_GAP, ROOT_NOT_SIGNED.
        """
        chain: list[SignedRoot] = []
        for signature in signatures:
            root = check_next(chain[-1].root if chain else None, signature)
            chain.append(SignedRoot(root, signature))
        if not chain:
            raise _invalid("there is no version in it")
        return cls(tuple(chain))

    @classmethod
    def from_json(cls, content: bytes) -> Self:
        """Reads the file, and checks the chain in it.

        Raises:
            Untrusted: ROOT_INVALID, ROOT_GAP, ROOT_NOT_SIGNED.
        """
        return cls.of(read_chain(content))

    def to_json(self) -> bytes:
        """The file."""
        return write_chain(one.signature for one in self.chain)

    def followed_by(self, signature: Signature) -> Self:
        """The chain with its next version.

        Raises:
            Untrusted: ROOT_INVALID, ROOT_GAP, ROOT_NOT_SIGNED.
        """
        root = check_next(self.newest, signature)
        return type(self)((*self.chain, SignedRoot(root, signature)))

    @property
    def newest(self) -> TrustRoot:
        """The version in force."""
        return self.chain[-1].root

    def at(self, version: int) -> TrustRoot:
        """One of its versions, from 1 to the newest one's."""
        return self.chain[version - 1].root


def read_trust_roots(path: Path) -> TrustRoots:
    """Reads a trust root.

    Raises:
        InvalidInput: TRUST_ROOT_UNREADABLE: the file cannot be read.
        Untrusted: ROOT_INVALID, ROOT_GAP, ROOT_NOT_SIGNED.
    """
    return TrustRoots.from_json(read_trust_root_file(path))


def read_trust_root_file(path: Path) -> bytes:
    """The content of a trust root's file, unchecked, and no longer than one may be.

    Raises:
        InvalidInput: TRUST_ROOT_UNREADABLE.
    """
    try:
        with path.open("rb") as file:
            return file.read(MAXIMUM_CHAIN_BYTES + 1)
    except OSError as error:
        raise InvalidInput(
            f"{path}: the trust root cannot be read: {error.strerror}",
            reason="TRUST_ROOT_UNREADABLE",
            field=str(path),
        ) from error


def check_next(before: TrustRoot | None, signature: Signature) -> TrustRoot:
    """Checks the version that follows another one.

    Args:
        before: The version before it; None for the first, which its own keys alone vouch for: its
            file is to come from where nobody else writes.
        signature: The version in its envelope.

    Raises:
        Untrusted: ROOT_INVALID, ROOT_GAP, ROOT_NOT_SIGNED.
    """
    root = unsigned_next(before, signature)
    for signed_by in (before, root):
        if signed_by is not None and (missing := missing_signatures(signed_by, signature)):
            raise Untrusted(
                f"version {root.version} of the trust root lacks {missing} of the "
                f"{signed_by.threshold} signatures by root keys of version {signed_by.version} "
                "(rule 8)",
                reason="ROOT_NOT_SIGNED",
            )
    return root


def unsigned_next(before: TrustRoot | None, signature: Signature) -> TrustRoot:
    """Checks all of the version that follows another one but its signatures.

    Raises:
        Untrusted: ROOT_INVALID, ROOT_GAP.
    """
    root = TrustRoot.from_bytes(_opened(signature).payload)
    number = 1 if before is None else before.version + 1
    if root.version != number:
        raise Untrusted(
            f"the trust root has version {root.version} where {number} must stand (rule 7)",
            reason="ROOT_GAP",
        )
    if before is not None and (back := sorted(before.revoked - root.revoked)):
        raise _invalid(f"rule 9: {back[0]} was revoked, and is not any more")
    return root


def missing_signatures(root: TrustRoot, signature: Signature) -> int:
    """How many signatures of a version's root keys an envelope still lacks.

    Raises:
        Untrusted: ROOT_INVALID: it is no envelope of a trust root.
    """
    signers = _opened(signature, root.checkers(root.root_keys)).signers
    return max(0, root.threshold - len(signers))


def read_chain(content: bytes) -> tuple[Signature, ...]:
    """The envelopes in a trust root's file, unchecked.

    Raises:
        Untrusted: ROOT_INVALID: it is no such file.
    """
    if len(content) > MAXIMUM_CHAIN_BYTES:
        raise _invalid(f"it has more than {MAXIMUM_CHAIN_BYTES} bytes")
    try:
        chain = _Chain.model_validate(parsed(content))
    except ValidationError as error:
        raise _invalid(first_fault(error)) from None
    except ValueError as error:
        raise _invalid(str(error)[:200]) from None
    return tuple(
        Signature(media_type=ENVELOPE_MEDIA_TYPE, content=canonical(one.model_dump()))
        for one in chain.roots
    )


def write_chain(signatures: Iterable[Signature]) -> bytes:
    """A trust root's file of these envelopes."""
    roots = [parsed(one.content) for one in signatures]
    return canonical({"schema_version": _FILE_SCHEMA_VERSION, "roots": roots}) + b"\n"


class _Chain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    schema_version: Annotated[int, Field(ge=1, le=1)]
    roots: Annotated[list[EnvelopeFields], Field(min_length=1, max_length=MAXIMUM_VERSIONS)]


def _opened(signature: Signature, keys: Iterable[Key] = ()) -> Opened:
    try:
        return opened(signature, PayloadType.TRUST_ROOT, keys=keys)
    except Untrusted as error:
        raise _invalid(error.message) from None


def _invalid(why: str) -> Untrusted:
    return Untrusted(f"the trust root cannot be used: {why}", reason="ROOT_INVALID")
