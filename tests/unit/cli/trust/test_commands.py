"""`voiceflow trust`: two people with a key each, on two machines, without any service."""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from benchmarks.paths import DEFAULT_MODEL
from tests.fakes.trust import key, promotion, signed_statement
from voiceflow.artifact import Manifest
from voiceflow.catalog.channels import PromotionKind
from voiceflow.cli.commands import commands, error_lines, exit_code
from voiceflow.cli.trust import signing
from voiceflow.errors import VoiceFlowError
from voiceflow.trust.envelopes import PayloadType
from voiceflow.trust.offices import KeyStatus
from voiceflow.trust.root import read_trust_roots
from voiceflow.trust.signing import SigningKey, read_public_key, write_public_key

MANIFEST = DEFAULT_MODEL / "manifest.json"


@dataclass(frozen=True)
class Outcome:
    """What a command left."""

    code: int
    out: str
    err: str


def run(*arguments: object, typed: str | None = None) -> Outcome:
    """`voiceflow trust …` to its end, with errors as `main` tells them."""
    result = CliRunner().invoke(commands, ["trust", *map(str, arguments)], input=typed)
    error = result.exception
    if isinstance(error, VoiceFlowError):
        return Outcome(exit_code(error), result.stdout, "\n".join(error_lines(error)))
    if error is not None and not isinstance(error, SystemExit):
        raise error
    return Outcome(result.exit_code, result.stdout, result.stderr)


def done(*arguments: object, typed: str | None = None) -> str:
    """What a command that succeeds prints."""
    outcome = run(*arguments, typed=typed)
    assert outcome.code == 0, outcome
    return outcome.out


@dataclass(frozen=True)
class Machine:
    """Somebody's machine; files come to it and go from it, keys do not."""

    folder: Path

    def key(self, name: str) -> Path:
        """A private key of this machine, made here if it is not."""
        path = self.folder / f"{name}.pem"
        if not path.exists():
            key(name).write(path)
            write_public_key(key(name).public, path.with_suffix(".pub"))
        return path

    def public(self, name: str) -> Path:
        """The public half."""
        return self.key(name).with_suffix(".pub")

    def receives(self, file: Path) -> Path:
        """A copy of a file."""
        copy = self.folder / file.name
        shutil.copy(file, copy)
        return copy


@pytest.fixture
def alice(tmp_path: Path) -> Machine:
    """Holds root-1."""
    (tmp_path / "alice").mkdir()
    return Machine(tmp_path / "alice")


@pytest.fixture
def bob(tmp_path: Path) -> Machine:
    """Holds root-2."""
    (tmp_path / "bob").mkdir()
    return Machine(tmp_path / "bob")


@pytest.fixture
def trust_root(alice: Machine) -> Path:
    """A complete trust root, in which `publisher` and `promoter` have their work."""
    path = alice.folder / "trust-root.json"
    keys = [("--root-key", alice.public(f"root-{number}")) for number in (1, 2, 3)]
    done("init", *(part for pair in keys for part in pair), "--out", path)
    done("add-publisher", path, "--key", alice.public("publisher"), "--model", "diar*")
    channel = "models/diarizer/channels/*"
    done("add-promoter", path, "--key", alice.public("promoter"), "--channel", channel)
    for name in ("root-1", "root-2"):
        done("sign", "--yes", path, "--key", alice.key(name))
    return path


def test_two_people_sign_on_two_machines(alice: Machine, bob: Machine, trust_root: Path) -> None:
    """A draft goes round; each holder is told what is missing, and it counts at the end."""
    bobs_copy = bob.receives(trust_root)
    draft = alice.folder / "trust-root.draft.json"
    told = done("add-publisher", trust_root, "--key", alice.public("next"), "--model", "asr")
    assert "missing: 2 of 2 signatures by root keys of version 1" in told
    assert read_trust_roots(trust_root).newest.version == 1

    told = done("sign", "--yes", draft, "--key", alice.key("root-1"), "--trust-root", trust_root)
    assert "missing: 1 of 2 signatures by root keys of version 2" in told
    assert run("check", draft).code == 7

    received = bob.receives(draft)
    shown = done("show", received, "--trust-root", bobs_copy)
    assert f"+ publisher   {key('next').key_id}  active    asr" in shown
    assert f"signed by   {key('root-1').key_id}" in shown
    told = done("sign", "--yes", received, "--key", bob.key("root-2"), "--trust-root", bobs_copy)
    assert "version 2 of the trust root is complete" in told
    assert "version 2 of the trust root holds" in done("check", received)
    assert read_trust_roots(received).newest.publishers[1].models == ("asr",)


def test_a_first_trust_root_is_signed_by_its_keys(trust_root: Path) -> None:
    """As the fixture made it: complete, and as stated."""
    root = read_trust_roots(trust_root).newest
    assert (root.version, root.threshold, len(root.root_keys)) == (1, 2, 3)
    assert root.publishers[0].models == ("diar*",)
    assert [kind.value for kind in root.promoters[0].kinds] == ["promote", "rollback"]
    again = run("init", "--root-key", trust_root.with_name("root-1.pub"), "--out", trust_root)
    assert (again.code, "FILES_EXIST" in again.err) == (6, True)


def test_a_past_that_is_made_up_is_told(alice: Machine, bob: Machine, trust_root: Path) -> None:
    """A draft that goes on from something else than one's own copy is not signed."""
    other = bob.folder / "other.json"
    done(
        *("init", "--root-key", alice.public("root-1"), "--root-key", alice.public("root-2")),
        *("--out", other),
    )
    outcome = run("sign", "--yes", other, "--key", alice.key("root-1"), "--trust-root", trust_root)
    assert (outcome.code, "ROOT_INVALID" in outcome.err) == (7, True)
    assert run("show", other, "--trust-root", trust_root).code == 7


@pytest.mark.parametrize("verb", ["retire", "revoke"])
def test_a_key_is_retired_or_revoked(trust_root: Path, verb: str) -> None:
    """By the beginning of its id; the draft is the next version."""
    done(verb, trust_root, key("publisher").key_id[:10])
    draft = trust_root.with_suffix(".draft.json")
    shown = json.loads(done("show", draft, "--json"))
    assert shown["root"]["publishers"][0]["status"] == KeyStatus(f"{verb}d").value
    assert (shown["root"]["version"], shown["complete"], shown["signers"]) == (2, False, [])
    assert [lack["missing"] for lack in shown["missing"]] == [2, 2]


def test_root_keys_are_rotated(alice: Machine, trust_root: Path) -> None:
    """One goes and one comes; both sides of the change must have signed."""
    new, old = alice.public("root-4"), key("root-1").key_id
    done("rotate-root", trust_root, "--add", new, "--remove", old[:12])
    draft = trust_root.with_suffix(".draft.json")
    for name in ("root-1", "root-2"):
        told = done("sign", "--yes", draft, "--key", alice.key(name))
    assert "missing: 1 of 2 signatures by root keys of version 2" in told
    assert "complete" in done("sign", "--yes", draft, "--key", alice.key("root-4"))
    assert old not in read_trust_roots(draft).newest.root_keys


def test_expiry_is_set_and_told(alice: Machine, trust_root: Path) -> None:
    """A trust root that has expired still holds; a line says so."""
    done("set-expiry", trust_root, "2026-01-01T00:00:00Z")
    draft = trust_root.with_suffix(".draft.json")
    done("set-expiry", draft, "never")
    assert "expires     never" in done("show", draft)
    done("set-expiry", draft, "2020-01-01T00:00:00Z")
    for name in ("root-1", "root-2"):
        done("sign", "--yes", draft, "--key", alice.key(name))
    outcome = run("check", draft)
    assert outcome.code == 0
    assert "expired at 2020-01-01T00:00:00+00:00" in outcome.err


def test_a_draft_that_is_changed_loses_its_signatures(alice: Machine, trust_root: Path) -> None:
    """And says so; a second draft does not replace the first one unasked."""
    draft = trust_root.with_suffix(".draft.json")
    done("set-expiry", trust_root, "2030-01-01")
    done("sign", "--yes", draft, "--key", alice.key("root-1"))
    outcome = run("set-expiry", draft, "2031-01-01")
    assert (outcome.code, "1 signatures of the draft before are void" in outcome.err) == (0, True)
    assert "FILES_EXIST" in run("set-expiry", trust_root, "2030-01-01").err
    elsewhere = trust_root.with_name("other.json")
    done("set-expiry", trust_root, "2030-01-01", "--out", elsewhere)
    assert elsewhere.exists()


def test_a_key_that_is_no_root_key_signs_no_draft(alice: Machine, trust_root: Path) -> None:
    """Nothing is written."""
    done("set-expiry", trust_root, "2030-01-01")
    draft = trust_root.with_suffix(".draft.json")
    before = draft.read_bytes()
    outcome = run("sign", "--yes", draft, "--key", alice.key("publisher"))
    assert (outcome.code, "KEY_NOT_ALLOWED" in outcome.err) == (7, True)
    assert draft.read_bytes() == before


def test_a_manifest_is_signed_and_checked_offline(
    alice: Machine, bob: Machine, trust_root: Path
) -> None:
    """The signature lies beside it, where publishing looks for it."""
    manifest = bob.receives(MANIFEST)
    name = Manifest.from_json(MANIFEST.read_bytes()).resource_name
    told = done("sign", "--yes", manifest, "--key", bob.key("publisher"))
    assert told.startswith(f"the manifest of {name}\n")
    assert (bob.folder / "manifest.dsse.json").exists()
    assert name in done("check", manifest, "--trust-root", trust_root)

    manifest.write_bytes(manifest.read_bytes() + b"\n")
    outcome = run("check", manifest, "--trust-root", trust_root)
    assert (outcome.code, "SIGNATURE_INVALID" in outcome.err) == (7, True)
    outcome = run("sign", "--yes", manifest, "--key", alice.key("publisher"))
    assert (outcome.code, "FILES_EXIST" in outcome.err) == (6, True)


def test_a_manifest_is_signed_again_by_another_key(bob: Machine, trust_root: Path) -> None:
    """So a version outlives a key: the new signature stands beside the old one."""
    manifest = bob.receives(MANIFEST)
    done("sign", "--yes", manifest, "--key", bob.key("stranger"))
    assert run("check", manifest, "--trust-root", trust_root).code == 7
    done("sign", "--yes", manifest, "--key", bob.key("publisher"))
    assert "is signed by who may" in done("check", manifest, "--trust-root", trust_root)
    signatures = json.loads((bob.folder / "manifest.dsse.json").read_bytes())["signatures"]
    assert len(signatures) == 2


def test_a_statement_is_signed_offline(bob: Machine, trust_root: Path) -> None:
    """What is signed is told in words; the signature is the one that a service would check."""
    statement, out = bob.folder / "statement.json", bob.folder / "signature.json"
    statement.write_bytes(promotion().statement)
    told = done("sign", "--yes", statement, "--key", bob.key("promoter"), "--out", out)
    assert "promote 1 of models/diarizer/channels/stable: primary 1.0.0 (sha256:" in told
    assert out.read_bytes() == signed_statement(promotion().statement).content
    done("check", statement, "--signature", out, "--trust-root", trust_root)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes], object]]:
    """A terminal to be asked at, and what is typed there."""
    keyboard, screen = os.openpty()
    with os.fdopen(screen) as stdin, os.fdopen(keyboard, "wb", buffering=0) as typing:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield typing.write


def ask(*arguments: object) -> None:
    """`voiceflow trust …` at this process's own terminal."""
    commands.main(["trust", *map(str, arguments)], standalone_mode=False)


def test_what_is_signed_is_told_and_asked_about_before(
    bob: Machine, terminal: Callable[[bytes], object], capsys: pytest.CaptureFixture[str]
) -> None:
    """No is no signature; yes is one over what was told."""
    statement, signature = bob.folder / "statement.json", bob.folder / "statement.dsse.json"
    statement.write_bytes(promotion().statement)
    sign = ("sign", statement, "--key", bob.key("promoter"))
    terminal(b"n\n")
    with pytest.raises(click.Abort):
        ask(*sign)
    seen = capsys.readouterr()
    assert seen.out.startswith("promote 1 of models/diarizer/channels/stable: primary 1.0.0")
    assert "Sign this?" in seen.err
    assert not signature.exists()
    terminal(b"y\n")
    ask(*sign)
    assert "signed by" in capsys.readouterr().out
    assert signature.read_bytes() == signed_statement(promotion().statement).content


def test_a_draft_is_told_and_asked_about_before(
    alice: Machine,
    trust_root: Path,
    terminal: Callable[[bytes], object],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What it changes; no is no signature."""
    done("add-publisher", trust_root, "--key", alice.public("next"), "--model", "asr")
    draft = trust_root.with_suffix(".draft.json")
    before = draft.read_bytes()
    capsys.readouterr()
    terminal(b"n\n")
    with pytest.raises(click.Abort):
        ask("sign", draft, "--key", alice.key("root-1"))
    seen = capsys.readouterr().out.splitlines()
    assert seen[0] == "version 2 of the trust root, since version 1:"
    assert seen[1:] == [f"  + publisher   {key('next').key_id}  active    asr"]
    assert draft.read_bytes() == before


def test_what_was_told_is_signed_though_the_file_is_another_one_by_then(
    alice: Machine, trust_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes that were read are signed: a draft, and a statement."""
    done("set-expiry", trust_root, "2030-01-01")
    draft, statement = trust_root.with_suffix(".draft.json"), alice.folder / "statement.json"
    shown = json.loads(done("show", draft, "--json"))["root"]
    later = alice.folder / "later.json"
    done("set-expiry", trust_root, "2031-01-01", "--out", later)

    def swapped(path: Path, _password_file: Path | None) -> SigningKey:
        shutil.copy(later, draft)
        statement.write_bytes(promotion(sequence=1, kind=PromotionKind.ROLLBACK).statement)
        return SigningKey.read(path)

    monkeypatch.setattr(signing, "signing_key", swapped)
    done("sign", "--yes", draft, "--key", alice.key("root-1"))
    assert json.loads(done("show", draft, "--json"))["root"] == shown
    statement.write_bytes(promotion().statement)
    done("sign", "--yes", statement, "--key", alice.key("promoter"))
    made = (alice.folder / "statement.dsse.json").read_bytes()
    assert made == signed_statement(promotion().statement).content


def test_nothing_is_signed_where_nobody_can_be_asked(alice: Machine, trust_root: Path) -> None:
    """A script says --yes; another one is told so, and its input is no answer."""
    done("set-expiry", trust_root, "2030-01-01")
    draft, manifest = trust_root.with_suffix(".draft.json"), alice.receives(MANIFEST)
    before = draft.read_bytes()
    for file, name in ((draft, "root-1"), (manifest, "publisher")):
        outcome = run("sign", file, "--key", alice.key(name), typed="y\n")
        assert (outcome.code, "say --yes" in outcome.err) == (2, True)
    assert draft.read_bytes() == before
    assert not (alice.folder / "manifest.dsse.json").exists()


def test_whatever_is_signed_can_be_shown(bob: Machine) -> None:
    """In words, and as data."""
    statement = bob.folder / "statement.json"
    statement.write_bytes(promotion().statement)
    assert done("show", statement).startswith("promote 1 of models/diarizer/channels/stable: ")
    shown = json.loads(done("show", statement, "--json"))
    assert shown["payload_type"] == PayloadType.PROMOTION
    assert shown["payload"]["sequence"] == 1
    name = Manifest.from_json(MANIFEST.read_bytes()).resource_name
    assert done("show", MANIFEST) == f"the manifest of {name}\n"


def test_nothing_else_is_signed(bob: Machine, trust_root: Path) -> None:
    """A file that is none of the three; a statement that could not be served."""
    file = bob.folder / "file.json"
    for content in (b"hello", b"{}", promotion().statement + b"\n"):
        file.write_bytes(content)
        outcome = run("sign", "--yes", file, "--key", bob.key("promoter"))
        assert (outcome.code, "FILE_UNKNOWN" in outcome.err) == (3, True)
    outcome = run("check", trust_root, "--trust-root", trust_root, "--signature", trust_root)
    assert (outcome.code, "FILE_UNKNOWN" in outcome.err) == (3, True)
    outcome = run("sign", "--yes", bob.folder / "none", "--key", bob.key("promoter"))
    assert (outcome.code, "FILE_UNREADABLE" in outcome.err) == (3, True)


def test_a_key_is_made_with_a_password(tmp_path: Path) -> None:
    """Asked for twice, or from a file; needed to sign, and asked for then."""
    path = tmp_path / "alice.pem"
    told = done("keygen", "--out", path, typed="secret\nsecret\n")
    key_id = told.split()[0]
    assert "secret" not in told
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_public_key(tmp_path / "alice.pub").keyid == key_id
    assert SigningKey.read(path, b"secret").key_id == key_id

    manifest = tmp_path / "manifest.json"
    shutil.copy(MANIFEST, manifest)
    assert key_id in done("sign", "--yes", manifest, "--key", path, typed="secret\n")
    outcome = run("sign", "--yes", manifest, "--key", path, typed="wrong\n")
    assert (outcome.code, "KEY_INVALID" in outcome.err) == (3, True)
    password = tmp_path / "password"
    password.write_bytes(b"secret\n")
    done("sign", "--yes", manifest, "--key", path, "--password-file", password)
    password.write_bytes(b"\n")
    assert (
        "KEY_INVALID"
        in run("sign", "--yes", manifest, "--key", path, "--password-file", password).err
    )


def test_a_key_is_never_replaced(tmp_path: Path) -> None:
    """Neither half, and a public half is not written where the private one was asked for."""
    done("keygen", "--out", tmp_path / "a.pem", "--no-password")
    assert "FILES_EXIST" in run("keygen", "--out", tmp_path / "a.pem", "--no-password").err
    (tmp_path / "a.pem").unlink()
    assert "FILES_EXIST" in run("keygen", "--out", tmp_path / "a.pem", "--no-password").err
    assert run("keygen", "--out", tmp_path / "b.pub", "--no-password").code == 2
    (tmp_path / "empty").touch()
    outcome = run("keygen", "--out", tmp_path / "c.pem", "--password-file", tmp_path / "empty")
    assert (outcome.code, "KEY_INVALID" in outcome.err) == (3, True)
    both = ["--no-password", "--password-file", tmp_path / "a.pub"]
    assert run("keygen", "--out", tmp_path / "c.pem", *both).code == 2
    assert not list(tmp_path.glob("[bc].*"))


def test_everything_for_development_at_once(tmp_path: Path) -> None:
    """Keys and a trust root that holds; not twice into one folder without --force."""
    folder = tmp_path / "dev"
    told = done("dev", folder).splitlines()
    assert str(folder / "trust-root.json") in told
    done("check", folder / "trust-root.json")
    assert "FILES_EXIST" in run("dev", folder).err
    done("dev", folder, "--force")
