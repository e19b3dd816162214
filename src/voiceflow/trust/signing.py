"""Keys that sign, as files; no service is needed to make or to use one.

Ed25519: the private half is PKCS8 in PEM, with a password or without; the public half is PEM too,
in a file that ends in `.pub`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from pydantic import ValidationError
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner, SSlibKey

from voiceflow.catalog.values import Signature
from voiceflow.errors import InvalidInput, TooLarge
from voiceflow.trust.envelopes import (
    MAXIMUM_ENVELOPE_BYTES,
    PayloadType,
    read_envelope,
    write_envelope,
)
from voiceflow.trust.offices import PublicKey

_MAXIMUM_KEY_BYTES: Final = 16 * 1024
"""More than any key has; no more of a file is read."""


class SigningKey:
    """The private half of a key; it never shows in a text.

    Args:
        private: The key.
    """

    __slots__ = ("_signer",)

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._signer = CryptoSigner(private, SSlibKey.from_crypto(private.public_key()))

    def __repr__(self) -> str:
        return f"SigningKey({self.key_id})"

    @classmethod
    def generate(cls) -> Self:
        """A new key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def read(cls, path: Path, password: bytes | None = None) -> Self:
        """Reads a key.

        Args:
            path: A PEM file.
            password: That it was written with.

        Raises:
            InvalidInput: KEY_PASSWORD_MISSING; KEY_INVALID: the file cannot be read or holds no
                such key, or the password is wrong, or not needed.
        """
        content = _content(path)
        try:
            private = load_pem_private_key(content, password)
        except TypeError:
            if password is not None:
                raise _unusable(path, "needs no password") from None
            raise InvalidInput(
                f"{path}: needs its password", reason="KEY_PASSWORD_MISSING", field=str(path)
            ) from None
        except (ValueError, UnsupportedAlgorithm):
            wrong = "" if password is None else ", or this is not its password"
            raise _unusable(path, f"holds no private key in PEM{wrong}") from None
        if not isinstance(private, Ed25519PrivateKey):
            raise _unusable(path, "holds a private key of another kind: Ed25519 alone may sign")
        return cls(private)

    def write(self, path: Path, password: bytes | None = None) -> None:
        """Writes the key to a new file that its owner alone may read.

        Raises:
            FileExistsError: There is one already.
        """
        encryption = NoEncryption() if password is None else BestAvailableEncryption(password)
        private = load_pem_private_key(self._signer.private_bytes, None)
        content = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)

    @property
    def key_id(self) -> str:
        """Its id: SHA-256 of the public half."""
        return self.public.keyid

    @property
    def public(self) -> SSlibKey:
        """The half that everybody may know."""
        return self._signer.public_key

    def sign(self, payload: bytes, payload_type: PayloadType) -> Signature:
        """Signs.

        Raises:
            TooLarge: SIZE_LIMIT: the envelope would have more than 64 KiB, so the payload has more
                than about 48 KB.
        """
        return self._added(Envelope(payload, payload_type.value, {}))

    def sign_also(self, signature: Signature, payload_type: PayloadType) -> Signature:
        """Adds this key's signature to those in an envelope.

        Raises:
            Untrusted: SIGNATURE_INVALID: it is no such envelope.
            TooLarge: As `sign`.
        """
        return self._added(read_envelope(signature, payload_type))

    def _added(self, envelope: Envelope) -> Signature:
        envelope.sign(self._signer)
        signature = write_envelope(envelope)
        if len(signature.content) > MAXIMUM_ENVELOPE_BYTES:
            raise TooLarge(
                f"the signature would have {len(signature.content)} bytes, of which what is signed "
                f"has {len(envelope.payload)}; at most {MAXIMUM_ENVELOPE_BYTES}",
                reason="SIZE_LIMIT",
            )
        return signature


def read_public_key(path: Path) -> SSlibKey:
    """Reads the public half of a key.

    Raises:
        InvalidInput: KEY_INVALID: the file cannot be read, or holds no such key.
    """
    try:
        public = load_pem_public_key(_content(path))
    except (ValueError, UnsupportedAlgorithm):
        raise _unusable(path, "holds no public key in PEM") from None
    if not isinstance(public, Ed25519PublicKey):
        raise _unusable(path, "holds a public key of another kind: Ed25519 alone may sign")
    key = SSlibKey.from_crypto(public)
    try:
        PublicKey.of(key)
    except ValidationError:
        raise _unusable(path, "holds a point that is no key: everybody could sign for it") from None
    return key


def write_public_key(key: SSlibKey, path: Path) -> None:
    """Writes the public half of a key to a new file.

    Raises:
        FileExistsError: There is one already.
    """
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.keyval["public"]))
    with path.open("xb") as file:
        file.write(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAXIMUM_KEY_BYTES)
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror}") from error


def _unusable(path: Path, why: str) -> InvalidInput:
    return InvalidInput(f"{path}: {why}", reason="KEY_INVALID", field=str(path))
