"""The key set: one JWKS file (RFC 7517) for the keys of tokens and of resume tokens.

A new key is added, everything new is made with it, the old one is removed once nothing made with it
is in use any more. For resume tokens the first key seals and all open, so a key is added at the end
everywhere before it is moved to the front anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from jwt.exceptions import InvalidKeyError
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from voiceflow.errors import InvalidInput
from voiceflow.identity.files import read_text

SEALING_KEY_BYTES: Final = 32

_REASON: Final = "KEYS_INVALID"
_FIELD: Final = "keys"
_MOST_KEYS: Final = 64

KeyId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._~-]{1,64}$")]
_Base64Of32Bytes = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{43}$")]


class _Jwk(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    kid: KeyId


class _PublicTokenJwk(_Jwk):
    kty: Literal["EC"]
    crv: Literal["P-256"]
    x: _Base64Of32Bytes
    y: _Base64Of32Bytes
    use: Literal["sig"]
    alg: Literal["ES256"]


class _PrivateTokenJwk(_PublicTokenJwk):
    d: _Base64Of32Bytes = Field(repr=False)


class _SealingJwk(_Jwk):
    kty: Literal["oct"]
    k: _Base64Of32Bytes = Field(repr=False)
    use: Literal["enc"]
    alg: Literal["A256GCM"]


class _Jwks(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    keys: Annotated[
        tuple[Annotated[_PublicTokenJwk | _SealingJwk, Field(discriminator="kty")], ...],
        Field(min_length=1, max_length=_MOST_KEYS),
    ]


@dataclass(frozen=True, slots=True)
class SealingKey:
    """A key that seals resume tokens: 32 bytes."""

    key_id: str
    secret: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """A new one."""
        return cls(secrets.token_hex(8), secrets.token_bytes(SEALING_KEY_BYTES))

    @property
    def jwk(self) -> dict[str, str]:
        """It, as it stands in a key set."""
        return {
            "kty": "oct",
            "use": "enc",
            "alg": "A256GCM",
            "kid": self.key_id,
            "k": base64.urlsafe_b64encode(self.secret).rstrip(b"=").decode(),
        }


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A private key that issues tokens, ECDSA on P-256; it belongs to the issuer alone."""

    key_id: str
    private: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """A new one, named by its thumbprint (RFC 7638): in hexadecimal, as commands take it.

        In base64url it could begin with a dash and be taken for an option.
        """
        private = ec.generate_private_key(ec.SECP256R1())
        jwk = ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
        canonical = json.dumps(jwk, sort_keys=True, separators=(",", ":")).encode()
        return cls(hashlib.sha256(canonical).hexdigest(), private)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads one private JWK.

        Raises:
            InvalidInput: KEYS_INVALID, with the field at fault and what is allowed.
        """
        jwk = _validated(_PrivateTokenJwk, _loaded(text))
        key = _on_curve(jwk)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise _invalid("the key is no private one")
        return cls(jwk.kid, key)

    def to_json(self) -> str:
        """The private JWK."""
        return _json(ECAlgorithm.to_jwk(self.private, as_dict=True) | self._about)

    @property
    def jwk(self) -> dict[str, str]:
        """The public half, as it stands in a key set."""
        return ECAlgorithm.to_jwk(self.private.public_key(), as_dict=True) | self._about

    @property
    def _about(self) -> dict[str, str]:
        return {"use": "sig", "alg": "ES256", "kid": self.key_id}


@dataclass(frozen=True, slots=True)
class KeySet:
    """Keys by what they are for.

    Attributes:
        token_keys: Public keys that verify tokens, by id.
        sealing_keys: Keys of resume tokens: the first seals, all open.
    """

    token_keys: Mapping[str, ec.EllipticCurvePublicKey]
    sealing_keys: tuple[SealingKey, ...]

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads a JWKS.

        Raises:
            InvalidInput: KEYS_INVALID, with the field at fault and what is allowed; never with a
                key's value.
        """
        jwks = _validated(_Jwks, _loaded(text)).keys
        ids = [jwk.kid for jwk in jwks]
        for number, key_id in enumerate(ids):
            if key_id in ids[:number]:
                raise _invalid(
                    f"keys.{number}.kid: {key_id!r} stands there twice; every key has its own",
                    f"keys.{number}.kid",
                )
        token_keys: dict[str, ec.EllipticCurvePublicKey] = {}
        for number, jwk in enumerate(jwks):
            if isinstance(jwk, _PublicTokenJwk):
                key = _on_curve(jwk, f"keys.{number}")
                if isinstance(key, ec.EllipticCurvePublicKey):
                    token_keys[jwk.kid] = key
        sealing = (jwk for jwk in jwks if isinstance(jwk, _SealingJwk))
        return cls(token_keys, tuple(SealingKey(jwk.kid, _bytes(jwk.k)) for jwk in sealing))

    def token_key(self, key_id: str) -> ec.EllipticCurvePublicKey | None:
        """The key that verifies tokens under an id; None: there is none."""
        return self.token_keys.get(key_id)

    def sealing_key(self, key_id: str) -> SealingKey | None:
        """The key that opens resume tokens under an id; None: there is none."""
        return next((key for key in self.sealing_keys if key.key_id == key_id), None)


def read_key_set(path: Path) -> KeySet:
    """Reads a JWKS file.

    Raises:
        InvalidInput: KEYS_INVALID, with the file, the field and what is allowed.
    """
    text = read_text(path, reason=_REASON, field=_FIELD)
    try:
        return KeySet.from_json(text)
    except InvalidInput as error:
        raise _of_file(path, error) from error


def read_token_key(path: Path) -> TokenKey:
    """Reads a file with one private JWK; raises as `read_key_set`."""
    text = read_text(path, reason=_REASON, field=_FIELD)
    try:
        return TokenKey.from_json(text)
    except InvalidInput as error:
        raise _of_file(path, error) from error


def key_set_json(keys: Iterable[TokenKey | SealingKey]) -> str:
    """A JWKS of the public halves of token keys and of sealing keys, in their order."""
    return _json({"keys": [key.jwk for key in keys]})


def with_token_key(text: str | None, key: TokenKey) -> str:
    """A JWKS that takes the tokens of one more key.

    Args:
        text: The JWKS; None: a new one, with a key for resume tokens.
        key: Its public half is added.

    Raises:
        InvalidInput: KEYS_INVALID.
    """
    if text is None:
        return key_set_json([key, SealingKey.generate()])
    jwks = _validated(_Jwks, _loaded(text))
    return _json({"keys": [*(one.model_dump() for one in jwks.keys), key.jwk]})


def without_key(text: str, key_id: str) -> str:
    """A JWKS without one of its keys.

    Raises:
        InvalidInput: KEYS_INVALID, also where it has no such key, or no other.
    """
    jwks = _validated(_Jwks, _loaded(text))
    left = [one.model_dump() for one in jwks.keys if one.kid != key_id]
    if len(left) == len(jwks.keys):
        there = ", ".join(one.kid for one in jwks.keys)
        raise _invalid(f"there is no key {key_id!r}; there are {there}")
    if not left:
        raise _invalid(f"{key_id!r} is its only key; add another one before")
    return _json({"keys": left})


def _json(value: Any) -> str:
    return json.dumps(value, indent=2) + "\n"


def _loaded(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError):
        # The parser's own words would repeat what stands in the file.
        raise _invalid("it is no JSON, or states a member twice") from None


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is stated twice")
    return members


_Model = TypeVar("_Model", bound=BaseModel)


def _validated(model: type[_Model], value: Any) -> _Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        # Within a union the discriminator's value stands in the place, too.
        place = ".".join(str(part) for part in first["loc"] if part not in {"EC", "oct"})
        raise _invalid(
            f"{place or _FIELD}: {first['msg']}; allowed are EC keys of P-256 "
            "(use sig, alg ES256) and oct keys of 256 bits (use enc, alg A256GCM)",
            place or _FIELD,
        ) from None


def _on_curve(
    jwk: _PublicTokenJwk, place: str = _FIELD
) -> ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey:
    try:
        return ECAlgorithm.from_jwk(jwk.model_dump())
    except (InvalidKeyError, ValueError):
        raise _invalid(
            f"{place}: x and y are no point of P-256, or not those of d", place
        ) from None


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=")


def _invalid(message: str, field_name: str | None = _FIELD) -> InvalidInput:
    return InvalidInput(message, reason=_REASON, field=field_name)


def _of_file(path: Path, error: InvalidInput) -> InvalidInput:
    return _invalid(f"{path}: {error.message}", error.field)
