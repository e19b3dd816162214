"""A signature and what it is over: DSSE envelopes, bounded, in one form, and checked by given keys.

An envelope comes from whoever sends it. Nothing of it is believed: the id of a key in it only says
which of the keys that the reader already trusts to try.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import Key

from voiceflow.catalog.values import Signature
from voiceflow.errors import Untrusted
from voiceflow.trust.strict_json import canonical, first_fault, parsed

ENVELOPE_MEDIA_TYPE: Final = "application/vnd.dsse.envelope.v1+json"
MAXIMUM_ENVELOPE_BYTES: Final = 64 * 1024
MAXIMUM_SIGNATURES: Final = 16

KeyId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 of a public key in canonical JSON, in hexadecimal."""


def _one_form(text: str) -> str:
    """Passes base64 as encoding gives it: other alphabets and spare bits are refused."""
    if base64.b64encode(base64.b64decode(text, validate=True)).decode() != text:
        raise ValueError("is no base64 in its one form")
    return text


class PayloadType(StrEnum):
    """What is signed; part of what the signature is over, so that none is taken for another."""

    MANIFEST = "application/vnd.voiceflow.manifest.v1+json"
    PROMOTION = "application/vnd.voiceflow.promotion.v1+json"
    TRUST_ROOT = "application/vnd.voiceflow.trust-root.v1+json"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class SignatureFields(_Part):
    """One signature: 64 bytes of Ed25519 (RFC 8032) in base64, and the key said to have made it."""

    keyid: KeyId
    sig: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{86}==$"), AfterValidator(_one_form)
    ]


class EnvelopeFields(_Part):
    """The fields of an envelope, bounded; the names are DSSE's."""

    payload: Annotated[str, AfterValidator(_one_form)]
    payloadType: str  # noqa: N815
    signatures: Annotated[list[SignatureFields], Field(max_length=MAXIMUM_SIGNATURES)]


@dataclass(frozen=True, slots=True)
class Opened:
    """An envelope that was opened.

    Attributes:
        payload: What was signed, to the byte.
        signers: Ids of those keys, of the ones that were asked for, whose signature holds.
    """

    payload: bytes
    signers: frozenset[str]


def opened(
    signature: Signature,
    payload_type: PayloadType,
    *,
    keys: Iterable[Key],
    expected: bytes | None = None,
) -> Opened:
    """Opens an envelope, and says which keys have signed it.

    Whether those suffice is for the caller to judge: `signers` may be empty.

    Args:
        signature: The envelope.
        payload_type: What must be in it.
        keys: Keys that are trusted to be what their ids say; signatures of others are passed over.
        expected: What must be in it, to the byte; None: whatever is.

    Raises:
        Untrusted: SIGNATURE_INVALID: it is no such envelope, or over something else.
    """
    envelope = read_envelope(signature, payload_type)
    if expected is not None and envelope.payload != expected:
        raise _invalid("it is over other bytes than those that came with it")
    return Opened(
        envelope.payload, frozenset(key.keyid for key in keys if _has_signed(key, envelope))
    )


def read_envelope(signature: Signature, payload_type: PayloadType) -> Envelope:
    """Reads an envelope without checking any signature in it.

    Raises:
        Untrusted: SIGNATURE_INVALID: it is no such envelope.
    """
    if signature.media_type != ENVELOPE_MEDIA_TYPE:
        raise _invalid(f"its media type is {signature.media_type[:100]!r}: {ENVELOPE_MEDIA_TYPE}")
    if len(signature.content) > MAXIMUM_ENVELOPE_BYTES:
        raise _invalid(f"it has {len(signature.content)} bytes: at most {MAXIMUM_ENVELOPE_BYTES}")
    try:
        said = EnvelopeFields.model_validate(parsed(signature.content))
        # Refuses two signatures under one id; changes what it is given.
        envelope = Envelope.from_dict(said.model_dump())
    except ValidationError as error:
        raise _invalid(first_fault(error)) from None
    except ValueError as error:
        raise _invalid(str(error)[:200]) from None
    if envelope.payload_type != payload_type:
        raise _invalid(f"it is over {envelope.payload_type[:100]!r}: {payload_type}")
    return envelope


def write_envelope(envelope: Envelope) -> Signature:
    """An envelope as it is sent and stored."""
    return Signature(media_type=ENVELOPE_MEDIA_TYPE, content=canonical(envelope.to_dict()))


def _has_signed(key: Key, envelope: Envelope) -> bool:
    try:
        envelope.verify([key], threshold=1)
    except UnverifiedSignatureError:
        return False
    return True


def _invalid(why: str) -> Untrusted:
    return Untrusted(f"the signature cannot be used: {why}", reason="SIGNATURE_INVALID")
