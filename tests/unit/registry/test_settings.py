"""What an operator can set, and what becomes of it when it is not allowed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.fakes.identity import pair
from voiceflow.catalog.gates import PUBLISHING_GATES, Gate
from voiceflow.errors import InvalidInput
from voiceflow.validation.sandbox import DEFAULT_FLOOR, Layer
from voiceflow_registry.__main__ import main
from voiceflow_registry.app import build, default_policy
from voiceflow_registry.settings import Bucket, Settings


def settings(**fields: Any) -> Settings:
    """Settings with some fields other than the default."""
    return Settings(**fields)


def test_the_defaults_are_for_one_machine() -> None:
    """A folder, loopback, the gates that need no budget, and a sandbox that must hold."""
    made = settings()
    assert made.place == Path("var/registry")
    assert made.host == "127.0.0.1"
    assert made.gates_to_publish == PUBLISHING_GATES
    assert made.gates_to_promote == (*PUBLISHING_GATES, Gate.BEHAVIOUR)
    assert made.floor == DEFAULT_FLOOR


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("folder", Path("folder")),
        ("/srv/registry", Path("/srv/registry")),
        ("gs://bucket", Bucket("bucket", "")),
        ("gs://bucket/", Bucket("bucket", "")),
        ("gs://a.b-c_d/some/where/", Bucket("a.b-c_d", "some/where")),
    ],
)
def test_a_store_is_a_folder_or_a_bucket(text: str, place: Path | Bucket) -> None:
    """The address says which."""
    assert settings(store=text).place == place


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s3://bucket",
        "gs://",
        "gs://B",
        "gs://bucket/../x",
        "gs://bucket//x",
        "gs://b/" + "x" * 3,
    ],
)
def test_other_stores_are_refused(text: str) -> None:
    """What is neither is told at the start."""
    with pytest.raises(ValidationError, match="gs://BUCKET/PREFIX"):
        settings(store=text)


def test_words_are_read_in_any_order_and_kept_in_theirs() -> None:
    """Gates and layers are joined by commas."""
    made = settings(demanded_gates="graph, manifest", sandbox_floor="seccomp,rlimits")
    assert made.gates_to_promote == (Gate.MANIFEST, Gate.GRAPH)
    assert made.floor == {Layer.RLIMITS, Layer.SECCOMP}
    assert settings(demanded_gates="", sandbox_floor="").floor == frozenset()


def test_the_default_policy_is_what_was_set() -> None:
    """Channels without a policy of their own follow the settings."""
    policy = default_policy(
        settings(
            allow_publisher_to_promote=False,
            allow_prereleases=True,
            allow_downgrades=True,
            validation_valid_for_seconds=60.0,
            demanded_gates="manifest",
        ),
        has_identity=False,
    )
    assert not policy.allow_publisher_to_promote
    assert policy.allow_prereleases
    assert policy.allow_downgrades
    assert policy.validation_valid_for_seconds == 60.0
    assert policy.demanded_gates == (Gate.MANIFEST,)


@pytest.mark.parametrize(
    ("has_identity", "said", "allowed"),
    [
        (False, None, True),
        (True, None, False),
        (False, False, False),
        (True, True, True),
    ],
)
def test_where_callers_are_known_a_publisher_is_no_promoter_unless_said(
    has_identity: bool, said: bool | None, allowed: bool
) -> None:
    """Without identity all callers on one machine are one, and nobody could promote."""
    policy = default_policy(settings(allow_publisher_to_promote=said), has_identity=has_identity)
    assert policy.allow_publisher_to_promote is allowed


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])  # noqa: S104 to be refused
def test_a_bucket_is_never_open_to_other_machines(host: str) -> None:
    """Not even --insecure lets others change a bucket in plain text."""
    with pytest.raises(InvalidInput, match="bucket") as caught:
        build(settings(store="gs://bucket", host=host, insecure=True))
    assert caught.value.reason == "INSECURE_ADDRESS"


def test_a_bucket_is_open_to_other_machines_that_are_known() -> None:
    """With TLS the start goes on, here to what is wrong after that."""
    server = pair("server")
    secured = settings(
        store="gs://bucket",
        host="0.0.0.0",  # noqa: S104 what is allowed here
        tls_cert=server.certificate,
        tls_key=server.key,
        client_ca=server.ca,
        access=server.ca.parent / "access.yaml",
        evaluation_set=Path("/does/not/exist"),
    )
    with pytest.raises(InvalidInput) as caught:
        build(secured)
    assert caught.value.reason == "EVALUATION_SET_INVALID"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--port 70000", "--port: "),
        ("--grace-seconds -1", "--grace-seconds: "),
        ("--poll-seconds 0", "--poll-seconds: "),
        ("--threads 0", "--threads: "),
        ("--file-bytes nan", "--file-bytes: "),
        ("--upload-expire-seconds inf", "--upload-expire-seconds: "),
        ("--store s3://bucket", "--store: a store is a folder, or gs://BUCKET/PREFIX"),
        ("--gcs-endpoint http://127.0.0.1:1", "--gcs-endpoint: goes with"),
        ("--gcs-endpoint ftp://x --store gs://bucket", "--gcs-endpoint: an endpoint is http://"),
        ("--demanded-gates all", "--demanded-gates: 'all' is none of manifest,graph"),
        ("--publishing-gates graph", "--publishing-gates: manifest,graph,contract are demanded"),
        ("--sandbox-floor walls", "--sandbox-floor: 'walls' is none of rlimits"),
        ("--version-bytes 5 --file-bytes 6", "--version-bytes: at least"),
        ("--evaluation-set /does/not/exist", "is no folder"),
        ("--signing-key key.pem", "--signing-key: goes with --trust-root"),
        ("--trust-root /does/not/exist", "the trust root cannot be read"),
        ("--host 0.0.0.0", "--insecure"),
        ("--tls-cert cert.pem", "--tls-key"),
        ("--access access.yaml", "--access: without --tls-cert"),
        ("--tls-cert c.pem --tls-key k.pem --access a.yaml", "--client-ca or --keys"),
        ("--tls-cert c.pem --tls-key k.pem --client-ca ca.pem", "--access"),
        ("--tls-cert c.pem --tls-key k.pem --client-ca ca.pem --access a.yaml", "c.pem"),
        ("--reload-seconds 0", "--reload-seconds: "),
        ("--token-audience=", "--token-audience: "),
    ],
)
def test_a_bad_setting_is_one_clear_line(
    arguments: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[Any],
) -> None:
    """The start ends with exit status 2 and a line that names the setting."""
    monkeypatch.setattr(sys, "argv", ["voiceflow_registry", *arguments.split()])
    assert main() == 2
    written = capsys.readouterr().err
    assert said in written
    assert written.count("\n") == 1


def test_a_store_that_cannot_be_used_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[Any]
) -> None:
    """What is wrong with the machine, not with a setting, is exit status 1."""
    (tmp_path / "file").write_text("not a folder")
    store = str(tmp_path / "file")
    monkeypatch.setattr(sys, "argv", ["voiceflow_registry", "--port", "0", "--store", store])
    assert main() == 1
    assert capsys.readouterr().err.startswith("cannot serve: ")


def test_where_the_log_is_json_its_last_line_is_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever collects the log gets to know why the process has ended."""
    (tmp_path / "file").write_text("not a folder")
    options = ["--port", "0", "--store", str(tmp_path / "file"), "--log-format", "json"]
    monkeypatch.setattr(sys, "argv", ["voiceflow_registry", *options])
    assert main() == 1
    assert caplog.messages[-1].startswith("cannot serve: ")
    assert caplog.records[-1].levelname == "ERROR"


def test_the_environment_sets_what_the_command_line_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """VOICEFLOW_REGISTRY_<NAME> is read."""
    monkeypatch.setenv("VOICEFLOW_REGISTRY_STORE", "gs://bucket/x")
    monkeypatch.setenv("VOICEFLOW_REGISTRY_DEMANDED_GATES", "manifest,cost")
    made = settings()
    assert made.place == Bucket("bucket", "x")
    assert made.gates_to_promote == (Gate.MANIFEST, Gate.COST)


def test_every_setting_says_what_it_is() -> None:
    """--help is documentation."""
    silent = [name for name, field in Settings.model_fields.items() if not field.description]
    assert silent == []
