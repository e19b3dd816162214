"""Certificates: a server's own, read from files, and what a caller's says of it.

The chain of a caller's certificate and its time have been checked by the transport; here it is
asked whom it names. Rules: SPIFFE's X.509-SVID, sections 2 to 5.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID

from voiceflow.artifact import digest_of
from voiceflow.errors import InvalidInput, Unauthenticated
from voiceflow.identity.files import read_file
from voiceflow.identity.principals import is_principal

_LOG = logging.getLogger(__name__)
_REASON: Final = "CERTIFICATE_INVALID"
_PUBLIC: Final = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """What a server shows, and whose certificates it asks for; PEM, as it was checked.

    Attributes:
        chain: Its own certificate, then those that lead to the root.
        key: The private key of the first, PKCS #8.
        client_ca: Whose certificates callers must show; None: callers show none.
    """

    chain: bytes
    key: bytes = field(repr=False)
    client_ca: bytes | None = None


def read_certificates(
    chain_path: Path,
    key_path: Path,
    client_ca_path: Path | None = None,
    *,
    now: datetime | None = None,
) -> CertificateFiles:
    """Reads and checks what a server needs for TLS.

    Args:
        chain_path: PEM: the server's certificate first, each followed by the one that issued it.
        key_path: PEM: its private key, without a password.
        client_ca_path: PEM: certificates of those that issue callers' certificates.
        now: When; None: now.

    Raises:
        InvalidInput: CERTIFICATE_INVALID, with the file and what is wrong with it.
    """
    now = now or datetime.now(UTC)
    chain = _certificates(chain_path, "tls_cert")
    key = _private_key(key_path)
    if key.public_key().public_bytes(*_PUBLIC) != chain[0].public_key().public_bytes(*_PUBLIC):
        raise _invalid(key_path, "tls_key", f"is not the key of the certificate in {chain_path}")
    for certificate in chain:
        _check_time(certificate, chain_path, now)
    for issued, issuer in pairwise(chain):
        _check_issued(issued, issuer, chain_path)
    client_ca = None if client_ca_path is None else _client_ca(client_ca_path, now)
    return CertificateFiles(
        chain=_pem(chain),
        key=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        client_ca=client_ca,
    )


def principal_of(pem: bytes) -> str:
    """Whom a caller's certificate names: its one URI, a SPIFFE ID with a path.

    Args:
        pem: The certificate alone, already checked by the transport.

    Raises:
        Unauthenticated: CREDENTIALS_INVALID: it names nobody, or more than one, or is not one that
            a caller may show. The message is the same for all: whoever sent it knows what it is.
    """
    try:
        certificate = _one(pem)
        _check_is_callers(certificate)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        (principal,) = names.value.get_values_for_type(x509.UniformResourceIdentifier)
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, UnsupportedAlgorithm) as e:
        raise _nobody(str(e)) from e
    if not is_principal(principal):
        raise _nobody("its URI is no SPIFFE ID with a path")
    return principal


def fingerprint(pem: bytes) -> str:
    """`sha256:…` of a certificate, as audits name it.

    Raises:
        Unauthenticated: CREDENTIALS_INVALID: it is none.
    """
    return digest_of(_parsed(pem).public_bytes(serialization.Encoding.DER))


def expire_time(pem: bytes) -> datetime:
    """When a certificate ends; a connection that was made before then may outlast it.

    Raises:
        Unauthenticated: CREDENTIALS_INVALID: it is none.
    """
    return _parsed(pem).not_valid_after_utc


def _parsed(pem: bytes) -> x509.Certificate:
    try:
        return _one(pem)
    except ValueError as error:
        raise _nobody(str(error)) from error


def _one(pem: bytes) -> x509.Certificate:
    """The one certificate of a PEM text; which of several would name the caller is not known."""
    certificates = x509.load_pem_x509_certificates(pem)
    if len(certificates) != 1:
        raise ValueError(f"there are {len(certificates)} certificates")
    return certificates[0]


def _check_is_callers(certificate: x509.Certificate) -> None:
    """A certificate that issues others, or is for servers alone, is no caller's.

    X.509-SVID, 4.1, 4.3 and 4.4; whoever holds a server's files does not become a caller.

    Raises:
        ValueError: It is not.
    """
    extensions = {one.oid: one.value for one in certificate.extensions}
    constraints = extensions.get(x509.BasicConstraints.oid)
    if isinstance(constraints, x509.BasicConstraints) and constraints.ca:
        raise ValueError("it issues certificates")
    usage = extensions.get(x509.KeyUsage.oid)
    if isinstance(usage, x509.KeyUsage):
        if usage.key_cert_sign or usage.crl_sign:
            raise ValueError("it issues certificates")
        if not usage.digital_signature:
            raise ValueError("it is not for signing")
    purposes = extensions.get(x509.ExtendedKeyUsage.oid)
    if (
        isinstance(purposes, x509.ExtendedKeyUsage)
        and ExtendedKeyUsageOID.CLIENT_AUTH not in purposes
    ):
        raise ValueError("it is not for clients")


def _client_ca(path: Path, now: datetime) -> bytes:
    """Those that may issue; one that has ended may stay in the file, but not alone."""
    authorities = _certificates(path, "client_ca")
    for authority in authorities:
        if not _issues(authority):
            raise _invalid(
                path, "client_ca", f"{_name(authority)} is no certificate that issues others"
            )
    if not any(_ended_or_early(authority, now) is None for authority in authorities):
        _check_time(authorities[0], path, now, field_name="client_ca")
    return _pem(authorities)


def _issues(certificate: x509.Certificate) -> bool:
    try:
        extensions = {one.oid: one.value for one in certificate.extensions}
    except (ValueError, x509.DuplicateExtension):
        return False
    constraints = extensions.get(x509.BasicConstraints.oid)
    usage = extensions.get(x509.KeyUsage.oid)
    return (
        isinstance(constraints, x509.BasicConstraints)
        and constraints.ca
        and (not isinstance(usage, x509.KeyUsage) or usage.key_cert_sign)
    )


def _certificates(path: Path, field_name: str) -> list[x509.Certificate]:
    content = read_file(path, reason=_REASON, field=field_name)
    try:
        certificates = x509.load_pem_x509_certificates(content)
    except ValueError as error:
        raise _invalid(path, field_name, "holds no certificates in PEM") from error
    return certificates


def _private_key(path: Path) -> PrivateKeyTypes:
    content = read_file(path, reason=_REASON, field="tls_key")
    try:
        return serialization.load_pem_private_key(content, password=None)
    except TypeError as error:
        raise _invalid(path, "tls_key", "has a password, which nobody is there to type") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _invalid(path, "tls_key", "holds no private key in PEM") from error


def _check_time(
    certificate: x509.Certificate, path: Path, now: datetime, *, field_name: str = "tls_cert"
) -> None:
    if (fault := _ended_or_early(certificate, now)) is not None:
        raise _invalid(path, field_name, f"{_name(certificate)} {fault}")


def _ended_or_early(certificate: x509.Certificate, now: datetime) -> str | None:
    if now > certificate.not_valid_after_utc:
        return f"has expired at {certificate.not_valid_after_utc.isoformat()}"
    if now < certificate.not_valid_before_utc:
        return f"is not valid before {certificate.not_valid_before_utc.isoformat()}"
    return None


def _check_issued(issued: x509.Certificate, issuer: x509.Certificate, path: Path) -> None:
    try:
        issued.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
        raise _invalid(
            path,
            "tls_cert",
            f"{_name(issued)} is followed by {_name(issuer)}, which did not issue it; the server's "
            "own comes first, then each one's issuer",
        ) from error


def _pem(certificates: Sequence[x509.Certificate]) -> bytes:
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


def _name(certificate: x509.Certificate) -> str:
    return f"the certificate of {certificate.subject.rfc4514_string() or 'no subject'}"


def _invalid(path: Path, field_name: str, what: str) -> InvalidInput:
    return InvalidInput(f"{path}: {what}", reason=_REASON, field=field_name)


def _nobody(why: str) -> Unauthenticated:
    _LOG.debug("refused a certificate: %s", why)
    return Unauthenticated("the certificate names no caller", reason="CREDENTIALS_INVALID")
