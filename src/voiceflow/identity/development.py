"""Identity for development and tests: a local CA, a certificate for every role, grants and keys.

What it writes is for one machine: whoever reads the folder is every role.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from voiceflow.errors import AlreadyExists, InvalidInput
from voiceflow.identity.caller import CallerRole
from voiceflow.identity.files import write_file
from voiceflow.identity.key_set import SealingKey, TokenKey, key_set_json
from voiceflow.identity.principals import is_trust_domain

TRUST_DOMAIN: Final = "voiceflow.local"
HOSTS: Final = ("localhost", "127.0.0.1", "::1")
VALID_DAYS: Final = 30

_CLOCKS_DIFFER: Final = timedelta(minutes=5)
_POD: Final = "pod"
_ROLES: Final[Mapping[str, tuple[CallerRole, ...]]] = {
    **{role.value: (role,) for role in CallerRole},
    # Who changes a version or a channel looks at it first, as the commands do.
    CallerRole.PUBLISHER.value: (CallerRole.PUBLISHER, CallerRole.READER),
    CallerRole.PROMOTER.value: (CallerRole.PROMOTER, CallerRole.READER),
    CallerRole.OPERATOR.value: (CallerRole.OPERATOR, CallerRole.READER),
    _POD: (CallerRole.CLIENT, CallerRole.READER),
}
"""Roles of each caller that has a certificate."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate with its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def certificate_pem(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key, PKCS #8, without a password."""
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA that issues for development."""

    issued: Issued

    @classmethod
    def make(
        cls, name: str = "VoiceFlow development CA", *, begin: datetime, end: datetime
    ) -> Self:
        """A new one, valid from `begin` to `end`."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _subject(name)
        builder = (
            _builder(subject, key, begin, end)
            .issuer_name(subject)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        )
        return cls(Issued(builder.sign(key, hashes.SHA256()), key))

    @classmethod
    def read(cls, certificate_pem: bytes, key_pem: bytes) -> Self:
        """One that was made before.

        Raises:
            ValueError: The texts are no certificate and key of one.
        """
        key = serialization.load_pem_private_key(key_pem, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("the key is none of an elliptic curve")
        return cls(Issued(x509.load_pem_x509_certificate(certificate_pem), key))

    def issue(
        self,
        name: str,
        names: Sequence[x509.GeneralName],
        *,
        begin: datetime,
        end: datetime,
        server: bool = False,
    ) -> Issued:
        """A certificate for a server or for a caller.

        Args:
            name: Its subject, for people.
            names: What it proves: DNS names and addresses, or the URI of a caller.
            begin: When it begins to hold.
            end: When it ends.
            server: For a server; otherwise for a caller.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        authority = self.issued.certificate
        builder = (
            _builder(_subject(name), key, begin, end)
            .issuer_name(authority.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.issued.key.public_key()),
                critical=False,
            )
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return Issued(builder.sign(self.issued.key, hashes.SHA256()), key)


def write_development_identity(
    folder: Path,
    *,
    trust_domain: str = TRUST_DOMAIN,
    hosts: Sequence[str] = HOSTS,
    valid_days: int = VALID_DAYS,
    force: bool = False,
    now: datetime | None = None,
) -> tuple[Path, ...]:
    """Writes everything that services and callers on one machine need to know each other.

    `ca.pem`, `server.pem`, a certificate for every role and `pod.pem`, each with its `-key.pem`;
    `access.yaml`, which grants the roles; `keys.json`, the key set; `token-key.json`, which issues
    tokens. Private files are for their owner alone.

    Args:
        folder: Made if it is not there.
        trust_domain: Of the principals, `spiffe://<trust domain>/<role>/dev`.
        hosts: Names and addresses of the server.
        valid_days: For how long certificates hold.
        force: Replace what is there.
        now: From when on; None: now.

    Returns:
        The files.

    Raises:
        AlreadyExists: FILES_EXIST: some of the files are there.
        InvalidInput: TRUST_DOMAIN_INVALID, HOST_INVALID or VALIDITY_INVALID.
    """
    if not is_trust_domain(trust_domain):
        raise InvalidInput(
            f"trust_domain: {trust_domain[:200]!r}; allowed are a-z, 0-9, dot, hyphen and "
            "underscore",
            reason="TRUST_DOMAIN_INVALID",
            field="trust_domain",
        )
    if not 1 <= valid_days <= 3650:
        raise InvalidInput(
            f"valid_days: {valid_days}; allowed are 1 to 3650",
            reason="VALIDITY_INVALID",
            field="valid_days",
        )
    begin = now or datetime.now(UTC)
    files = _files(
        trust_domain,
        [_host(host) for host in hosts],
        begin - _CLOCKS_DIFFER,
        begin + timedelta(days=valid_days),
    )
    if not folder.exists():
        folder.mkdir(parents=True, mode=0o700)
    there = [name for name in files if (folder / name).is_symlink() or (folder / name).exists()]
    if there and not force:
        raise AlreadyExists(
            f"{folder}: holds {there[0]} and {len(there) - 1} more of its files already; --force "
            "replaces them",
            reason="FILES_EXIST",
            field="folder",
        )
    for name, content in files.items():
        write_file(folder / name, content, private=_is_private(name))
    return tuple(folder / name for name in files)


def _files(
    trust_domain: str, hosts: Sequence[x509.GeneralName], begin: datetime, end: datetime
) -> Mapping[str, bytes]:
    """Contents by name."""
    authority = Authority.make(begin=begin, end=end)
    issued = {
        "ca": authority.issued,
        "server": authority.issue("server", hosts, begin=begin, end=end, server=True),
    }
    for who in _ROLES:
        names = [x509.UniformResourceIdentifier(_principal(trust_domain, who))]
        issued[who] = authority.issue(who, names, begin=begin, end=end)
    token_key = TokenKey.generate()
    files: dict[str, bytes] = {}
    for who, one in issued.items():
        files[f"{who}.pem"], files[f"{who}-key.pem"] = one.certificate_pem, one.key_pem
    files["access.yaml"] = _access(trust_domain).encode()
    files["keys.json"] = key_set_json([token_key, SealingKey.generate()]).encode()
    files["token-key.json"] = token_key.to_json().encode()
    return files


def _principal(trust_domain: str, who: str) -> str:
    return f"spiffe://{trust_domain}/{who}/dev"


def _access(trust_domain: str) -> str:
    grants = []
    for who, roles in _ROLES.items():
        grant: dict[str, Any] = {
            "principal": _principal(trust_domain, who),
            "roles": [role.value for role in roles],
        }
        if CallerRole.PUBLISHER in roles:
            grant["models"] = ["*"]
        if who == _POD:
            grant["pods"] = ["*"]
        grants.append(grant)
    return yaml.safe_dump({"schema_version": 1, "grants": grants}, sort_keys=False)


def _is_private(name: str) -> bool:
    return name.endswith(("-key.pem", ".json"))


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    if not re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", host):
        raise InvalidInput(
            f"host: {host[:200]!r}; allowed are an address, or a name of letters, digits, hyphens "
            "and dots",
            reason="HOST_INVALID",
            field="host",
        )
    return x509.DNSName(host)


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name, key: ec.EllipticCurvePrivateKey, begin: datetime, end: datetime
) -> x509.CertificateBuilder:
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


_USAGES: Final = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def _usage(**wanted: bool) -> x509.KeyUsage:
    return x509.KeyUsage(**{usage: wanted.get(usage, False) for usage in _USAGES})
