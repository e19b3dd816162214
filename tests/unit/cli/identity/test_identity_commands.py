"""`voiceflow dev-certs` and `voiceflow tokens issue`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.fakes.identity import development_identity
from voiceflow.cli.commands import commands
from voiceflow.errors import AlreadyExists, InvalidInput
from voiceflow.identity.certificates import expire_time, principal_of
from voiceflow.identity.key_set import read_key_set
from voiceflow.identity.tokens import TokenVerifier

ISSUE = ("--principal", "spiffe://voiceflow.local/reader/dev", "--audience", "voiceflow-registry")


def run(*arguments: str | Path) -> Result:
    """A command, in this process."""
    return CliRunner().invoke(commands, [str(one) for one in arguments])


def issued(*arguments: str) -> Result:
    """`tokens issue` with the development key."""
    key = development_identity() / "token-key.json"
    return run("tokens", "issue", "--key", key, *ISSUE, *arguments)


def test_dev_certs_writes_a_folder_and_names_its_files(tmp_path: Path) -> None:
    """As it was asked for."""
    folder = tmp_path / "identity"
    result = run("dev-certs", folder, "--trust-domain", "a.b", "--host", "x", "--valid-days", "1")
    assert result.exit_code == 0
    assert sorted(result.stdout.splitlines()) == sorted(map(str, folder.iterdir()))
    pem = (folder / "publisher.pem").read_bytes()
    assert principal_of(pem) == "spiffe://a.b/publisher/dev"
    assert (expire_time(pem) - datetime.now(UTC)).days == 0
    assert "PRIVATE" not in result.stdout


def test_dev_certs_replaces_nothing_unless_forced(tmp_path: Path) -> None:
    """The second time needs --force."""
    assert run("dev-certs", tmp_path).exit_code == 0
    before = (tmp_path / "ca.pem").read_bytes()
    assert isinstance(run("dev-certs", tmp_path).exception, AlreadyExists)
    assert (tmp_path / "ca.pem").read_bytes() == before
    assert run("dev-certs", tmp_path, "--force").exit_code == 0
    assert (tmp_path / "ca.pem").read_bytes() != before


def test_a_token_is_all_that_is_printed() -> None:
    """So that it can go into a file."""
    result = issued()
    assert result.exit_code == 0
    assert result.stderr == ""
    keys = read_key_set(development_identity() / "keys.json")
    identity = TokenVerifier(lambda: keys, "voiceflow-registry").verify(result.stdout.strip())
    assert identity.principal == "spiffe://voiceflow.local/reader/dev"


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("1h", 3600), ("60m", 3600)]
)
def test_a_token_is_valid_for_as_long_as_was_asked(text: str, seconds: int) -> None:
    """In seconds, minutes or an hour."""
    keys = read_key_set(development_identity() / "keys.json")
    verifier = TokenVerifier(lambda: keys, "voiceflow-registry")
    before = datetime.now(UTC).timestamp()
    end = verifier.verify(issued("--valid", text).stdout.strip()).expire_time.timestamp()
    after = datetime.now(UTC).timestamp()
    assert int(before) + seconds <= end <= after + seconds


@pytest.mark.parametrize("text", ["", "15", "m", "1.5h", "-1m", "15 m", "1d", "1h30m", "٣m"])
def test_a_time_that_is_none_is_wrong_usage(text: str) -> None:
    """Told before a key is read."""
    assert issued("--valid", text).exit_code == 2


@pytest.mark.parametrize("text", ["0s", "61m", "2h", "999999h"])
def test_a_time_that_no_server_takes_is_refused(text: str) -> None:
    """An hour at most."""
    error = issued("--valid", text).exception
    assert isinstance(error, InvalidInput)
    assert error.reason == "VALIDITY_INVALID"


def test_a_key_set_is_no_key_to_issue_with() -> None:
    """The file is named, nothing is printed."""
    keys = development_identity() / "keys.json"
    result = run("tokens", "issue", "--key", keys, *ISSUE)
    assert isinstance(result.exception, InvalidInput)
    assert str(keys) in result.exception.message
    assert result.stdout == ""
