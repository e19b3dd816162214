"""What is told of connections that did not come about."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from voiceflow.client.failures import ON_THE_WAY, is_cut, is_no_connection, no_connection
from voiceflow.client.identity import ClientIdentity
from voiceflow.client.retry import RetryPolicy, pause_before_retry
from voiceflow.errors import Forbidden, Unauthenticated, Unavailable, Untrusted, VoiceFlowError

FAILED = "failed to connect to all addresses; last error: UNKNOWN: ipv4:10.0.0.1:1: "
HANDSHAKE = f"{FAILED}Tls handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: error:1:SSL:"


def told(details: str, identity: ClientIdentity | None) -> VoiceFlowError:
    """What becomes of gRPC's text."""
    error = grpc.aio.AioRpcError(
        grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), details
    )
    assert is_no_connection(error)
    return no_connection(error, "the server at a:1", "a:1", identity)


@pytest.mark.parametrize(
    ("alert", "words"),
    [
        ("SSLV3_ALERT_CERTIFICATE_EXPIRED", "certificate expired"),
        ("TLSV1_ALERT_UNKNOWN_CA", "unknown ca"),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "certificate required"),
    ],
)
def test_what_a_server_says_of_a_certificate_is_told(alert: str, words: str) -> None:
    """Servers of older TLS say so during the handshake."""
    error = told(f"{HANDSHAKE}OPENSSL_internal:{alert}: ok: OK", ClientIdentity(Path("ca.pem")))
    assert isinstance(error, Unauthenticated)
    assert error.reason == "CERTIFICATE_REFUSED"
    assert words in error.message


def test_a_fault_without_words_of_its_own_is_told_as_grpc_says_it() -> None:
    """Over TLS and without; it may pass by itself."""
    for identity in (None, ClientIdentity(Path("ca.pem"))):
        error = told(f"{FAILED}Failed to connect to remote host: Connection refused", identity)
        assert isinstance(error, Unavailable)
        assert error.message == "the server at a:1 cannot be reached: Connection refused"


@pytest.mark.parametrize(
    "beginning", ["failed to connect to all addresses", "connections to all backends failing"]
)
def test_one_address_and_many_fail_alike(beginning: str) -> None:
    """There are other words for a target whose addresses are asked in turn."""
    error = told(f"{beginning}; last error: UNKNOWN: ipv4:10.0.0.1:1: Broken pipe", None)
    assert error.message.startswith("the server at a:1 cannot be reached")


@pytest.mark.parametrize(
    ("code", "details", "expected"),
    [
        (grpc.StatusCode.INTERNAL, "Received RST_STREAM with error code 2", True),
        (grpc.StatusCode.CANCELLED, "Received RST_STREAM with error code 8", True),
        (grpc.StatusCode.UNKNOWN, "Received RST_STREAM with error code 0", True),
        (grpc.StatusCode.INTERNAL, "Internal error from Core", True),
        (grpc.StatusCode.CANCELLED, "CANCELLED", True),
        (grpc.StatusCode.CANCELLED, "", True),
        (grpc.StatusCode.INTERNAL, "the server failed; its log says why", False),
        (grpc.StatusCode.CANCELLED, "the caller has left", False),
        (grpc.StatusCode.ABORTED, "no RST_STREAM came", False),
    ],
)
def test_a_stream_that_was_reset_is_told_from_one_that_failed(
    code: grpc.StatusCode, details: str, *, expected: bool
) -> None:
    """Only where the server itself has said nothing."""
    metadata = grpc.aio.Metadata()
    assert is_cut(grpc.aio.AioRpcError(code, metadata, metadata, details)) is expected


@pytest.mark.parametrize(
    "error",
    [
        *(Untrusted("said", reason=reason) for reason in sorted(ON_THE_WAY)),
        Unauthenticated("said", reason="CREDENTIALS_INVALID"),
        Forbidden("said", reason="ROLE_MISSING"),
    ],
    ids=lambda error: error.reason,
)
def test_who_is_not_known_or_not_allowed_does_not_ask_again(error: VoiceFlowError) -> None:
    """However patient."""
    assert pause_before_retry(RetryPolicy(attempts=100), error, 1, 0.5) is None


def test_patience_of_days_is_counted() -> None:
    """The pause stays the longest, however often it was doubled."""
    policy = RetryPolicy(attempts=2**31, longest_pause_seconds=10.0)
    assert pause_before_retry(policy, Unavailable("away", reason="AWAY"), 100_000, 1.0) == 10.0
