"""Tokens: whom they name, and everything that makes one worth nothing."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from voiceflow.errors import InvalidInput, Unauthenticated
from voiceflow.identity.key_set import KeySet, SealingKey, TokenKey, key_set_json
from voiceflow.identity.tokens import MAXIMUM_TOKEN_BYTES, TokenVerifier, issue_token

ALICE = "spiffe://voiceflow.local/publisher/alice"
AUDIENCE = "voiceflow-registry"
NOW = datetime(2030, 1, 1, tzinfo=UTC)
BEGIN = int(NOW.timestamp())
KEY = TokenKey.generate()
OTHER_KEY = TokenKey.generate()
SEALING_KEY = SealingKey.generate()
KEYS = KeySet.from_json(key_set_json([KEY, SEALING_KEY]))
CLAIMS: dict[str, Any] = {
    "sub": ALICE,
    "aud": AUDIENCE,
    "iat": BEGIN,
    "exp": BEGIN + 900,
    "jti": "one",
}


def verifier(now: datetime = NOW, keys: KeySet = KEYS) -> TokenVerifier:
    """Verifies at a time of one's own."""
    return TokenVerifier(lambda: keys, AUDIENCE, clock=lambda: now)


def segment(content: bytes) -> str:
    """A part of a token."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def signed(claims: Any, key: TokenKey = KEY, **headers: Any) -> str:
    """A token with a signature that holds, whatever it says."""
    header = {"alg": "ES256", "kid": key.key_id, "typ": "JWT"} | headers
    said = {name: value for name, value in header.items() if value is not None}
    content = json.dumps(claims).encode()
    signing = f"{segment(json.dumps(said).encode())}.{segment(content)}"
    algorithm = jwt.get_algorithm_by_name("ES256")
    return f"{signing}.{segment(algorithm.sign(signing.encode(), key.private))}"


def claimed(**claims: Any) -> str:
    """A signed token with claims in place of the usual ones; None takes one away."""
    said = {name: value for name, value in (CLAIMS | claims).items() if value is not None}
    return signed(said)


def refusal(token: str, now: datetime = NOW, keys: KeySet = KEYS) -> str:
    """The reason that a token is refused for; what it says is never repeated."""
    with pytest.raises(Unauthenticated) as caught:
        verifier(now, keys).verify(token)
    assert caught.value.message in {"the token is not valid here", "the token has expired"}
    assert caught.value.__cause__ is None
    return caught.value.reason


def test_a_token_names_its_subject() -> None:
    """With its id, for audits, and its end."""
    identity = verifier().verify(claimed())
    assert (identity.principal, identity.token_id) == (ALICE, "one")
    assert identity.expire_time == NOW + timedelta(seconds=900)


def test_what_is_issued_is_taken_until_it_ends() -> None:
    """By servers that have the public key, whatever else stands in the key set."""
    token = issue_token(KEY, principal=ALICE, audience=AUDIENCE, valid_seconds=60, now=NOW)
    assert verifier().verify(token).principal == ALICE
    ids = {
        verifier()
        .verify(issue_token(KEY, principal=ALICE, audience=AUDIENCE, valid_seconds=60, now=NOW))
        .token_id
        for _ in range(3)
    }
    assert len(ids) == 3


def test_the_audience_may_be_one_of_several() -> None:
    """A list that names this server among others is for it."""
    assert verifier().verify(claimed(aud=["elsewhere", AUDIENCE])).principal == ALICE


@pytest.mark.parametrize(
    "audience",
    [
        *(None, "", "voiceflow-inference", [], ["elsewhere"], 7, {}, [7], [[AUDIENCE]]),
        *(AUDIENCE + "x", AUDIENCE[:-1], AUDIENCE.upper(), {AUDIENCE: 1}, f"x {AUDIENCE}"),
    ],
)
def test_r42_a_token_for_somebody_else_is_refused(audience: Any) -> None:
    """A service could otherwise use at another what it was shown itself."""
    assert refusal(claimed(aud=audience)) == "CREDENTIALS_INVALID"


def test_r42_an_expired_token_is_told_so_after_some_leeway() -> None:
    """Clocks differ by a little; 30 seconds."""
    end = NOW + timedelta(seconds=900)
    assert verifier(end + timedelta(seconds=29)).verify(claimed()).principal == ALICE
    assert refusal(claimed(), end + timedelta(seconds=30)) == "CREDENTIALS_EXPIRED"


def test_only_a_genuine_token_is_told_that_it_has_expired() -> None:
    """A forged one learns nothing of the clock."""
    late = NOW + timedelta(days=1)
    forged = signed(CLAIMS, OTHER_KEY, kid=KEY.key_id)
    assert refusal(forged, late) == "CREDENTIALS_INVALID"
    assert refusal(claimed(aud="elsewhere"), late) == "CREDENTIALS_INVALID"


@pytest.mark.parametrize("claim", ["iat", "nbf"])
def test_a_token_of_the_future_is_refused(claim: str) -> None:
    """But for the leeway."""
    assert verifier().verify(claimed(**{claim: BEGIN + 30})).principal == ALICE
    assert refusal(claimed(**({"nbf": BEGIN} | {claim: BEGIN + 31}))) == "CREDENTIALS_INVALID"


@pytest.mark.parametrize("end", [BEGIN + 3601, BEGIN + 10**8, BEGIN, BEGIN - 1])
def test_a_token_that_is_valid_for_too_long_is_refused(end: int) -> None:
    """An hour at most, whoever issued it: nothing takes one back."""
    assert verifier().verify(claimed(exp=BEGIN + 3600)).principal == ALICE
    assert refusal(claimed(exp=end)) == "CREDENTIALS_INVALID"


@pytest.mark.parametrize("claim", ["sub", "aud", "iat", "exp", "jti"])
def test_every_claim_is_needed(claim: str) -> None:
    """Without an end it would hold for ever, without an id no audit could name it."""
    assert refusal(claimed(**{claim: None})) == "CREDENTIALS_INVALID"


@pytest.mark.parametrize("claim", ["iat", "exp", "nbf"])
@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), BEGIN + 0.5, str(BEGIN), True, -1, 2**33, 10**400, [BEGIN], {}],
)
def test_a_time_is_a_whole_number_of_seconds(claim: str, value: Any) -> None:
    """NaN is neither before nor after any other, and would never end."""
    assert refusal(claimed(**{claim: value})) == "CREDENTIALS_INVALID"


@pytest.mark.parametrize(
    "subject",
    [
        *("", "alice", 7, [ALICE], {}, "spiffe://voiceflow.local", ALICE + "/..", ALICE + "\n"),
        *("spiffe://voiceflow.local/publisher/*", "spiffe://voiceflow.local/x/%2e%2e/operator"),
        *("host:127.0.0.1", "https://voiceflow.local/publisher/alice"),
    ],
)
def test_a_subject_is_a_spiffe_id(subject: Any) -> None:
    """As with certificates."""
    assert refusal(claimed(sub=subject)) == "CREDENTIALS_INVALID"


@pytest.mark.parametrize("token_id", ["", "a b", "a\n", "é", "a" * 129, 7, ["a"], "a;b"])
def test_an_id_is_fit_for_an_audit(token_id: Any) -> None:
    """It stands in logs and records."""
    assert refusal(claimed(jti=token_id)) == "CREDENTIALS_INVALID"


def _public_pem(key: TokenKey) -> bytes:
    return key.private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _hmac(secret: bytes, algorithm: str = "HS256") -> str:
    header = segment(json.dumps({"alg": algorithm, "kid": KEY.key_id, "typ": "JWT"}).encode())
    signing = f"{header}.{segment(json.dumps(CLAIMS).encode())}"
    return f"{signing}.{segment(hmac.new(secret, signing.encode(), hashlib.sha256).digest())}"


def _changed_claims(token: str) -> str:
    header, _, signature = token.split(".")
    other = CLAIMS | {"sub": "spiffe://voiceflow.local/operator/dev"}
    return f"{header}.{segment(json.dumps(other).encode())}.{signature}"


def _none(token: str, spelling: str) -> str:
    header = segment(json.dumps({"alg": spelling, "kid": KEY.key_id}).encode())
    return f"{header}.{token.split('.')[1]}."


def _malleable(token: str) -> str:
    """The signature in DER, as other formats have it."""
    head, _, last = token.rpartition(".")
    raw = base64.urlsafe_b64decode(last + "==")
    return f"{head}.{segment(jwt.utils.raw_to_der_signature(raw, KEY.private.curve))}"


FORGED: dict[str, Callable[[], str]] = {
    "another's signature": lambda: signed(CLAIMS, OTHER_KEY, kid=KEY.key_id),
    "another's key": lambda: signed(CLAIMS, OTHER_KEY),
    "other claims": lambda: _changed_claims(claimed()),
    "no signature": lambda: claimed().rpartition(".")[0] + ".",
    "zeros for a signature": lambda: claimed().rpartition(".")[0] + "." + segment(bytes(64)),
    "a signature in DER": lambda: _malleable(claimed()),
    "alg none": lambda: _none(claimed(), "none"),
    "alg None": lambda: _none(claimed(), "None"),
    "alg empty": lambda: _none(claimed(), ""),
    "HS256 with the public key": lambda: _hmac(_public_pem(KEY)),
    "HS256 with the public JWK": lambda: _hmac(json.dumps(KEY.jwk).encode()),
    "HS256 with the sealing key": lambda: _hmac(SEALING_KEY.secret),
    "ES256 said, HS256 meant": lambda: _hmac(_public_pem(KEY), "ES256"),
    "ES384": lambda: signed(CLAIMS, alg="ES384"),
    "ES256K": lambda: signed(CLAIMS, alg="ES256K"),
    "alg in lower case": lambda: signed(CLAIMS, alg="es256"),
    "no alg": lambda: signed(CLAIMS, alg=None),
    "alg a list": lambda: signed(CLAIMS, alg=["ES256"]),
    "no kid": lambda: signed(CLAIMS, kid=None),
    "kid unknown": lambda: signed(CLAIMS, kid="another"),
    "kid of a sealing key": lambda: signed(CLAIMS, kid=SEALING_KEY.key_id),
    "kid a list": lambda: signed(CLAIMS, kid=[KEY.key_id]),
    "kid a path": lambda: signed(CLAIMS, kid="../../dev/null"),
    "its own key": lambda: signed(CLAIMS, OTHER_KEY, jwk=OTHER_KEY.jwk, kid=KEY.key_id),
    "its own key set": lambda: signed(CLAIMS, jku="https://elsewhere/keys"),
    "its own certificate": lambda: signed(CLAIMS, x5u="https://elsewhere/"),
    "something critical": lambda: signed(CLAIMS, crit=["exp"]),
    "b64 off": lambda: signed(CLAIMS, b64=False, crit=["b64"]),
    "another type": lambda: signed(CLAIMS, typ="at+jwt"),
    "a type that is none": lambda: signed(CLAIMS, typ=["JWT"]),
    "claims a list": lambda: signed([CLAIMS]),
    "claims null": lambda: signed(None),
    "header deep": lambda: segment(b"[" * 2000) + "." + claimed().partition(".")[2],
    "header a list": lambda: segment(b"[]") + "." + claimed().partition(".")[2],
    "empty": lambda: "",
    "dots": lambda: "..",
    "two parts": lambda: claimed().rpartition(".")[0],
    "four parts": lambda: claimed() + ".x",
    "padding": lambda: claimed() + "==",
    "foreign characters": lambda: claimed() + "!!!!",
    "a word before": lambda: "Bearer " + claimed(),
    "no ASCII": lambda: claimed() + "é",
    "a lone surrogate": lambda: claimed() + "\udc80",
}


@pytest.mark.parametrize("what", FORGED)
def test_r42_a_forged_token_is_refused(what: str) -> None:
    """Whatever it says of its own algorithm and key; all with the same words."""
    assert refusal(FORGED[what]()) == "CREDENTIALS_INVALID"


def test_types_that_jwt_svid_allows_are_taken() -> None:
    """JWT, JOSE, or none."""
    for kind in ("JWT", "JOSE", None):
        assert verifier().verify(signed(CLAIMS, typ=kind)).principal == ALICE


def test_a_token_of_any_length_is_refused_without_reading_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Metadata may hold much; a genuine one has a few hundred bytes."""
    fits = claimed(more="x" * 100)
    assert verifier().verify(fits).principal == ALICE
    monkeypatch.setattr(jwt, "get_unverified_header", lambda token: pytest.fail(token[:20]))
    assert refusal(claimed(more="x" * MAXIMUM_TOKEN_BYTES)) == "CREDENTIALS_INVALID"


def test_a_key_that_was_removed_verifies_nothing_more() -> None:
    """And one that was added does, from the same moment on."""
    keys = [KEYS]
    looks = TokenVerifier(lambda: keys[0], AUDIENCE, clock=lambda: NOW)
    assert looks.verify(claimed()).principal == ALICE
    keys[0] = KeySet.from_json(key_set_json([OTHER_KEY]))
    with pytest.raises(Unauthenticated):
        looks.verify(claimed())
    assert looks.verify(signed(CLAIMS, OTHER_KEY)).principal == ALICE


def test_no_token_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Only why it was refused, for whoever asks for details."""
    caplog.set_level(logging.DEBUG)
    tokens = [make() for make in FORGED.values()] + [claimed(aud="elsewhere"), claimed(exp=BEGIN)]
    for token in tokens:
        refusal(token)
    said = " ".join(record.getMessage() for record in caplog.records)
    assert "refused a token" in said
    pieces = {piece for token in tokens for piece in token.split(".") if len(piece) > 16}
    assert not [piece for piece in pieces if piece in said]
    assert ALICE not in said


@given(
    st.one_of(
        st.text(max_size=60),
        st.lists(st.binary(max_size=30).map(segment), min_size=1, max_size=4).map(".".join),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["alg", "kid", "typ", "crit", "b64"]), inner, max_size=4
                )
            ),
            max_leaves=8,
        ).map(lambda header: f"{segment(json.dumps(header).encode())}.e30.AAAA"),
    )
)
def test_no_text_brings_the_verifier_down(token: str) -> None:
    """Anybody may send anything."""
    assert refusal(token) == "CREDENTIALS_INVALID"


def pieces_changed() -> Iterator[str]:
    """A good token with one of its letters changed, for each of them in turn.

    By the highest bit, and by the lowest, which in a last letter only fills up the byte.
    """
    token = claimed()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for place, letter in enumerate(token):
        if letter != ".":
            for bit in (32, 1):
                other = alphabet[alphabet.index(letter) ^ bit]
                yield token[:place] + other + token[place + 1 :]


def test_a_change_anywhere_breaks_the_token() -> None:
    """In the header, the claims or the signature."""
    for token in pieces_changed():
        assert refusal(token) == "CREDENTIALS_INVALID"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"principal": "alice"}, "PRINCIPAL_INVALID"),
        ({"principal": "spiffe://voiceflow.local/pod/*"}, "PRINCIPAL_INVALID"),
        ({"audience": ""}, "AUDIENCE_INVALID"),
        ({"valid_seconds": 0}, "VALIDITY_INVALID"),
        ({"valid_seconds": 3601}, "VALIDITY_INVALID"),
        ({"valid_seconds": float("nan")}, "VALIDITY_INVALID"),
    ],
)
def test_what_no_server_would_take_is_not_issued(given: dict[str, Any], reason: str) -> None:
    """The issuer hears of it first."""
    wanted: dict[str, Any] = {"principal": ALICE, "audience": AUDIENCE, "valid_seconds": 60}
    with pytest.raises(InvalidInput) as caught:
        issue_token(KEY, **(wanted | given))
    assert caught.value.reason == reason
