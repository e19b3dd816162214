"""Who a client is, and whom it trusts: what it needs to dial a server over TLS.

Without an identity a client dials in plain text. With one it always speaks TLS, so that a token or
a certificate is never shown where others can listen, nor to a server that could not prove its name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import grpc
from cryptography import x509

from voiceflow.client.renewing import RenewingChannel
from voiceflow.client.targets import stays_on_this_machine
from voiceflow.errors import InvalidInput, Unauthenticated
from voiceflow.identity.certificates import read_certificates
from voiceflow.identity.files import read_file
from voiceflow.identity.reloading import Reloaded

Options = Sequence[tuple[str, str | int]]
"""Of a gRPC channel."""

_UNREADABLE: Final = "CREDENTIALS_UNREADABLE"


@dataclass(frozen=True, slots=True)
class ClientIdentity:
    """Files that say who a client is and whom it trusts; they may change while it runs.

    A renewed certificate or CA is used by the next connection, a renewed token by the next call.
    What is damaged when it is looked at again is logged, and what was there before is used on.

    Attributes:
        ca: PEM: certificates of those that sign the server's; None: the public ones.
        certificate: PEM: the client's own, then those that lead to the root.
        key: PEM: its private key, without a password.
        token_file: A JWT, shown with every call.
        server_name: That the server's certificate must have; None: the name that is dialled.

    Raises:
        InvalidInput: CREDENTIALS_INCOMPLETE: a certificate without its key, or a key alone.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    token_file: Path | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        """Refuses half a pair."""
        if (self.certificate is None) != (self.key is None):
            lacking = "key" if self.key is None else "certificate"
            raise InvalidInput(
                f"a certificate and its key belong together; there is no {lacking}",
                reason="CREDENTIALS_INCOMPLETE",
                field=lacking,
            )

    def open_channel(self, target: str, options: Options = ()) -> RenewingChannel:
        """Reads the files and opens a channel; nothing is dialled before the first call.

        Args:
            target: `host:port`, or any target that gRPC knows.
            options: Of gRPC.

        Raises:
            InvalidInput: CREDENTIALS_UNREADABLE, with the file and what is wrong with it.
            Unauthenticated: CERTIFICATE_EXPIRED: the client's own has ended.
        """
        paths = [path for path in (self.ca, self.certificate, self.key) if path is not None]
        transport = Reloaded("client_certificates", self._transport, paths)
        bearer: list[grpc.CallCredentials] = []
        if self.token_file is not None:
            token = Reloaded("client_token", self._token, [self.token_file])
            bearer = [grpc.metadata_call_credentials(_Bearer(token))]
        if self.server_name is not None:
            options = (*options, ("grpc.ssl_target_name_override", self.server_name))

        def opened() -> grpc.aio.Channel:
            credentials = transport.value
            if bearer:  # gRPC itself refuses to send them over anything but TLS
                credentials = grpc.composite_channel_credentials(credentials, *bearer)
            return grpc.aio.secure_channel(target, credentials, options=options)

        return RenewingChannel(opened, transport.check)

    def check_own_time(self) -> None:
        """Refuses to go on with an own certificate that has ended.

        Raises:
            Unauthenticated: CERTIFICATE_EXPIRED.
            InvalidInput: CREDENTIALS_UNREADABLE.
        """
        if self.certificate is None:
            return
        own = _certificates(self.certificate, "certificate")[0]
        if own.not_valid_after_utc < datetime.now(UTC):
            raise Unauthenticated(
                f"{self.certificate}: the certificate has expired at"
                f" {own.not_valid_after_utc.isoformat()}; it needs to be renewed",
                reason="CERTIFICATE_EXPIRED",
                field="certificate",
            )

    def _transport(self) -> grpc.ChannelCredentials:
        roots = None
        if self.ca is not None:
            roots = read_file(self.ca, reason=_UNREADABLE, field="ca")
            _certificates(self.ca, "ca")
        if self.certificate is None or self.key is None:
            return grpc.ssl_channel_credentials(roots)
        self.check_own_time()
        try:
            own = read_certificates(self.certificate, self.key)
        except InvalidInput as error:
            raise InvalidInput(error.message, reason=_UNREADABLE, field="certificate") from error
        return grpc.ssl_channel_credentials(roots, own.key, own.chain)

    def _token(self) -> str:
        assert self.token_file is not None  # noqa: S101 - read only where there is one
        content = read_file(self.token_file, reason=_UNREADABLE, field="token_file").strip()
        # Nothing else is ever sent as one: neither a private key nor what a template left out.
        if len(content) > MAXIMUM_TOKEN_BYTES or not _JWT.fullmatch(content):
            raise InvalidInput(
                f"{self.token_file}: holds no token: allowed is one signed JWT of at most"
                f" {MAXIMUM_TOKEN_BYTES} bytes, and nothing else",
                reason=_UNREADABLE,
                field="token_file",
            )
        return content.decode()


MAXIMUM_TOKEN_BYTES: Final = 8192
"""Half of the metadata that a server takes."""


def open_channel(
    target: str, identity: ClientIdentity | None, options: Options = ()
) -> grpc.aio.Channel:
    """Opens a channel: over TLS with an identity, in plain text without.

    Raises:
        InvalidInput: CREDENTIALS_UNREADABLE, with the file and what is wrong with it.
        Unauthenticated: CERTIFICATE_EXPIRED: the client's own has ended.
    """
    if identity is not None:
        return identity.open_channel(target, options)
    if stays_on_this_machine(target):  # also where the environment names a proxy
        options = (*options, ("grpc.enable_http_proxy", 0))
    return grpc.aio.insecure_channel(target, options=options)


def check_plain_text(target: str, identity: ClientIdentity | None, *, insecure: bool) -> None:
    """Refuses to dial in plain text what other machines answer.

    Args:
        target: Where the server is.
        identity: None: plain text.
        insecure: Said out loud: plain text nevertheless.

    Raises:
        InvalidInput: INSECURE_ADDRESS.
    """
    if identity is None and not insecure and not stays_on_this_machine(target):
        raise InvalidInput(
            f"{target} is another machine, and without TLS all that is said would travel in plain"
            " text. Give the CA of its certificate, and a certificate or a token of your own; or"
            " say that plain text is meant (insecure)",
            reason="INSECURE_ADDRESS",
            field="target",
        )


class _Bearer(grpc.AuthMetadataPlugin):
    """Shows the token of a file with each call; called on threads of gRPC."""

    def __init__(self, token: Reloaded[str]) -> None:
        self._token = token

    def __call__(
        self, context: grpc.AuthMetadataContext, callback: grpc.AuthMetadataPluginCallback
    ) -> None:
        del context
        self._token.check()
        callback((("authorization", f"Bearer {self._token.value}"),), None)


_JWT: Final = re.compile(rb"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)


def _certificates(path: Path, field: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(read_file(path, reason=_UNREADABLE, field=field))
    except ValueError as error:
        raise InvalidInput(
            f"{path}: holds no certificates in PEM", reason=_UNREADABLE, field=field
        ) from error
