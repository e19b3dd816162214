"""Signing keys: files that their owner alone reads, and signatures anybody can check."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from securesystemslib.dsse import Envelope

from tests.fakes.trust import key
from voiceflow.errors import InvalidInput, TooLarge, Untrusted
from voiceflow.trust.envelopes import MAXIMUM_ENVELOPE_BYTES, PayloadType, opened
from voiceflow.trust.signing import (
    SigningKey,
    read_public_key,
    write_public_key,
)
from voiceflow.trust.strict_json import parsed


@pytest.mark.parametrize("password", [None, b"correct horse"])
def test_a_key_is_read_as_it_was_written(tmp_path: Path, password: bytes | None) -> None:
    """A key comes back with its id; the file is its owner's alone, and is not written twice."""
    path = tmp_path / "key.pem"
    one = SigningKey.generate()
    one.write(path, password)
    assert SigningKey.read(path, password).key_id == one.key_id
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        one.write(path)


def test_a_password_seals_the_key(tmp_path: Path) -> None:
    """Without the password, with another, or with one where none is needed: a line about that."""
    sealed, plain = tmp_path / "sealed.pem", tmp_path / "plain.pem"
    key("a").write(sealed, b"right")
    key("a").write(plain)
    for path, password, word, reason in (
        (sealed, None, "needs its password", "KEY_PASSWORD_MISSING"),
        (sealed, b"wrong", "not its password", "KEY_INVALID"),
        (plain, b"any", "needs no password", "KEY_INVALID"),
    ):
        with pytest.raises(InvalidInput, match=word) as refusal:
            SigningKey.read(path, password)
        assert refusal.value.reason == reason
        assert str(path) in refusal.value.message


def test_the_public_half_is_a_file_of_its_own(tmp_path: Path) -> None:
    """It comes back with the same id; the private half is not taken for it."""
    path = tmp_path / "key.pub"
    write_public_key(key("a").public, path)
    assert read_public_key(path) == key("a").public
    key("a").write(tmp_path / "key.pem")
    with pytest.raises(InvalidInput, match="no public key"):
        read_public_key(tmp_path / "key.pem")
    with pytest.raises(InvalidInput, match="no private key"):
        SigningKey.read(path)


def test_keys_of_another_kind_are_refused(tmp_path: Path) -> None:
    """Ed25519 alone may sign."""
    other = generate_private_key(SECP256R1())
    private, public = tmp_path / "p256.pem", tmp_path / "p256.pub"
    private.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(
        other.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    with pytest.raises(InvalidInput, match="Ed25519"):
        SigningKey.read(private)
    with pytest.raises(InvalidInput, match="Ed25519"):
        read_public_key(public)


def test_a_point_that_everybody_can_sign_for_is_no_public_key(tmp_path: Path) -> None:
    """It is refused before it comes into a trust root."""
    path = tmp_path / "weak.pub"
    weak = Ed25519PublicKey.from_public_bytes(bytes([1]).ljust(32, b"\0"))
    path.write_bytes(weak.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(InvalidInput, match="everybody could sign for it") as refusal:
        read_public_key(path)
    assert refusal.value.reason == "KEY_INVALID"


@pytest.mark.parametrize("content", [b"", b"no key", None])
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """Empty, something else, not there: one reason, and the file is named."""
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    for read in (SigningKey.read, read_public_key):
        with pytest.raises(InvalidInput) as refusal:
            read(path)
        assert (refusal.value.reason, refusal.value.field) == ("KEY_INVALID", str(path))


def test_an_endless_file_is_read_no_further_than_a_key_reaches(tmp_path: Path) -> None:
    """A device or a pipe that is named by mistake takes no memory."""
    path = tmp_path / "endless"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    for read in (SigningKey.read, read_public_key):
        with pytest.raises(InvalidInput) as refusal:
            read(path)
        assert refusal.value.reason == "KEY_INVALID"


def test_a_key_does_not_show_in_a_text() -> None:
    """The text of a key is its id."""
    assert repr(key("a")) == f"SigningKey({key('a').key_id})"


def test_a_signature_is_a_dsse_envelope() -> None:
    """Any DSSE tool reads it: payload, type, key id, and a signature over both."""
    content = parsed(key("a").sign(b"payload", PayloadType.MANIFEST).content)
    assert isinstance(content, dict)
    envelope = Envelope.from_dict(content)
    assert envelope.payload == b"payload"
    assert envelope.payload_type == "application/vnd.voiceflow.manifest.v1+json"
    assert envelope.pae() == b"DSSEv1 42 application/vnd.voiceflow.manifest.v1+json 7 payload"
    assert set(envelope.verify([key("a").public], 1)) == {key("a").key_id}


def test_a_second_key_signs_the_same_payload() -> None:
    """Both count; signing again with one of them changes nothing (Ed25519 has no randomness)."""
    one = key("a").sign(b"payload", PayloadType.MANIFEST)
    both = key("b").sign_also(one, PayloadType.MANIFEST)
    keys = [key("a").public, key("b").public]
    assert opened(both, PayloadType.MANIFEST, keys=keys).signers == {one.keyid for one in keys}
    assert key("b").sign_also(both, PayloadType.MANIFEST) == both


def test_a_second_signature_is_not_put_under_another_payload_type() -> None:
    """Who adds a signature says what it is over."""
    with pytest.raises(Untrusted) as refusal:
        key("b").sign_also(key("a").sign(b"payload", PayloadType.MANIFEST), PayloadType.PROMOTION)
    assert refusal.value.reason == "SIGNATURE_INVALID"


def test_a_payload_too_long_for_an_envelope_is_not_signed() -> None:
    """What could not be opened is not signed: about 48 KB are the most."""
    signature = key("a").sign(b"x" * 48_000, PayloadType.MANIFEST)
    assert len(signature.content) <= MAXIMUM_ENVELOPE_BYTES
    with pytest.raises(TooLarge) as refusal:
        key("a").sign(b"x" * 49_200, PayloadType.MANIFEST)
    assert refusal.value.reason == "SIZE_LIMIT"
