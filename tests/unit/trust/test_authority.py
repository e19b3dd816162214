"""Whose signature counts: for which model, which channel, which kind, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from tests.fakes.trust import (
    history,
    key,
    pin,
    promoter,
    promotion,
    publisher,
    signed,
    signed_manifest,
    signed_statement,
    trust_root,
)
from voiceflow.artifact import digest_of
from voiceflow.catalog.channels import Canary, PromotionKind, Rollout, Shadow
from voiceflow.catalog.names import ChannelName
from voiceflow.catalog.values import Signature
from voiceflow.errors import Untrusted
from voiceflow.trust.authority import check_manifest, check_promotion, read_statement
from voiceflow.trust.envelopes import PayloadType
from voiceflow.trust.offices import KeyStatus
from voiceflow.trust.root import TrustRoot
from voiceflow.trust.statements import Statement

MANIFEST = b'{"model":"diarizer"}'
ROOT = trust_root()


def _refused(reason: str, act: Callable[[], object]) -> None:
    with pytest.raises(Untrusted) as refusal:
        act()
    assert refusal.value.reason == reason


def _manifest(
    root: TrustRoot,
    signature: Signature | None,
    *,
    model: str = "diarizer",
    manifest: bytes = MANIFEST,
    new: bool = False,
) -> str:
    return check_manifest(root, model=model, manifest=manifest, signature=signature, new=new)


def _promotion(
    root: TrustRoot, statement: bytes, signature: Signature | None, *, new: bool = False
) -> Statement:
    return check_promotion(root, statement=statement, signature=signature, new=new)


def _statement(**fields: object) -> bytes:
    """A statement as it is, but for some fields, in canonical form."""
    said = Statement.from_bytes(promotion().statement)
    return said.model_copy(update=fields).to_bytes()


# Manifests


def test_a_publisher_s_manifest_is_believed() -> None:
    """Of an own model, signed now or long ago; the key that vouches for it is told."""
    signature = signed_manifest(MANIFEST)
    for new in (True, False):
        assert _manifest(ROOT, signature, new=new) == key("publisher").key_id


def test_an_unsigned_manifest_is_refused() -> None:
    """No signature, or one without content."""
    _refused("SIGNATURE_MISSING", lambda: _manifest(ROOT, None))
    empty = Signature(media_type="", content=b"")
    _refused("SIGNATURE_MISSING", lambda: _manifest(ROOT, empty))


def test_a_manifest_signed_by_a_stranger_is_refused() -> None:
    """A forged key: a good signature of a key that the root does not name."""
    _refused("SIGNATURE_INVALID", lambda: _manifest(ROOT, signed_manifest(MANIFEST, "stranger")))


def test_a_signature_of_another_manifest_is_refused() -> None:
    """A replayed signature: the publisher's, over other bytes."""
    signature = signed_manifest(MANIFEST + b"\n")
    _refused("SIGNATURE_INVALID", lambda: _manifest(ROOT, signature))


def test_a_manifest_signed_as_a_promotion_is_refused() -> None:
    """The same bytes, another payload type."""
    signature = signed(MANIFEST, PayloadType.PROMOTION, ["publisher"])
    _refused("SIGNATURE_INVALID", lambda: _manifest(ROOT, signature))


@pytest.mark.parametrize("signer", ["promoter", "registry", "root-1"])
def test_other_offices_sign_no_manifest(signer: str) -> None:
    """Promoters promote and root keys sign roots; neither publishes."""
    _refused("KEY_NOT_ALLOWED", lambda: _manifest(ROOT, signed_manifest(MANIFEST, signer)))


def test_a_publisher_signs_own_models_alone() -> None:
    """The publisher of one model signs another one's manifest."""
    root = trust_root(publishers=[publisher(models=["asr-*"])])
    signature = signed_manifest(MANIFEST)
    _refused("KEY_NOT_ALLOWED", lambda: _manifest(root, signature))
    assert _manifest(root, signature, model="asr-small") == key("publisher").key_id


def test_what_a_retired_key_has_signed_stays_valid() -> None:
    """Pods go on with it; the registry takes nothing new of it."""
    root = trust_root(publishers=[publisher(status=KeyStatus.RETIRED), publisher("next")])
    signature = signed_manifest(MANIFEST)
    assert _manifest(root, signature) == key("publisher").key_id
    _refused("KEY_NOT_ALLOWED", lambda: _manifest(root, signature, new=True))
    assert _manifest(root, signed_manifest(MANIFEST, "next"), new=True) == key("next").key_id


def test_nothing_that_a_revoked_key_has_signed_holds() -> None:
    """Not what it signs now, and not what it signed before it was stolen."""
    root = trust_root(publishers=[publisher(status=KeyStatus.REVOKED)])
    for new in (True, False):
        _refused("KEY_REVOKED", partial(_manifest, root, signed_manifest(MANIFEST), new=new))


def test_a_manifest_that_was_signed_again_outlives_the_revoked_key() -> None:
    """A second signature by a good key is how a good version survives a stolen key."""
    root = trust_root(publishers=[publisher(status=KeyStatus.REVOKED), publisher("next")])
    both = signed(MANIFEST, PayloadType.MANIFEST, ["publisher", "next"])
    assert _manifest(root, both) == key("next").key_id


def test_a_revoked_key_is_told_though_it_was_not_of_this_model() -> None:
    """Who sees a revoked key at work wants to know that it was that one."""
    root = trust_root(publishers=[publisher(models=["asr"], status=KeyStatus.REVOKED)])
    _refused("KEY_REVOKED", lambda: _manifest(root, signed_manifest(MANIFEST)))


# Promotions


def test_a_promoter_s_promotion_is_believed() -> None:
    """Of each kind that is the key's own."""
    for kind, signer in (
        (PromotionKind.PROMOTE, "promoter"),
        (PromotionKind.ROLLBACK, "promoter"),
        (PromotionKind.AUTOMATIC_ROLLBACK, "registry"),
    ):
        one = promotion(kind=kind, signer=signer)
        assert _promotion(ROOT, one.statement, one.signature, new=True).kind is kind


@pytest.mark.parametrize(
    ("kind", "signer", "reason"),
    [
        (PromotionKind.PROMOTE, "registry", "KEY_NOT_ALLOWED"),
        (PromotionKind.ROLLBACK, "registry", "KEY_NOT_ALLOWED"),
        (PromotionKind.AUTOMATIC_ROLLBACK, "promoter", "KEY_NOT_ALLOWED"),
        (PromotionKind.PROMOTE, "publisher", "KEY_NOT_ALLOWED"),
        (PromotionKind.PROMOTE, "root-1", "KEY_NOT_ALLOWED"),
        (PromotionKind.PROMOTE, "stranger", "SIGNATURE_INVALID"),
        (PromotionKind.PROMOTE, None, "SIGNATURE_MISSING"),
    ],
)
def test_a_kind_that_is_not_the_key_s_own_is_refused(
    kind: PromotionKind, signer: str | None, reason: str
) -> None:
    """The registry's key promotes nothing; publishers do not promote."""
    one = promotion(kind=kind, signer=signer)
    _refused(reason, lambda: _promotion(ROOT, one.statement, one.signature))


def test_a_promoter_of_another_channel_is_refused() -> None:
    """Whoever promotes to dev does not promote to stable."""
    root = trust_root(promoters=[promoter(channels=["models/diarizer/channels/dev"])])
    one = promotion()
    _refused("KEY_NOT_ALLOWED", lambda: _promotion(root, one.statement, one.signature))
    dev = promotion(channel=ChannelName("diarizer", "dev"))
    assert _promotion(root, dev.statement, dev.signature).sequence == 1


def test_two_entries_of_one_key_do_not_mix() -> None:
    """One key may promote to dev, and only roll stable back: neither entry lends to the other."""
    root = trust_root(
        promoters=[
            promoter(channels=["models/*/channels/dev"], kinds=[PromotionKind.PROMOTE]),
            promoter(channels=["models/*/channels/stable"], kinds=[PromotionKind.ROLLBACK]),
        ]
    )
    back = promotion(kind=PromotionKind.ROLLBACK)
    assert _promotion(root, back.statement, back.signature).kind is PromotionKind.ROLLBACK
    one = promotion()
    _refused("KEY_NOT_ALLOWED", lambda: _promotion(root, one.statement, one.signature))


def test_a_retired_and_a_revoked_promoter() -> None:
    """A retired one's promotions stay valid and no new one is taken; a revoked one's are void."""
    one = promotion()
    retired = trust_root(promoters=[promoter(status=KeyStatus.RETIRED)])
    assert _promotion(retired, one.statement, one.signature).sequence == 1
    _refused("KEY_NOT_ALLOWED", lambda: _promotion(retired, one.statement, one.signature, new=True))
    revoked = trust_root(promoters=[promoter(status=KeyStatus.REVOKED)])
    _refused("KEY_REVOKED", lambda: _promotion(revoked, one.statement, one.signature))


def test_the_signature_of_another_promotion_is_refused() -> None:
    """A replayed signature does not vouch for another statement."""
    first, second = history(2)
    _refused("SIGNATURE_INVALID", lambda: _promotion(ROOT, second.statement, first.signature))


@pytest.mark.parametrize(
    "statement",
    [
        b"{}",
        promotion().statement + b" ",
        _statement(channel="models/diarizer"),
        _statement(channel="models/diarizer/channels/stable/promotions/1"),
        _statement(channel="models/asr/channels/stable"),
        _statement(rollout=Rollout(primary=pin().model_copy(update={"manifest_digest": ""}))),
        _statement(rollout=Rollout(primary=pin().model_copy(update={"version": "diarizer"}))),
        _statement(
            rollout=Rollout(primary=pin(), canary=Canary(pin=pin(model="asr"), percentage=5.0))
        ),
        _statement(sequence=2),
        _statement(sequence=2, previous_statement_digest="sha256:0"),
        _statement(previous_statement_digest=digest_of(b"")),
        *(
            _statement(
                rollout=Rollout(primary=pin(), canary=Canary(pin=pin("2.0.0"), percentage=x))
            )
            for x in (5000.0, 100.0, 0.0, -1.0, 0.001, 5.001, float("nan"), float("inf"))
        ),
        *(
            _statement(
                rollout=Rollout(primary=pin(), shadow=Shadow(pin=pin("2.0.0"), percentage=x))
            )
            for x in (100.01, 0.0, -1.0, 5.001, float("nan"), float("-inf"))
        ),
    ],
    ids=[
        *("no statement", "white space", "no channel", "more than a channel", "another model"),
        *("no digest", "no version", "a canary of another model", "follows nothing"),
        *("follows no digest", "the first one follows another"),
        *(f"a canary of {x}" for x in ("5000", "100", "0", "-1", "0.001", "5.001", "NaN", "inf")),
        *(f"a shadow of {x}" for x in ("100.01", "0", "-1", "5.001", "NaN", "-inf")),
    ],
)
def test_a_statement_that_cannot_be_served_is_refused_though_signed(statement: bytes) -> None:
    """A promoter's key signs nonsense, or one model into the channel of another."""
    signature = signed_statement(statement)
    _refused("STATEMENT_INVALID", lambda: _promotion(ROOT, statement, signature))


@pytest.mark.parametrize("percentage", [0.01, 0.07, 5.0, 33.33, 99.99])
def test_every_step_of_a_hundredth_can_be_signed(percentage: float) -> None:
    """As the registry writes it; a shadow may hear all."""
    trial = Rollout(
        primary=pin(),
        canary=Canary(pin=pin("2.0.0"), percentage=percentage),
        shadow=Shadow(pin=pin("3.0.0"), percentage=100.0),
    )
    said, _ = read_statement(_statement(rollout=trial))
    assert said.rollout == trial
