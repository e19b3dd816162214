"""`voiceflow dev-certs` and `voiceflow tokens issue`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.fakes.identity import development_identity
from voiceflow.cli.commands import commands
from voiceflow.errors import AlreadyExists, InvalidInput, Unauthenticated
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


def test_a_token_in_a_file_is_its_owners_alone(tmp_path: Path) -> None:
    """And nothing is printed."""
    result = issued("--out", str(tmp_path / "token"))
    assert (result.exit_code, result.output) == (0, "")
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "token").read_text().count(".") == 2


def test_a_key_of_tokens_is_replaced_without_a_gap(tmp_path: Path) -> None:
    """While both stand in the key set, tokens of both are taken."""
    keys, old, new = (tmp_path / name for name in ("keys.json", "old.json", "new.json"))
    first = run("tokens", "keygen", "--keys", keys, "--out", old).stdout.strip()
    assert len(read_key_set(keys).sealing_keys) == 1
    run("tokens", "keygen", "--keys", keys, "--out", new)
    assert {path.stat().st_mode & 0o777 for path in (keys, old, new)} == {0o600}
    tokens = [run("tokens", "issue", "--key", key, *ISSUE).stdout.strip() for key in (old, new)]
    verifier = TokenVerifier(lambda: read_key_set(keys), "voiceflow-registry")
    assert [verifier.verify(token).principal for token in tokens] == [ISSUE[1]] * 2
    assert run("tokens", "drop-key", "--keys", keys, first).exit_code == 0
    assert verifier.verify(tokens[1]).principal == ISSUE[1]
    with pytest.raises(Unauthenticated):
        verifier.verify(tokens[0])
    assert len(read_key_set(keys).sealing_keys) == 1


def test_what_a_key_set_must_keep_is_kept(tmp_path: Path) -> None:
    """An unknown key, the only key, a private key that is there already, a damaged key set."""
    keys, key = tmp_path / "keys.json", tmp_path / "key.json"
    key_id = run("tokens", "keygen", "--keys", keys, "--out", key).stdout.strip()
    before = keys.read_bytes()
    refused = [
        run("tokens", "drop-key", "--keys", keys, "--", "-hAtK9").exception,  # no option
        run("tokens", "keygen", "--keys", keys, "--out", key).exception,
    ]
    assert [type(error) for error in refused] == [InvalidInput, AlreadyExists]
    assert keys.read_bytes() == before
    sealing = read_key_set(keys).sealing_keys[0].key_id
    run("tokens", "drop-key", "--keys", keys, sealing)
    assert "only key" in str(run("tokens", "drop-key", "--keys", keys, key_id).exception)
    keys.write_text("{")
    assert "KEYS_INVALID" in repr(
        vars(run("tokens", "keygen", "--keys", keys, "--out", tmp_path / "x").exception)
    )
    assert not (tmp_path / "x").exists()
