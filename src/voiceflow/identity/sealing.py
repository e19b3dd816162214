"""Seals what a caller keeps for a server: resume tokens, which hold voiceprints.

    version (1) | expiry, ms (8) | length of key id (1) | key id | salt (16) | nonce (12) | sealed

AES-256-GCM under a key derived (HKDF-SHA-256) from the named key and the salt: so no number of
tokens brings two of them near one key and nonce, where random nonces under one key alone would be
bounded to 2^32. All that stands before the sealed part, and what the token is bound to, is
authenticated.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from voiceflow.errors import InvalidInput, NotServed, TooLarge
from voiceflow.identity.key_set import KeySet, SealingKey

MAXIMUM_SEALED_BYTES: Final = 1024 * 1024
"""Of a whole token; four hours of a conversation need far less."""

_VERSION: Final = 1
_HEAD: Final = struct.Struct(">BQB")
_SALT_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_PURPOSE: Final = b"voiceflow resume token, AES-256-GCM, 1"


class Sealer:
    """Seals and opens.

    Args:
        keys: The key set of now.
    """

    def __init__(self, keys: Callable[[], KeySet]) -> None:
        self._keys = keys

    @property
    def has_key(self) -> bool:
        """Whether the key set has a key to seal with."""
        return bool(self._keys().sealing_keys)

    def seal(self, content: bytes, *, bound_to: bytes, expire_time: datetime) -> bytes:
        """Seals a content.

        Args:
            content: Nobody else can read or change it.
            bound_to: It opens only where the same is given again: whose it is, what it is for.
            expire_time: It opens only before; milliseconds count.

        Raises:
            NotServed: SEALING_KEY_MISSING: the key set has none.
            TooLarge: RESUME_TOKEN_TOO_LARGE: it would not be opened again.
        """
        keys = self._keys().sealing_keys
        if not keys:
            raise NotServed(
                "the key set has no sealing key (kty oct, use enc)", reason="SEALING_KEY_MISSING"
            )
        key_id = keys[0].key_id.encode()
        head = _HEAD.pack(_VERSION, int(expire_time.timestamp() * 1000), len(key_id)) + key_id
        salt, nonce = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_NONCE_BYTES)
        sealed = _cipher(keys[0], salt).encrypt(nonce, content, _authenticated(head, bound_to))
        token = head + salt + nonce + sealed
        if len(token) > MAXIMUM_SEALED_BYTES:
            raise TooLarge(
                f"the resume token would have {len(token)} bytes; at most {MAXIMUM_SEALED_BYTES}",
                reason="RESUME_TOKEN_TOO_LARGE",
            )
        return token

    def open(self, token: bytes, *, bound_to: bytes, now: datetime | None = None) -> bytes:
        """Opens what was sealed; whether it has expired is told of genuine tokens alone.

        Args:
            token: As `seal` made it.
            bound_to: As it was given to `seal`.
            now: When; None: now.

        Raises:
            InvalidInput: RESUME_TOKEN_INVALID: it was changed, is bound to something else, or was
                sealed with a key that is not in the key set; RESUME_TOKEN_EXPIRED.
        """
        if len(token) > MAXIMUM_SEALED_BYTES:
            raise _invalid()
        try:
            version, expiry_ms, id_bytes = _HEAD.unpack_from(token)
        except struct.error:
            raise _invalid() from None
        head_end = _HEAD.size + id_bytes
        salt_end = head_end + _SALT_BYTES
        nonce_end = salt_end + _NONCE_BYTES
        if version != _VERSION or len(token) < nonce_end + _TAG_BYTES:
            raise _invalid()
        head, salt, nonce = token[:head_end], token[head_end:salt_end], token[salt_end:nonce_end]
        key = self._keys().sealing_key(head[_HEAD.size :].decode("ascii", "replace"))
        if key is None:
            raise _invalid()
        try:
            content = _cipher(key, salt).decrypt(
                nonce, token[nonce_end:], _authenticated(head, bound_to)
            )
        except InvalidTag:
            raise _invalid() from None
        if (now or datetime.now(UTC)).timestamp() * 1000 >= expiry_ms:
            raise InvalidInput(
                "the resume token has expired", reason="RESUME_TOKEN_EXPIRED", field="resume_token"
            )
        return content


def _cipher(key: SealingKey, salt: bytes) -> AESGCM:
    derived = HKDF(SHA256(), length=32, salt=salt, info=_PURPOSE).derive(key.secret)
    return AESGCM(derived)


def _authenticated(head: bytes, bound_to: bytes) -> bytes:
    """The head states its own length, so the two cannot be taken for each other."""
    return head + bound_to


def _invalid() -> InvalidInput:
    return InvalidInput(
        "the resume token is none of this service, or not for this caller",
        reason="RESUME_TOKEN_INVALID",
        field="resume_token",
    )
