"""How a server is secured: its settings, what it reads for them, and who it finds to be calling.

With TLS, every caller has an identity: that of the token it brings, else that of its certificate.
Without, on loopback, it has none: whoever reaches the server may do everything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Self

import grpc
from pydantic import Field, model_validator
from pydantic_settings import BaseSettings

from voiceflow.errors import InvalidInput, Unauthenticated
from voiceflow.identity.caller import Caller, CallerRole
from voiceflow.identity.certificates import (
    CertificateFiles,
    expire_time,
    fingerprint,
    principal_of,
    read_certificates,
)
from voiceflow.identity.grants import Grants, read_grants
from voiceflow.identity.key_set import KeySet, read_key_set
from voiceflow.identity.reloading import Reloaded
from voiceflow.identity.tokens import TokenVerifier
from voiceflow.rpc.handlers import Context
from voiceflow.rpc.peer import address_of, host_of

_LOG = logging.getLogger(__name__)

Clock = Callable[[], datetime]

_NOW: Final[Clock] = partial(datetime.now, UTC)


Audience = Annotated[
    str, Field(min_length=1, description="tokens that are not for this audience are refused")
]


class SecuritySettings(BaseSettings):
    """Settings of a server that say how it is secured; a service adds its own.

    The audience is each service's own, so that a token for one of them is none for the other.
    """

    keys_seal: ClassVar[bool] = False
    """Whether the service seals with the key set, so that it is of use without TLS, too."""

    insecure: bool = Field(
        default=False,
        description="listen in plain text on an address that other machines can reach",
    )
    tls_cert: Path | None = Field(
        None, description="PEM: the server's certificate, then those that lead to its root"
    )
    tls_key: Path | None = Field(None, description="PEM: the private key of that certificate")
    client_ca: Path | None = Field(
        None, description="PEM: who issues clients' certificates; every client has to show one"
    )
    access: Path | None = Field(None, description="YAML: which roles are granted to whom")
    keys: Path | None = Field(
        None,
        description="JWKS: the keys that clients' tokens are signed with, and those that seal"
        " resume tokens",
    )
    token_audience: Audience
    reload_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        10.0, description="how often these files are looked at for changes"
    )
    health_port: Annotated[int, Field(ge=0, le=65535)] | None = Field(
        None,
        description="port that answers health checks in plain text, and nothing else; for probes"
        " that know no TLS",
    )
    health_host: str = Field("127.0.0.1", description="address of the health port")

    @model_validator(mode="after")
    def _security_fits_together(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("--tls-cert and --tls-key: one goes with the other")
        if self.tls_cert is None:
            for name in ("client_ca", "access", "keys"):
                of_use = name == "keys" and self.keys_seal
                if getattr(self, name) is not None and not of_use:
                    raise ValueError(
                        f"--{name.replace('_', '-')}: without --tls-cert and --tls-key there is no"
                        " telling who calls"
                    )
            return self
        if self.insecure:
            raise ValueError("--insecure: with --tls-cert nothing is said in plain text")
        if self.client_ca is None and self.keys is None:
            raise ValueError(
                "--client-ca or --keys: with --tls-cert, clients show certificates, tokens, or both"
            )
        if self.access is None:
            raise ValueError("--access: with --tls-cert, a file says who may do what")
        return self


@dataclass(frozen=True)
class Identification:
    """What callers are known by.

    Attributes:
        certificates: What the server shows, ready for the transport.
        grants: What callers may do.
        tokens: Knows callers by their tokens; None: no tokens are taken.
        demands_certificate: Callers without a certificate are turned away by the transport.
    """

    certificates: Reloaded[grpc.ServerCertificateConfiguration]
    grants: Reloaded[Grants]
    tokens: TokenVerifier | None
    demands_certificate: bool


@dataclass(frozen=True)
class Security:
    """How a server is secured.

    Attributes:
        identification: None: plain text, and callers without identity.
        sources: What is read from files, to be looked at again while the server runs.
        reload_seconds: How often.
        clock: Tells the time, with its zone.
        keys: The key set as it was read last; None: there is none.
    """

    identification: Identification | None = None
    sources: tuple[Reloaded[Any], ...] = ()
    reload_seconds: float = 10.0
    clock: Clock = _NOW
    keys: Reloaded[KeySet] | None = None

    @classmethod
    def development(cls) -> Self:
        """No TLS and no identities: for loopback."""
        return cls()

    @property
    def has_identity(self) -> bool:
        """Whether callers are known, and the connection is encrypted."""
        return self.identification is not None

    def server_credentials(self) -> grpc.ServerCredentials | None:
        """What the transport encrypts with; None: nothing.

        New connections see what was read last.
        """
        if self.identification is None:
            return None
        certificates = self.identification.certificates
        return grpc.dynamic_ssl_server_credentials(
            certificates.value,
            _Changes(certificates),  # type: ignore[arg-type] # None is allowed: nothing has changed
            self.identification.demands_certificate,
        )

    def identify(self, context: Context) -> Caller:
        """Tells who calls.

        A token, where there is one, is the identity, though the certificate names another.

        Raises:
            Unauthenticated: CREDENTIALS_MISSING, CREDENTIALS_INVALID, CREDENTIALS_EXPIRED.
        """
        peer = address_of(context.peer())
        known = self.identification
        if known is None:
            return _anybody(peer)
        token = _bearer_token(context.invocation_metadata() or ())
        if token is not None:
            principal, credential = _by_token(token, known.tokens)
        else:
            principal, credential = self._by_certificate(context)
        return known.grants.value.caller(principal, credential=credential, peer=peer)

    def _by_certificate(self, context: Context) -> tuple[str, str]:
        certificate_pem = next(iter(context.auth_context().get("x509_pem_cert", ())), None)
        if certificate_pem is None:
            raise Unauthenticated(
                "who calls is not known: show a certificate, or a token in the metadata"
                " `authorization: Bearer …`",
                reason="CREDENTIALS_MISSING",
            )
        certificate = _read(certificate_pem)
        # The transport has looked at the time, but perhaps long ago: connections live on.
        if certificate.expire_time <= self.clock():
            raise Unauthenticated(
                "the certificate has expired since the connection was made",
                reason="CREDENTIALS_EXPIRED",
            )
        return certificate.principal, certificate.fingerprint


def open_security(settings: SecuritySettings, clock: Clock = _NOW) -> Security:
    """Reads what the settings name.

    Raises:
        InvalidInput: CERTIFICATE_INVALID, ACCESS_INVALID, KEYS_INVALID; the message names the file.
    """
    chain, key, access = settings.tls_cert, settings.tls_key, settings.access
    if chain is None or key is None or access is None:  # the settings are all or nothing
        return _development(settings)
    client_ca = settings.client_ca
    certificates = Reloaded(
        "certificates",
        lambda: _configuration(read_certificates(chain, key, client_ca)),
        [path for path in (chain, key, client_ca) if path is not None],
    )
    grants = Reloaded("access", partial(read_grants, access), [access])
    sources: tuple[Reloaded[Any], ...] = (certificates, grants)
    tokens: TokenVerifier | None = None
    keys: Reloaded[KeySet] | None = None
    if settings.keys is not None:
        keys = key_set = Reloaded("keys", partial(read_key_set, settings.keys), [settings.keys])
        if client_ca is None and not key_set.value.token_keys:
            raise InvalidInput(
                f"{settings.keys}: holds no key of tokens, and there is no --client-ca: nobody"
                " could prove who calls",
                reason="KEYS_INVALID",
                field="keys",
            )
        tokens = TokenVerifier(lambda: key_set.value, settings.token_audience, clock)
        sources = (*sources, keys)
    return Security(
        Identification(certificates, grants, tokens, demands_certificate=client_ca is not None),
        sources,
        settings.reload_seconds,
        clock,
        keys,
    )


def _development(settings: SecuritySettings) -> Security:
    """Nobody is known; the key set seals, and no token is looked at."""
    if settings.keys is None:
        return Security.development()
    keys = Reloaded("keys", partial(read_key_set, settings.keys), [settings.keys])
    if keys.value.token_keys:
        _LOG.warning("--keys: without --tls-cert it seals, and nobody is known by a token")
    return replace(
        Security.development(),
        sources=(keys,),
        reload_seconds=settings.reload_seconds,
        keys=keys,
    )


class _Changes:
    """What gRPC asks, on a thread of its own, before each handshake: other certificates now?

    The answer is ready: nothing is read here, and nothing can fail.
    """

    def __init__(self, certificates: Reloaded[grpc.ServerCertificateConfiguration]) -> None:
        self._certificates = certificates
        self._given = certificates.value

    def __call__(self) -> grpc.ServerCertificateConfiguration | None:
        newest = self._certificates.value
        if newest is self._given:
            return None
        self._given = newest
        return newest


@dataclass(frozen=True, slots=True)
class _Certificate:
    principal: str
    fingerprint: str
    expire_time: datetime


@lru_cache(maxsize=1024)
def _read(pem: bytes) -> _Certificate:
    """What a caller's certificate says; a connection shows the same one with every call."""
    return _Certificate(principal_of(pem), fingerprint(pem), expire_time(pem))


def _configuration(files: CertificateFiles) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(files.key, files.chain)], files.client_ca)


def _anybody(peer: str) -> Caller:
    return Caller(
        f"host:{host_of(peer)}",
        frozenset(CallerRole),
        models=("*",),
        pods=("*",),
        peer=peer,
    )


def _by_token(token: str, verifier: TokenVerifier | None) -> tuple[str, str]:
    if verifier is None:
        raise Unauthenticated("this server takes no tokens", reason="CREDENTIALS_INVALID")
    identity = verifier.verify(token)
    return identity.principal, f"jti:{identity.token_id}"


def _bearer_token(metadata: Iterable[tuple[str, str | bytes]]) -> str | None:
    """The token in a call's metadata; None: there is none."""
    values = [value for key, value in metadata if key == "authorization"]
    if not values:
        return None
    scheme, _, token = str(values[0]).partition(" ")
    if len(values) > 1 or scheme.lower() != "bearer" or not token:
        raise Unauthenticated(
            "the metadata `authorization` holds no one token: `Bearer …`",
            reason="CREDENTIALS_INVALID",
        )
    return token
