"""Why a connection did not come about, in words: gRPC tells it as text of its TLS library.

Where trying again is no use before somebody has changed something, the error is none that is
retried. A server that refuses a client's certificate just closes the connection, as one does that
is being restarted: that stays `Unavailable`, and says what else it may be.
"""

from __future__ import annotations

import re
from typing import Final

import grpc

from voiceflow.client.fate import OF_THE_LIBRARY
from voiceflow.client.identity import ClientIdentity
from voiceflow.client.targets import host_of
from voiceflow.errors import Unauthenticated, Unavailable, Untrusted, VoiceFlowError

ON_THE_WAY: Final = frozenset(
    {
        *("SERVER_NOT_TRUSTED", "SERVER_NAME_MISMATCH", "TLS_NOT_SPOKEN"),
        *("CERTIFICATE_EXPIRED", "CERTIFICATE_REFUSED"),
    }
)
"""Reasons of what befell before the server could answer anything."""


def is_no_connection(error: grpc.aio.AioRpcError) -> bool:
    """Whether a call failed because no connection came about."""
    return error.code() is grpc.StatusCode.UNAVAILABLE and (error.details() or "").startswith(
        _NO_CONNECTION
    )


def is_cut(error: grpc.aio.AioRpcError) -> bool:
    """Whether a call that ran has ended without a word of the server.

    A proxy that loses its server resets the stream, which gRPC tells as one of several codes; a
    server that stops cancels what still runs; and where a server ends a stream that is still
    written to, nobody learns how (`fate`).
    """
    details = error.details() or ""
    return error.code() in _RESET_CODES and (_RESET in details or details in _WORDLESS)


def no_connection(
    error: grpc.aio.AioRpcError, server: str, target: str, identity: ClientIdentity | None
) -> VoiceFlowError:
    """Why no connection came about.

    Args:
        error: Of which `is_no_connection` holds.
        server: For people, such as `the registry at 127.0.0.1:50061`.
        target: That was dialled.
        identity: That was shown; None: plain text.
    """
    details = error.details() or ""
    if identity is None:
        return _plain(server, details)
    return _tls(server, target, details, identity)


def unreachable(server: str, why: str) -> Unavailable:
    """The server, or the way to it, is away."""
    return Unavailable(f"{server} cannot be reached: {why}", reason="UNAVAILABLE")


_NO_CONNECTION: Final = (
    "failed to connect to all addresses",
    "connections to all backends failing",
)
_RESET: Final = "RST_STREAM"
_WORDLESS: Final = frozenset(
    # The last one should be UNAVAILABLE (grpc/grpc#34076).
    {"", OF_THE_LIBRARY, grpc.StatusCode.CANCELLED.name, "Stream removed"}
)
_RESET_CODES: Final = frozenset(
    {grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN}
)
_CLOSED: Final = ("Socket closed", "Connection reset", "Broken pipe")
_UNVERIFIED: Final = re.compile(r"CERTIFICATE_VERIFY_FAILED: ([^:]+)")
_WRONG_NAME: Final = "Hostname Verification Check failed"
_NO_TLS: Final = "WRONG_VERSION_NUMBER"
_ALERT: Final = re.compile(r"(?:SSLV3|TLSV1|TLSV13)_ALERT_([A-Z_]+)")


def _plain(server: str, details: str) -> Unavailable:
    if any(sign in details for sign in _CLOSED):
        return unreachable(
            server,
            "it closed the connection; if it speaks TLS, give the CA of its certificate (ca)",
        )
    return unreachable(server, _last(details))


def _tls(server: str, target: str, details: str, identity: ClientIdentity) -> VoiceFlowError:
    if unverified := _UNVERIFIED.search(details):
        return _not_trusted(server, unverified[1].strip(), identity)
    if _WRONG_NAME in details:
        name = identity.server_name or host_of(target)
        return Untrusted(
            f"{server} shows a certificate that does not have the name {name}; dial a name that"
            " it has, or say which one it must have (server name)",
            reason="SERVER_NAME_MISMATCH",
        )
    if _NO_TLS in details:
        return Untrusted(
            f"{server} does not speak TLS, so it cannot prove who it is; serve it with a"
            " certificate, or dial it without credentials, in plain text (insecure)",
            reason="TLS_NOT_SPOKEN",
        )
    if refused := _ALERT.search(details):
        return Unauthenticated(
            f"{server} refuses the certificate of this client, or that there is none:"
            f" {refused[1].lower().replace('_', ' ')}",
            reason="CERTIFICATE_REFUSED",
        )
    if any(sign in details for sign in _CLOSED):
        return _closed(server, identity)
    return unreachable(server, _last(details))


def _not_trusted(server: str, why: str, identity: ClientIdentity) -> Untrusted:
    if "expired" in why or "not yet valid" in why:
        what = f"{why.removeprefix('certificate ')}; it needs another one, or a clock is wrong"
    else:
        trusted = "a public CA" if identity.ca is None else f"a CA in {identity.ca}"
        what = f"is not signed by {trusted} ({why}); give the CA that signed it (ca)"
    return Untrusted(f"{server} shows a certificate that {what}", reason="SERVER_NOT_TRUSTED")


def _closed(server: str, identity: ClientIdentity) -> VoiceFlowError:
    try:
        identity.check_own_time()
    except VoiceFlowError as error:
        return error
    if identity.certificate is None:
        may_be = "it may demand a certificate of the client (certificate, key)"
    else:
        may_be = f"it may not accept {identity.certificate}: signed by another CA, or expired"
    return unreachable(server, f"it closed the connection; {may_be}")


def _last(details: str) -> str:
    """The cause alone: gRPC's list of addresses and layers ends with it."""
    return details.rpartition(": ")[2]
