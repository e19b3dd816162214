"""Which settings of security go together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.fakes.echo import Settings
from tests.fakes.identity import development_identity, pair
from voiceflow.errors import InvalidInput
from voiceflow.identity.key_set import SealingKey, key_set_json
from voiceflow.rpc.security import open_security

PLAIN: dict[str, Any] = {}
TLS: dict[str, Any] = {"tls_cert": Path("server.pem"), "tls_key": Path("server-key.pem")}
WHO: dict[str, Any] = {"access": Path("access.yaml"), "client_ca": Path("ca.pem")}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"tls_cert": Path("server.pem")}, "--tls-cert and --tls-key"),
        ({"tls_key": Path("server-key.pem")}, "--tls-cert and --tls-key"),
        ({"client_ca": Path("ca.pem")}, "--client-ca: without --tls-cert"),
        ({"access": Path("access.yaml")}, "--access: without --tls-cert"),
        ({"keys": Path("keys.json")}, "--keys: without --tls-cert"),
        (TLS, "--client-ca or --keys"),
        (TLS | {"access": Path("access.yaml")}, "--client-ca or --keys"),
        (TLS | {"client_ca": Path("ca.pem")}, "--access"),
        (TLS | {"keys": Path("keys.json")}, "--access"),
        (TLS | WHO | {"insecure": True}, "--insecure"),
        (TLS | WHO | {"reload_seconds": 0.0}, "greater than 0"),
        (TLS | WHO | {"token_audience": ""}, "at least 1 character"),
        ({"health_port": 65536}, "less than or equal to 65535"),
    ],
)
def test_what_does_not_go_together_is_refused(settings: dict[str, Any], said: str) -> None:
    """Nothing is left out in silence: the message names the setting and what it lacks."""
    with pytest.raises(ValidationError) as caught:
        Settings(**settings)
    assert said in caught.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    "settings", [{}, {"insecure": True}, TLS | WHO, TLS | WHO | {"keys": Path("keys.json")}]
)
def test_what_goes_together_is_taken(settings: dict[str, Any]) -> None:
    """Plain text, certificates, and certificates with tokens."""
    Settings(**settings)


def test_without_tls_nothing_is_read() -> None:
    """Callers have no identity and the transport no credentials."""
    security = open_security(Settings(**PLAIN))
    assert not security.has_identity
    assert security.server_credentials() is None
    assert security.sources == ()


class Sealing(Settings):
    """Of a service that seals resume tokens."""

    keys_seal = True


def test_without_tls_a_service_that_seals_takes_its_keys_and_knows_nobody_by_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Pods behind a mesh share a key as well; that tokens prove nothing there is said."""
    settings: dict[str, Any] = {"keys": development_identity() / "keys.json"}
    security = open_security(Sealing(**settings))
    assert not security.has_identity
    assert security.keys is not None
    assert security.keys.value.sealing_keys
    assert security.sources == (security.keys,)
    assert "nobody is known by a token" in caplog.text
    others: list[dict[str, Any]] = [{"client_ca": Path("ca.pem")}, {"access": Path("a.yaml")}]
    for other in others:
        with pytest.raises(ValidationError, match="without --tls-cert"):
            Sealing(**other)


GOOD: dict[str, Any] = {
    "tls_cert": pair("server").certificate,
    "tls_key": pair("server").key,
    "client_ca": pair("server").ca,
    "access": development_identity() / "access.yaml",
    "keys": development_identity() / "keys.json",
}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("tls_cert", "CERTIFICATE_INVALID"),
        ("tls_key", "CERTIFICATE_INVALID"),
        ("client_ca", "CERTIFICATE_INVALID"),
        ("access", "ACCESS_INVALID"),
        ("keys", "KEYS_INVALID"),
    ],
)
def test_a_file_that_holds_something_else_is_refused(
    name: str, reason: str, tmp_path: Path
) -> None:
    """Before anything is served; the message names the file."""
    bad = tmp_path / "bad-file"
    bad.write_text("not this")
    with pytest.raises(InvalidInput, match="bad-file") as caught:
        open_security(Settings(**GOOD | {name: bad}))
    assert caught.value.reason == reason


def test_keys_that_nobody_can_prove_himself_by_are_refused(tmp_path: Path) -> None:
    """Keys that only seal, without a CA of clients: the server would start and let nobody in."""
    keys = tmp_path / "sealing.json"
    keys.write_text(key_set_json([SealingKey.generate()]))
    with pytest.raises(InvalidInput, match=r"sealing\.json.*--client-ca") as caught:
        open_security(Settings(**GOOD | {"keys": keys, "client_ca": None}))
    assert (caught.value.reason, caught.value.field) == ("KEYS_INVALID", "keys")
    assert open_security(Settings(**GOOD | {"keys": keys})).has_identity


def test_everything_that_is_read_is_looked_at_again() -> None:
    """Certificates, grants and keys; a file that is not among them would never be renewed."""
    security = open_security(Settings(**GOOD, reload_seconds=3.0))
    assert [source.what for source in security.sources] == ["certificates", "access", "keys"]
    assert security.reload_seconds == 3.0
    assert security.has_identity
