"""Tokens: short-lived JWTs (RFC 7519) after SPIFFE's JWT-SVID, signed with ES256 alone.

What a token says is looked at only once its signature holds; which key and which algorithm may
verify it is this server's word, not the token's (RFC 8725, 3.1).
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import jwt
from jwt.utils import base64url_decode, base64url_encode

from voiceflow.errors import InvalidInput, Unauthenticated
from voiceflow.identity.key_set import KeySet, TokenKey
from voiceflow.identity.principals import PRINCIPAL_RULE, is_principal

MAXIMUM_TOKEN_BYTES: Final = 4096
MAXIMUM_VALID_SECONDS: Final = 3600
LEEWAY_SECONDS: Final = 30

_LOG = logging.getLogger(__name__)
_ALGORITHM: Final = "ES256"
_TYPES: Final = frozenset({"JWT", "JOSE"})
_TOKEN_ID: Final = re.compile(r"[A-Za-z0-9._~:-]{1,128}")
_OPTIONS: Final[Any] = {
    "require": ["sub", "exp", "iat", "jti"],  # and the audience, since one is asked for
    # Looked at here, by the clock that was given.
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
}


@dataclass(frozen=True, slots=True)
class TokenIdentity:
    """Whom a token names.

    Attributes:
        principal: Its subject, a SPIFFE ID.
        token_id: Its `jti`, for audits.
        expire_time: When it ends.
    """

    principal: str
    token_id: str
    expire_time: datetime


class TokenVerifier:
    """Verifies tokens.

    Args:
        keys: The key set of now.
        audience: What a token must be meant for.
        clock: Gives the time.
    """

    def __init__(
        self,
        keys: Callable[[], KeySet],
        audience: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._keys = keys
        self._audience = audience
        self._clock = clock

    def verify(self, token: str) -> TokenIdentity:
        """Whom a token names.

        Raises:
            Unauthenticated: CREDENTIALS_EXPIRED: it was good, until a while ago;
                CREDENTIALS_INVALID: anything else is wrong with it. Neither says more.
        """
        claims = self._verified(token)
        principal, token_id = claims["sub"], claims["jti"]
        if not is_principal(principal):
            raise _refused("its subject is no SPIFFE ID with a path")
        if not _TOKEN_ID.fullmatch(token_id):
            raise _refused("its id has other characters, or too many")
        begin, end = _seconds(claims, "iat"), _seconds(claims, "exp")
        if not 0 < end - begin <= MAXIMUM_VALID_SECONDS:
            raise _refused("it is valid for too long")
        now = self._clock().timestamp()
        not_before = _seconds(claims, "nbf") if "nbf" in claims else begin
        if max(begin, not_before) > now + LEEWAY_SECONDS:
            raise _refused("it is not valid yet")
        if end <= now - LEEWAY_SECONDS:
            _LOG.info("refused a token: it has expired")
            raise Unauthenticated("the token has expired", reason="CREDENTIALS_EXPIRED")
        return TokenIdentity(principal, token_id, datetime.fromtimestamp(end, UTC))

    def _verified(self, token: str) -> Mapping[str, Any]:
        """What a token claims, of which only the signature, the audience and types are checked."""
        if len(token) > MAXIMUM_TOKEN_BYTES:
            raise _refused("it is too long")
        try:
            if not all(map(_is_canonical, token.split("."))):
                raise _refused("it is written in another way than it was signed")
            header = jwt.get_unverified_header(token)
            key = self._keys().token_key(_key_id(header))
            if key is None:
                raise _refused("it names no key of the key set")
            return jwt.decode(
                token, key, algorithms=[_ALGORITHM], audience=self._audience, options=_OPTIONS
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise _refused(type(error).__name__) from None


def issue_token(
    key: TokenKey,
    *,
    principal: str,
    audience: str,
    valid_seconds: float,
    now: datetime | None = None,
) -> str:
    """Issues a token.

    Args:
        key: Of the issuer.
        principal: Whom it names.
        audience: Whom it is meant for.
        valid_seconds: For how long, from now on; in whole seconds.
        now: When; None: now.

    Raises:
        InvalidInput: PRINCIPAL_INVALID, AUDIENCE_INVALID or VALIDITY_INVALID: no server would take
            it.
    """
    if not is_principal(principal):
        raise InvalidInput(
            f"principal: {principal[:200]!r} is none; allowed is {PRINCIPAL_RULE}",
            reason="PRINCIPAL_INVALID",
            field="principal",
        )
    if not audience:
        raise InvalidInput(
            "audience: names no server; such as voiceflow-registry",
            reason="AUDIENCE_INVALID",
            field="audience",
        )
    if not 1 <= valid_seconds <= MAXIMUM_VALID_SECONDS:
        raise InvalidInput(
            f"valid: {valid_seconds:g} s; allowed are 1 to {MAXIMUM_VALID_SECONDS} s",
            reason="VALIDITY_INVALID",
            field="valid",
        )
    begin = now or datetime.now(UTC)
    claims = {
        "sub": principal,
        "aud": audience,
        "iat": begin,
        "exp": begin + timedelta(seconds=int(valid_seconds)),
        "jti": secrets.token_hex(16),
    }
    return jwt.encode(claims, key.private, algorithm=_ALGORITHM, headers={"kid": key.key_id})


def _is_canonical(part: str) -> bool:
    """Whether a part is written as base64url writes it.

    The decoder overlooks padding, foreign characters and odd last bits, and nothing signs those of
    the signature itself.
    """
    return base64url_encode(base64url_decode(part)) == part.encode("ascii")


def _key_id(header: Mapping[str, Any]) -> str:
    """The id that a header names; one that says more could ask for what nobody here looks at."""
    if header.keys() - {"alg", "kid", "typ"}:
        raise _refused("its header says more than alg, kid and typ")
    if header.get("typ", "JWT") not in _TYPES:
        raise _refused("it is of another kind")
    key_id = header.get("kid")
    if not isinstance(key_id, str):
        raise _refused("it names no key")
    return key_id


def _seconds(claims: Mapping[str, Any], name: str) -> int:
    """A time in whole seconds; NaN would be neither before nor after any other."""
    value = claims[name]
    if type(value) is not int or not 0 <= value < 2**33:
        raise _refused(f"its {name} is no whole number of seconds")
    return value


def _refused(why: str) -> Unauthenticated:
    _LOG.info("refused a token: %s", why)
    return Unauthenticated("the token is not valid here", reason="CREDENTIALS_INVALID")
