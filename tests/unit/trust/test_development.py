"""A trust root for development: everything that two services and two people need."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.fakes.trust import promotion
from voiceflow.catalog.channels import PromotionKind
from voiceflow.errors import AlreadyExists
from voiceflow.trust.authority import check_manifest, check_promotion
from voiceflow.trust.development import write_development_trust
from voiceflow.trust.envelopes import PayloadType
from voiceflow.trust.root import read_trust_roots
from voiceflow.trust.signing import SigningKey, read_public_key


def test_every_key_may_do_its_work(tmp_path: Path) -> None:
    """The publisher signs manifests, the promoter and the registry their kinds of promotions."""
    folder = tmp_path / "trust"
    paths = write_development_trust(folder)
    assert sorted(paths) == sorted(folder.iterdir())
    root = read_trust_roots(folder / "trust-root.json").newest
    assert (root.threshold, len(root.root_keys)) == (2, 3)

    publisher = SigningKey.read(folder / "publisher.pem")
    signature = publisher.sign(b"{}", PayloadType.MANIFEST)
    check_manifest(root, model="diarizer", manifest=b"{}", signature=signature, new=True)
    for name, kind in (
        ("promoter", PromotionKind.PROMOTE),
        ("promoter", PromotionKind.ROLLBACK),
        ("registry", PromotionKind.AUTOMATIC_ROLLBACK),
    ):
        statement = promotion(kind=kind).statement
        signature = SigningKey.read(folder / f"{name}.pem").sign(statement, PayloadType.PROMOTION)
        check_promotion(root, statement=statement, signature=signature, new=True)


def test_private_files_are_their_owner_s_alone(tmp_path: Path) -> None:
    """The folder, and every key that signs; each stands beside its public half."""
    folder = tmp_path / "trust"
    write_development_trust(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.glob("*.pem"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert read_public_key(path.with_suffix(".pub")).keyid == SigningKey.read(path).key_id


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    """Keys that something was signed with are not lost by a second call."""
    write_development_trust(tmp_path)
    before = (tmp_path / "trust-root.json").read_bytes()
    with pytest.raises(AlreadyExists) as refusal:
        write_development_trust(tmp_path)
    assert refusal.value.reason == "FILES_EXIST"
    assert (tmp_path / "trust-root.json").read_bytes() == before
    write_development_trust(tmp_path, force=True)
    assert (tmp_path / "trust-root.json").read_bytes() != before
