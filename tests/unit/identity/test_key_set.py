"""The key set: what stands in a JWKS, and what is refused in it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from voiceflow.errors import InvalidInput
from voiceflow.identity.key_set import (
    KeySet,
    SealingKey,
    TokenKey,
    key_set_json,
    read_key_set,
    read_token_key,
)

TOKEN_KEY = TokenKey.generate()
SEALING_KEY = SealingKey.generate()


def refusal(value: Any) -> InvalidInput:
    """How a key set is refused."""
    with pytest.raises(InvalidInput) as caught:
        KeySet.from_json(value if isinstance(value, str) else json.dumps(value))
    assert caught.value.reason == "KEYS_INVALID"
    return caught.value


def test_keys_are_found_by_what_they_are_for() -> None:
    """One that seals verifies no token, and the other way round."""
    other = SealingKey.generate()
    keys = KeySet.from_json(key_set_json([SEALING_KEY, TOKEN_KEY, other]))
    public = keys.token_key(TOKEN_KEY.key_id)
    assert public is not None
    assert public.public_numbers() == TOKEN_KEY.private.public_key().public_numbers()
    assert keys.sealing_keys == (SEALING_KEY, other)
    assert keys.sealing_key(other.key_id) == other
    assert keys.token_key(SEALING_KEY.key_id) is None
    assert keys.sealing_key(TOKEN_KEY.key_id) is None


def test_a_key_set_holds_public_halves_alone() -> None:
    """Whoever may verify tokens may not issue them."""
    assert json.loads(key_set_json([TOKEN_KEY]))["keys"][0].keys() == {
        *("kty", "crv", "x", "y", "use", "alg", "kid")
    }


def test_a_private_key_among_the_public_ones_is_refused() -> None:
    """It was put where every server reads it."""
    error = refusal({"keys": [json.loads(TOKEN_KEY.to_json())]})
    assert error.field == "keys.0.d"


def changed(jwk: dict[str, str], **members: Any) -> dict[str, Any]:
    """A key with members in place of its own; None takes one away."""
    return {name: value for name, value in (jwk | members).items() if value is not None}


@pytest.mark.parametrize(
    ("key", "field"),
    [
        (changed(TOKEN_KEY.jwk, alg="ES384"), "keys.0.alg"),
        (changed(TOKEN_KEY.jwk, alg="HS256"), "keys.0.alg"),
        (changed(TOKEN_KEY.jwk, alg="none"), "keys.0.alg"),
        (changed(TOKEN_KEY.jwk, alg=None), "keys.0.alg"),
        (changed(TOKEN_KEY.jwk, use="enc"), "keys.0.use"),
        (changed(TOKEN_KEY.jwk, use=None), "keys.0.use"),
        (changed(TOKEN_KEY.jwk, crv="P-384"), "keys.0.crv"),
        (changed(TOKEN_KEY.jwk, crv="secp256k1"), "keys.0.crv"),
        (changed(TOKEN_KEY.jwk, kty="RSA"), "keys.0"),
        (changed(TOKEN_KEY.jwk, kty=None), "keys.0"),
        (changed(TOKEN_KEY.jwk, kid=None), "keys.0.kid"),
        (changed(TOKEN_KEY.jwk, kid=""), "keys.0.kid"),
        (changed(TOKEN_KEY.jwk, kid="a" * 65), "keys.0.kid"),
        (changed(TOKEN_KEY.jwk, kid="a\n"), "keys.0.kid"),
        (changed(TOKEN_KEY.jwk, kid=7), "keys.0.kid"),
        (changed(TOKEN_KEY.jwk, y=TOKEN_KEY.jwk["x"]), "keys.0"),
        (changed(TOKEN_KEY.jwk, x="A" * 43, y="A" * 43), "keys.0"),
        (changed(TOKEN_KEY.jwk, x=TOKEN_KEY.jwk["x"] + "="), "keys.0.x"),
        (changed(TOKEN_KEY.jwk, x="AA"), "keys.0.x"),
        (changed(TOKEN_KEY.jwk, jku="https://elsewhere/"), "keys.0.jku"),
        (changed(SEALING_KEY.jwk, k="AAAA"), "keys.0.k"),
        (changed(SEALING_KEY.jwk, k="+" * 43), "keys.0.k"),
        (changed(SEALING_KEY.jwk, k=None), "keys.0.k"),
        (changed(SEALING_KEY.jwk, use="sig"), "keys.0.use"),
        (changed(SEALING_KEY.jwk, alg="HS256"), "keys.0.alg"),
        (changed(SEALING_KEY.jwk, alg="A128GCM"), "keys.0.alg"),
    ],
)
def test_a_key_of_another_kind_is_refused_with_its_field(key: dict[str, Any], field: str) -> None:
    """Nothing is skipped in silence, and no value of a key is repeated."""
    error = refusal({"keys": [key]})
    assert error.field == field
    assert "P-256" in error.message
    assert not [value for value in (key.get("k"), key.get("x")) if value and value in error.message]


def test_an_id_that_stands_there_twice_is_refused() -> None:
    """Which key a token means would depend on the order; across kinds, too."""
    one, two = TokenKey.generate(), SealingKey.generate()
    for keys in (
        [changed(one.jwk), changed(TokenKey.generate().jwk, kid=one.key_id)],
        [changed(one.jwk), changed(two.jwk, kid=one.key_id)],
    ):
        error = refusal({"keys": keys})
        assert error.field == "keys.1.kid"
        assert "twice" in error.message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"keys": []}',
        '{"keys": {}}',
        '{"keys": [null]}',
        json.dumps({"keys": [SEALING_KEY.jwk], "more": 1}),
        "[" * 100_000,
        json.dumps({"keys": [SealingKey.generate().jwk for _ in range(65)]}),
    ],
)
def test_what_is_no_key_set_is_refused(text: str) -> None:
    """No JSON, another form, none or too many keys."""
    refusal(text)


def test_a_member_that_is_stated_twice_is_refused() -> None:
    """Which of the two holds is not left to the reader of JSON."""
    text = key_set_json([SEALING_KEY])
    assert "twice" in refusal(text.replace('"kty"', '"kid": "a", "kty"')).message
    assert "twice" in refusal('{"keys": [], ' + text.lstrip("{\n ")).message


def test_secrets_are_not_shown() -> None:
    """Not where a value is logged, nor where a file is refused."""
    assert SEALING_KEY.jwk["k"] not in repr(SEALING_KEY)
    assert str(SEALING_KEY.secret) not in repr(KeySet({}, (SEALING_KEY,)))
    assert "private" not in repr(TOKEN_KEY)
    text = key_set_json([SEALING_KEY])
    for broken in (text[:-3], text.replace('"enc"', '"sig"'), text.replace("A256GCM", "A256")):
        assert SEALING_KEY.jwk["k"] not in refusal(broken).message


def test_a_token_key_comes_back_from_its_file(tmp_path: Path) -> None:
    """Named by its thumbprint (RFC 7638), which other tools compute, too."""
    path = tmp_path / "token-key.json"
    path.write_text(TOKEN_KEY.to_json(), encoding="utf-8")
    read = read_token_key(path)
    assert read.key_id == TOKEN_KEY.key_id
    assert read.private.private_numbers() == TOKEN_KEY.private.private_numbers()
    assert re.fullmatch(r"[0-9a-f]{64}", read.key_id)


@pytest.mark.parametrize(
    "members", [{"d": None}, {"d": "A" * 43}, {"d": TokenKey.generate().jwk["x"]}, {"kty": "oct"}]
)
def test_what_is_no_private_key_is_refused(tmp_path: Path, members: dict[str, Any]) -> None:
    """A public one, and one whose halves do not belong together; the file is named."""
    path = tmp_path / "token-key.json"
    private = json.loads(TOKEN_KEY.to_json())
    path.write_text(json.dumps(changed(private, **members)), encoding="utf-8")
    with pytest.raises(InvalidInput, match=re.escape(str(path))) as caught:
        read_token_key(path)
    assert caught.value.reason == "KEYS_INVALID"
    assert private["d"] not in caught.value.message


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """As it is in the message of every other fault."""
    for path, what in ((tmp_path / "none.json", "no such file"), (tmp_path, "no regular file")):
        with pytest.raises(InvalidInput, match=what) as caught:
            read_key_set(path)
        assert caught.value.message.startswith(f"{path}: ")


def test_a_key_of_another_curve_never_becomes_a_token_key() -> None:
    """Though its numbers have the right length: the curve is this side's word."""
    foreign = ec.generate_private_key(ec.SECP256K1()).public_key()
    jwk = ECAlgorithm.to_jwk(foreign, as_dict=True) | {"use": "sig", "alg": "ES256", "kid": "a"}
    assert refusal({"keys": [jwk]}).field == "keys.0.crv"
    assert refusal({"keys": [jwk | {"crv": "P-256"}]}).field == "keys.0"
