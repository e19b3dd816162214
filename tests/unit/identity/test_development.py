"""The identity for development: everything belongs together, and private files stay private."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from tests.fakes.identity import development_identity, other_authority, pair
from voiceflow.errors import AlreadyExists, InvalidInput, Unauthenticated
from voiceflow.identity.caller import CallerRole
from voiceflow.identity.certificates import expire_time, principal_of, read_certificates
from voiceflow.identity.development import write_development_identity
from voiceflow.identity.grants import read_grants
from voiceflow.identity.key_set import read_key_set, read_token_key
from voiceflow.identity.sealing import Sealer
from voiceflow.identity.tokens import TokenVerifier, issue_token

CALLERS = (*(role.value for role in CallerRole), "pod")
READS_TOO = ("publisher", "promoter", "operator", "pod")


@pytest.mark.parametrize("who", CALLERS)
def test_every_role_has_a_certificate_that_is_granted_that_role(who: str) -> None:
    """No other but to read, for those that look before they change; a pod has what pods need."""
    files, folder = pair(who), development_identity()
    read_certificates(files.certificate, files.key, files.ca)
    principal = principal_of(files.certificate.read_bytes())
    assert principal == f"spiffe://voiceflow.local/{who}/dev"
    caller = read_grants(folder / "access.yaml").caller(principal)
    pod = who == "pod"
    own = CallerRole.CLIENT if pod else CallerRole(who)
    reads = {CallerRole.READER} if who in READS_TOO else set()
    assert caller.roles == {own} | reads
    assert caller.owns_model("any") == (who == CallerRole.PUBLISHER)
    assert caller.is_pod("any", "model") == pod


@pytest.mark.parametrize("who", [*CALLERS, "server"])
def test_every_certificate_was_issued_by_the_ca_beside_it(who: str) -> None:
    """And by no other of the same name."""
    issued = x509.load_pem_x509_certificate(pair(who).certificate.read_bytes())
    issued.verify_directly_issued_by(x509.load_pem_x509_certificate(pair(who).ca.read_bytes()))
    other = x509.load_pem_x509_certificate((other_authority() / "ca.pem").read_bytes())
    with pytest.raises(InvalidSignature):
        issued.verify_directly_issued_by(other)


def test_the_ca_issues_for_callers_and_for_no_further_ca() -> None:
    """Its certificate says so."""
    authority = x509.load_pem_x509_certificate(pair("server").ca.read_bytes())
    constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (constraints.ca, constraints.path_length) == (True, 0)


def test_the_server_is_reached_by_names_and_addresses(tmp_path: Path) -> None:
    """Those that were asked for, and it is no caller."""
    write_development_identity(tmp_path, hosts=("example.internal", "10.0.0.1", "::1"))
    server = x509.load_pem_x509_certificate((tmp_path / "server.pem").read_bytes())
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["example.internal"]
    assert names.get_values_for_type(x509.IPAddress) == [
        ip_address("10.0.0.1"),
        ip_address("::1"),
    ]
    with pytest.raises(Unauthenticated):
        principal_of((tmp_path / "server.pem").read_bytes())


def test_tokens_and_resume_tokens_have_their_keys() -> None:
    """What the one file issues, the other verifies."""
    folder = development_identity()
    keys = read_key_set(folder / "keys.json")
    token = issue_token(
        read_token_key(folder / "token-key.json"),
        principal="spiffe://voiceflow.local/reader/dev",
        audience="voiceflow-registry",
        valid_seconds=60,
    )
    identity = TokenVerifier(lambda: keys, "voiceflow-registry").verify(token)
    assert identity.principal == "spiffe://voiceflow.local/reader/dev"
    sealer = Sealer(lambda: keys)
    end = datetime.now(UTC) + timedelta(hours=1)
    assert sealer.open(sealer.seal(b"x", bound_to=b"", expire_time=end), bound_to=b"") == b"x"


def test_private_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    """So is the folder, unless it was there before."""
    folder = tmp_path / "new" / "identity"
    files = write_development_identity(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert sorted(files) == sorted(folder.iterdir())
    for file in files:
        private = b"PRIVATE" in file.read_bytes() or file.suffix == ".json"
        assert stat.S_IMODE(file.stat().st_mode) == (0o600 if private else 0o644), file.name


def test_nothing_is_replaced_unless_it_is_said(tmp_path: Path) -> None:
    """One file of them suffices; with force, all are new, and private again."""
    key = tmp_path / "ca-key.pem"
    key.write_text("mine", encoding="utf-8")
    key.chmod(0o644)
    with pytest.raises(AlreadyExists, match=r"ca-key\.pem") as caught:
        write_development_identity(tmp_path)
    assert caught.value.reason == "FILES_EXIST"
    assert [path.name for path in tmp_path.iterdir()] == ["ca-key.pem"]
    assert key.read_text("utf-8") == "mine"
    write_development_identity(tmp_path, force=True)
    assert "PRIVATE" in key.read_text("utf-8")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    """A private key never goes where somebody else pointed it."""
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "identity"
    folder.mkdir()
    (folder / "server-key.pem").symlink_to(elsewhere)
    with pytest.raises(AlreadyExists):
        write_development_identity(folder)
    write_development_identity(folder, force=True)
    assert not elsewhere.exists()
    assert not (folder / "server-key.pem").is_symlink()


def test_certificates_hold_for_as_long_as_was_asked(tmp_path: Path) -> None:
    """From a little before now, since clocks differ."""
    now = datetime(2030, 1, 1, tzinfo=UTC)
    write_development_identity(tmp_path, valid_days=2, trust_domain="example.org", now=now)
    pem = (tmp_path / "pod.pem").read_bytes()
    assert expire_time(pem) == now + timedelta(days=2)
    assert x509.load_pem_x509_certificate(pem).not_valid_before_utc < now
    assert principal_of(pem) == "spiffe://example.org/pod/dev"
    assert read_grants(tmp_path / "access.yaml").caller("spiffe://example.org/pod/dev").roles


def test_what_cannot_be_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    """A trust domain, a host, a time."""
    folder = tmp_path / "identity"
    for trust_domain in ("", "A", "a/b", "a b"):
        with pytest.raises(InvalidInput) as caught:
            write_development_identity(folder, trust_domain=trust_domain)
        assert caught.value.reason == "TRUST_DOMAIN_INVALID"
    for host in ("", "a b", "ä", "a/b", "127.0.0.1:50051", "a..b", "*"):
        with pytest.raises(InvalidInput) as caught:
            write_development_identity(folder, hosts=("localhost", host))
        assert caught.value.reason == "HOST_INVALID"
    for valid_days in (0, -1, 3651):
        with pytest.raises(InvalidInput) as caught:
            write_development_identity(folder, valid_days=valid_days)
        assert caught.value.reason == "VALIDITY_INVALID"
    assert not folder.exists()
