"""What nobody may pass off as a signature, whatever it is over."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Final

from tests.fakes import trust
from voiceflow.catalog.values import Signature
from voiceflow.trust.envelopes import ENVELOPE_MEDIA_TYPE, PayloadType

Forge = Callable[[bytes, str, PayloadType], Signature | None]
"""Makes it from what is to be signed, the name of a key that may sign that, and the type."""


def by(name: str) -> Forge:
    """A signature by a key."""
    return lambda payload, _, kind: trust.key(name).sign(payload, kind)


def absent(_: bytes, __: str, ___: PayloadType) -> None:
    """No signature."""


def empty_envelope(_: bytes, __: str, ___: PayloadType) -> Signature:
    """A signature of no bytes."""
    return Signature(media_type=ENVELOPE_MEDIA_TYPE, content=b"")


def garbage(_: bytes, __: str, ___: PayloadType) -> Signature:
    """What is no envelope."""
    return Signature(media_type=ENVELOPE_MEDIA_TYPE, content=b'{"signatures": 1}')


def other_format(payload: bytes, signer: str, kind: PayloadType) -> Signature:
    """An envelope that is said to be something else."""
    made = trust.key(signer).sign(payload, kind)
    return made.model_copy(update={"media_type": "application/pgp-signature"})


def other_payload(payload: bytes, signer: str, kind: PayloadType) -> Signature:
    """A signature that holds, over something else."""
    return trust.key(signer).sign(payload + b" ", kind)


def other_type(payload: bytes, signer: str, kind: PayloadType) -> Signature:
    """A signature that holds, over the same bytes as something else."""
    other = PayloadType.PROMOTION if kind is PayloadType.MANIFEST else PayloadType.MANIFEST
    return trust.key(signer).sign(payload, other)


def in_the_name_of(payload: bytes, signer: str, kind: PayloadType) -> Signature:
    """Made with a key that nobody trusts, under the id of one that is."""
    made = json.loads(trust.key("attacker").sign(payload, kind).content)
    made["signatures"][0]["keyid"] = trust.key(signer).key_id
    return Signature(media_type=ENVELOPE_MEDIA_TYPE, content=json.dumps(made).encode())


def without_signatures(payload: bytes, signer: str, kind: PayloadType) -> Signature:
    """An envelope that nobody has signed."""
    made = json.loads(trust.key(signer).sign(payload, kind).content)
    made["signatures"] = []
    return Signature(media_type=ENVELOPE_MEDIA_TYPE, content=json.dumps(made).encode())


FORGED: Final[Sequence[tuple[Forge, str]]] = [
    (absent, "SIGNATURE_MISSING"),
    (empty_envelope, "SIGNATURE_MISSING"),
    (garbage, "SIGNATURE_INVALID"),
    (other_format, "SIGNATURE_INVALID"),
    (other_payload, "SIGNATURE_INVALID"),
    (other_type, "SIGNATURE_INVALID"),
    (in_the_name_of, "SIGNATURE_INVALID"),
    (without_signatures, "SIGNATURE_INVALID"),
    (by("attacker"), "SIGNATURE_INVALID"),
    (by("root-1"), "KEY_NOT_ALLOWED"),
]
"""Each with the reason that it is refused by."""
