"""A server's own certificates, and whom a caller's names."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.fakes.identity import (
    certificate,
    development_identity,
    expired,
    other_authority,
    pair,
)
from voiceflow.artifact import digest_of
from voiceflow.errors import InvalidInput, Unauthenticated
from voiceflow.identity.certificates import (
    expire_time,
    fingerprint,
    principal_of,
    read_certificates,
)
from voiceflow.identity.development import Authority

ALICE = "spiffe://voiceflow.local/publisher/alice"
NOW = datetime.now(UTC)


def refusal(
    chain: Path, key: Path, client_ca: Path | None = None, now: datetime | None = None
) -> InvalidInput:
    """How a server's files are refused."""
    with pytest.raises(InvalidInput) as caught:
        read_certificates(chain, key, client_ca, now=now)
    assert caught.value.reason == "CERTIFICATE_INVALID"
    return caught.value


def test_the_files_of_a_server_are_read() -> None:
    """The chain, its key and whose callers are let in."""
    server = pair("server")
    read = read_certificates(server.certificate, server.key, server.ca)
    assert read.chain == server.certificate.read_bytes()
    assert read.key == server.key.read_bytes()
    assert read.client_ca == server.ca.read_bytes()
    assert read_certificates(server.certificate, server.key).client_ca is None


def test_a_private_key_is_not_shown() -> None:
    """Not even where the value is logged."""
    server = pair("server")
    assert "PRIVATE" not in repr(read_certificates(server.certificate, server.key))


def test_what_else_stands_in_a_file_is_not_passed_on(tmp_path: Path) -> None:
    """What was checked is what is used: certificates alone, without the key beside them."""
    server = pair("server")
    both = tmp_path / "both.pem"
    both.write_bytes(b"# mine\n" + server.key.read_bytes() + server.certificate.read_bytes())
    assert read_certificates(both, both).chain == server.certificate.read_bytes()


def test_a_chain_leads_from_the_server_to_its_issuer(tmp_path: Path) -> None:
    """In that order; callers follow it step by step."""
    server = pair("server")
    chain = tmp_path / "chain.pem"
    chain.write_bytes(server.certificate.read_bytes() + server.ca.read_bytes())
    assert read_certificates(chain, server.key).chain == chain.read_bytes()
    chain.write_bytes(server.certificate.read_bytes() + (other_authority() / "ca.pem").read_bytes())
    assert "which did not issue it" in refusal(chain, server.key).message
    chain.write_bytes(server.ca.read_bytes() + server.certificate.read_bytes())
    assert "is not the key" in refusal(chain, server.key).message


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (None, "there is no such file"),
        (b"", "holds no certificates in PEM"),
        (b"hello", "holds no certificates in PEM"),
        (
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "holds no certificates in PEM",
        ),
        (b"x" * (1024 * 1024 + 1), "has more than"),
    ],
)
def test_a_file_without_certificates_is_named(
    tmp_path: Path, content: bytes | None, what: str
) -> None:
    """Be it the server's or that of those who issue callers' certificates."""
    server, odd = pair("server"), tmp_path / "odd.pem"
    if content is not None:
        odd.write_bytes(content)
    for error, field in (
        (refusal(odd, server.key), "tls_cert"),
        (refusal(server.certificate, server.key, odd), "client_ca"),
    ):
        assert error.message.startswith(f"{odd}: {what}")
        assert error.field == field


def test_a_key_that_is_not_that_of_the_certificate_is_refused(tmp_path: Path) -> None:
    """Another key, none at all, and one behind a password; never with its content."""
    server, odd = pair("server"), tmp_path / "odd-key.pem"
    assert (
        "is not the key of the certificate"
        in refusal(server.certificate, pair("client").key).message
    )
    odd.write_bytes(b"hello")
    assert "holds no private key" in refusal(server.certificate, odd).message
    key = serialization.load_pem_private_key(server.key.read_bytes(), None)
    odd.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"word"),
        )
    )
    error = refusal(server.certificate, odd)
    assert error.message == f"{odd}: has a password, which nobody is there to type"
    assert error.field == "tls_key"


def test_a_certificate_is_refused_outside_its_time(tmp_path: Path) -> None:
    """A server that showed it would be refused by every caller."""
    old = expired(tmp_path, ALICE)
    assert "has expired at" in refusal(old.certificate, old.key).message
    server = pair("server")
    early = NOW - timedelta(days=1)
    assert "is not valid before" in refusal(server.certificate, server.key, now=early).message


def test_who_issues_no_certificates_is_no_ca(tmp_path: Path) -> None:
    """A caller's own certificate in its place would let in nobody, or only that caller."""
    server, authorities = pair("server"), tmp_path / "ca.pem"
    authorities.write_bytes(server.ca.read_bytes() + pair("client").certificate.read_bytes())
    error = refusal(server.certificate, server.key, authorities)
    assert "CN=client is no certificate that issues others" in error.message


def authority(tmp_path: Path, *, begin: datetime, end: datetime) -> Path:
    """A file of a CA."""
    path = tmp_path / f"ca-{begin.timestamp()}.pem"
    path.write_bytes(Authority.make(begin=begin, end=end).issued.certificate_pem)
    return path


def test_a_ca_that_has_ended_may_stay_but_not_alone(tmp_path: Path) -> None:
    """A rotation must not keep a server from starting; a list of the dead lets in nobody."""
    server, authorities = pair("server"), tmp_path / "ca.pem"
    old = authority(tmp_path, begin=NOW - timedelta(days=2), end=NOW - timedelta(days=1))
    assert "has expired" in refusal(server.certificate, server.key, old).message
    authorities.write_bytes(old.read_bytes() + server.ca.read_bytes())
    assert read_certificates(server.certificate, server.key, authorities).client_ca is not None


def odd(
    tmp_path: Path, principal: str | None, uris: tuple[str, ...] = (), **names: object
) -> bytes:
    """A certificate of one's own, as the transport gives it."""
    made = certificate(tmp_path, principal, uris=uris, **names)  # type: ignore[arg-type]
    return made.certificate.read_bytes()


def test_a_caller_is_whom_its_one_uri_names(tmp_path: Path) -> None:
    """Its subject and its DNS names say nothing."""
    assert principal_of(odd(tmp_path, ALICE)) == ALICE
    assert principal_of(odd(tmp_path, ALICE, dns=("spiffe.a.b", "localhost"))) == ALICE
    pod = pair("pod").certificate.read_bytes()
    assert principal_of(pod) == "spiffe://voiceflow.local/pod/dev"


def _two(tmp_path: Path) -> bytes:
    return odd(tmp_path, ALICE) + odd(tmp_path, "spiffe://voiceflow.local/operator/dev")


ODD: dict[str, Callable[[Path], bytes]] = {
    "no URI": lambda to: odd(to, None),
    "a DNS name alone": lambda to: odd(to, None, dns=("localhost",)),
    "a DNS name that looks like a URI": lambda to: odd(to, None, dns=(ALICE,)),
    "two URIs": lambda to: odd(to, ALICE, ("spiffe://voiceflow.local/operator/dev",)),
    "the same URI twice": lambda to: odd(to, ALICE, (ALICE,)),
    "a second URI of another kind": lambda to: odd(to, ALICE, ("https://voiceflow.local/",)),
    "a URI that is no SPIFFE ID": lambda to: odd(to, "https://voiceflow.local/operator/dev"),
    "a trust domain alone": lambda to: odd(to, "spiffe://voiceflow.local"),
    "a dot segment": lambda to: odd(to, "spiffe://voiceflow.local/x/../operator/dev"),
    "an escape": lambda to: odd(to, "spiffe://voiceflow.local/x%2foperator/dev"),
    "a wildcard": lambda to: odd(to, "spiffe://voiceflow.local/publisher/*"),
    "a NUL": lambda to: odd(to, "spiffe://voiceflow.local/operator/dev\x00.evil"),
    "a line's end": lambda to: odd(to, "spiffe://voiceflow.local/operator/dev\n"),
    "for servers alone": lambda to: odd(to, ALICE, server=True),
    "a CA": lambda _: pair("server").ca.read_bytes(),
    "two certificates": _two,
    "none": lambda _: b"",
    "no PEM": lambda _: b"hello",
    "no certificate": lambda _: b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
}


@pytest.mark.parametrize("what", ODD)
def test_r42_a_certificate_that_names_nobody_for_certain_is_refused(
    tmp_path: Path, what: str
) -> None:
    """With the same words for all: nothing of what it says is repeated."""
    with pytest.raises(Unauthenticated) as caught:
        principal_of(ODD[what](tmp_path))
    assert caught.value.reason == "CREDENTIALS_INVALID"
    assert caught.value.message == "the certificate names no caller"


def made(*, ca: bool, **usages: bool) -> bytes:
    """A certificate with a caller's URI and usages of one's own."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    none = dict.fromkeys(
        (
            *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
            *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
        ),
        False,
    )
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(NOW - timedelta(hours=1))
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**(none | usages)), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(ALICE)]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize(
    ("ca", "usages"),
    [
        (True, {"digital_signature": True}),
        (False, {"digital_signature": True, "key_cert_sign": True}),
        (False, {"digital_signature": True, "crl_sign": True}),
        (False, {"key_agreement": True}),
    ],
)
def test_a_certificate_that_issues_others_is_no_callers(ca: bool, usages: dict[str, bool]) -> None:
    """Though it has a caller's URI; nor is one that signs nothing."""
    assert principal_of(made(ca=False, digital_signature=True)) == ALICE
    with pytest.raises(Unauthenticated):
        principal_of(made(ca=ca, **usages))


@pytest.mark.parametrize(("ca", "key_cert_sign"), [(True, False), (False, True), (False, False)])
def test_a_ca_is_what_says_so_twice(tmp_path: Path, ca: bool, key_cert_sign: bool) -> None:
    """In its constraints and in its usage."""
    server, authorities = pair("server"), tmp_path / "ca.pem"
    authorities.write_bytes(made(ca=True, key_cert_sign=True))
    assert read_certificates(server.certificate, server.key, authorities).client_ca is not None
    authorities.write_bytes(made(ca=ca, key_cert_sign=key_cert_sign))
    assert (
        "is no certificate that issues"
        in refusal(server.certificate, server.key, authorities).message
    )


def test_a_fingerprint_is_the_digest_of_the_certificate() -> None:
    """Of its DER, as other tools print it, whatever stands around it in PEM."""
    pem = pair("client").certificate.read_bytes()
    der = x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)
    assert fingerprint(b"# a comment\n" + pem) == digest_of(der)
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", fingerprint(pem))


def test_when_a_certificate_ends_is_told(tmp_path: Path) -> None:
    """So that a call on an old connection can be refused."""
    end = datetime(2040, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert expire_time(odd(tmp_path, ALICE, end=end)) == end


@pytest.mark.parametrize("read", [fingerprint, expire_time])
def test_what_is_no_certificate_has_neither(read: Callable[[bytes], object]) -> None:
    """The caller is told that its credentials are none."""
    for pem in (b"", b"hello", pair("client").certificate.read_bytes() * 2):
        with pytest.raises(Unauthenticated) as caught:
            read(pem)
        assert caught.value.reason == "CREDENTIALS_INVALID"


def test_folders_of_identities_are_not_shared() -> None:
    """Who trusts the one does not trust the other."""
    assert development_identity() != other_authority()
