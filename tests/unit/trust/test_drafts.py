"""Drafts of a trust root: written by one, signed by several, complete only with all of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import pytest

from tests.fakes.trust import ROOT_KEYS, key, trust_root, trust_roots
from voiceflow.catalog.channels import PromotionKind
from voiceflow.errors import Forbidden, InvalidInput, Untrusted
from voiceflow.trust.drafts import (
    Draft,
    find_key,
    first_root,
    with_expiry,
    with_promoter,
    with_publisher,
    with_root_keys,
    with_status,
)
from voiceflow.trust.offices import KeyStatus
from voiceflow.trust.root import TrustRoot, TrustRoots, write_chain

ROOTS = trust_roots()
NEXT = Draft.from_json(ROOTS.to_json()).changed(ROOTS.newest)


def _refused(act: Callable[[], object], word: str) -> None:
    with pytest.raises(InvalidInput, match=word) as refusal:
        act()
    assert refusal.value.reason == "TRUST_ROOT_CHANGE_INVALID"


def test_a_first_version_goes_round_and_is_complete_with_the_second_signature() -> None:
    """Each holder gets a file, adds one signature and passes it on; only then does it count."""
    root = first_root([key(name).public for name in ROOT_KEYS], threshold=2)
    sent = Draft.of(None, root).to_json()
    at_first = Draft.from_json(sent)
    assert [(lack.version, lack.missing) for lack in at_first.lacks] == [(1, 2)]
    assert at_first.lacks[0].unsigned == root.root_keys

    sent = at_first.signed_by(key("root-3")).to_json()
    at_second = Draft.from_json(sent)
    assert at_second.signers == {key("root-3").key_id}
    assert at_second.lacks[0].missing == 1
    assert key("root-3").key_id not in at_second.lacks[0].unsigned
    with pytest.raises(Untrusted) as refusal:
        TrustRoots.from_json(sent)
    assert refusal.value.reason == "ROOT_NOT_SIGNED"
    with pytest.raises(Untrusted):
        at_second.complete()

    done = at_second.signed_by(key("root-1"))
    assert not done.lacks
    assert done.complete() == TrustRoots.from_json(done.to_json())


def test_the_next_version_needs_old_and_new_keys() -> None:
    """What is missing is told for both sides of a rotation."""
    rotated = with_root_keys(
        ROOTS.newest,
        add=[key("root-4").public, key("root-5").public],
        remove=[key("root-1").key_id, key("root-2").key_id],
        threshold=None,
    )
    draft = Draft.from_json(ROOTS.to_json()).changed(rotated)
    assert draft.root.version == 2
    draft = draft.signed_by(key("root-1")).signed_by(key("root-2"))
    assert [(lack.version, lack.missing) for lack in draft.lacks] == [(2, 2)]
    draft = draft.signed_by(key("root-4")).signed_by(key("root-5"))
    assert draft.complete().newest.root_keys == tuple(
        key(name).key_id for name in ("root-3", "root-4", "root-5")
    )


def test_nobody_but_a_root_key_signs_a_draft() -> None:
    """A mistaken key is told at once, and not when the file has gone round."""
    for name in ("publisher", "stranger"):
        with pytest.raises(Forbidden) as refusal:
            NEXT.signed_by(key(name))
        assert refusal.value.reason == "KEY_NOT_ALLOWED"


def test_a_draft_that_is_changed_is_signed_anew() -> None:
    """What was signed is not what it says now; its version stays the same."""
    signed = NEXT.signed_by(key("root-1"))
    changed = signed.changed(with_publisher(signed.root, key("next").public, ["asr"]))
    assert changed.root.version == 2
    assert not changed.signers
    assert changed.before == signed.before


def test_a_draft_on_a_made_up_past_is_told() -> None:
    """A sender could hide a change by saying that it was there before."""
    hidden = with_publisher(ROOTS.newest, key("mine").public, ["*"])
    past = Draft.of(None, hidden).signed_by(key("root-1")).signed_by(key("root-2")).complete()
    draft = Draft.from_json(past.to_json()).changed(past.newest)
    with pytest.raises(Untrusted) as refusal:
        draft.check_follows(ROOTS)
    assert refusal.value.reason == "ROOT_INVALID"
    with pytest.raises(Untrusted):
        Draft.of(None, hidden).check_follows(ROOTS)
    NEXT.check_follows(ROOTS)


def test_a_draft_stands_on_complete_versions() -> None:
    """Two versions without signatures after one another are no draft."""
    unsigned = [Draft.of(None, trust_root(version=version)).signature for version in (1, 2)]
    with pytest.raises(Untrusted) as refusal:
        Draft.from_json(write_chain(unsigned))
    assert refusal.value.reason == "ROOT_NOT_SIGNED"


def test_a_file_without_a_version_is_no_draft() -> None:
    """There is nothing to sign, and nothing to go on from."""
    with pytest.raises(Untrusted) as refusal:
        Draft.from_json(b'{"roots":[],"schema_version":1}')
    assert refusal.value.reason == "ROOT_INVALID"


# Changes


def test_publishers_and_promoters_are_added() -> None:
    """With their keys, and active; what was there stays."""
    root = with_publisher(trust_root(), key("p2").public, ["asr-*"])
    root = with_promoter(
        root, key("q2").public, ["models/asr/channels/*"], [PromotionKind.ROLLBACK]
    )
    assert [one.key for one in root.publishers] == [key("publisher").key_id, key("p2").key_id]
    assert root.promoters[-1].kinds == (PromotionKind.ROLLBACK,)
    assert {key("p2").key_id, key("q2").key_id} <= root.keys.keys()


def test_a_key_is_retired_and_revoked_in_all_its_entries() -> None:
    """Retired first, revoked later; never back."""
    root = with_publisher(trust_root(), key("publisher").public, ["asr"])
    key_id = key("publisher").key_id
    for status in (KeyStatus.RETIRED, KeyStatus.REVOKED):
        root = with_status(root, key_id, status)
        assert [one.status for one in root.publishers] == [status, status]
    for status in KeyStatus:
        _refused(partial(with_status, root, key_id, status), "stays so")
    _refused(lambda: with_publisher(root, key("publisher").public, ["x"]), "is revoked")


def test_a_retired_key_gets_no_new_work() -> None:
    """Neither a publisher's nor a promoter's: it would be retired for one thing alone."""
    kinds = [PromotionKind.PROMOTE]
    root = with_status(trust_root(), key("publisher").key_id, KeyStatus.RETIRED)
    _refused(partial(with_publisher, root, key("publisher").public, ["asr"]), "is retired")
    root = with_status(trust_root(), key("promoter").key_id, KeyStatus.RETIRED)
    one = key("promoter").public
    _refused(partial(with_promoter, root, one, ["models/a/channels/b"], kinds), "is retired")


def test_a_root_key_is_not_revoked_but_taken_out() -> None:
    """It holds no office whose signatures could be void; its key goes with it."""
    key_id = key("root-1").key_id
    _refused(lambda: with_status(trust_root(), key_id, KeyStatus.REVOKED), "rotating")
    root = with_root_keys(trust_root(), remove=[key_id], threshold=None)
    assert key_id not in root.keys


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda root: with_root_keys(root, remove=[key("x").key_id], threshold=None), "no root"),
        (lambda root: with_root_keys(root, threshold=1), "threshold"),
        (lambda root: with_root_keys(root, threshold=4), "rule 3"),
        (lambda root: with_root_keys(root, add=[key("root-1").public], threshold=2), "rule 3"),
        (lambda root: with_publisher(root, key("promoter").public, ["a"]), "rule 5"),
        (lambda root: with_publisher(root, key("p").public, ["A B"]), "models"),
        (lambda root: with_promoter(root, key("p").public, ["*"], [PromotionKind.PROMOTE]), "chan"),
        (
            lambda root: with_promoter(
                root, key("p").public, ["models/*/channels/*"], list(PromotionKind)
            ),
            "rule 6",
        ),
    ],
)
def test_a_change_that_breaks_a_rule_is_not_drafted(
    change: Callable[[TrustRoot], TrustRoot], word: str
) -> None:
    """With the rule, before anybody is asked to sign."""
    _refused(lambda: change(trust_root()), word)


def test_a_first_version_obeys_the_rules() -> None:
    """One key cannot be two of two."""
    one = key("root-1").public
    _refused(lambda: first_root([one], threshold=2), "rule 3")
    _refused(lambda: first_root([one, one], threshold=2), "rule 3")


def test_expiry_is_set_in_whole_seconds() -> None:
    """And taken away."""
    root = with_expiry(trust_root(), datetime(2027, 1, 1, 0, 0, 0, 999, tzinfo=UTC))
    assert root.expire_time == datetime(2027, 1, 1, tzinfo=UTC)
    assert with_expiry(root, None) == trust_root()


def test_a_key_is_found_by_the_beginning_of_its_id() -> None:
    """Eight digits at least, and no other key begins so."""
    key_id = key("publisher").key_id
    assert find_key(trust_root(), key_id[:8]) == key_id
    assert find_key(trust_root(), key_id) == key_id
    for beginning in (key_id[:7], "", "0" * 64, key_id + "0"):
        with pytest.raises(InvalidInput) as refusal:
            find_key(trust_root(), beginning)
        assert refusal.value.reason == "KEY_UNKNOWN"
