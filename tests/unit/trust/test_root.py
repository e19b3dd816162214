"""The trust root: every rule of it, and what an attacker would try against each."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import ValidationError

from tests.fakes.trust import (
    ROOT_KEYS,
    key,
    promoter,
    publisher,
    registry,
    signed,
    signed_root,
    trust_root,
    trust_roots,
)
from voiceflow.catalog.channels import PromotionKind
from voiceflow.catalog.names import ChannelName
from voiceflow.errors import InvalidInput, Untrusted
from voiceflow.trust.envelopes import PayloadType
from voiceflow.trust.offices import KeyStatus, PublicKey
from voiceflow.trust.root import (
    MAXIMUM_CHAIN_BYTES,
    TrustRoot,
    TrustRoots,
    check_next,
    missing_signatures,
    read_trust_roots,
)
from voiceflow.trust.strict_json import canonical

ROTATED = ("root-2", "root-3", "root-4")
CHAIN = trust_roots().to_json()


def _refused(reason: str, act: Callable[[], object], word: str = "") -> None:
    with pytest.raises(Untrusted) as refusal:
        act()
    assert refusal.value.reason == reason
    assert word in refusal.value.message


def _invalid(change: Callable[[dict[str, Any]], object], word: str) -> None:
    """A version that was changed and signed by everybody is still refused."""
    body = json.loads(trust_root().to_bytes())
    change(body)
    signature = signed_root(canonical(body), ROOT_KEYS)
    _refused("ROOT_INVALID", lambda: check_next(None, signature), word)


def test_a_chain_comes_back_as_it_was_written(tmp_path: Path) -> None:
    """The file holds all versions; the newest one is in force, and the others can be looked up."""
    expire_time = datetime(2027, 1, 1, tzinfo=UTC)
    roots = trust_roots(trust_root(), trust_root(version=2, expire_time=expire_time))
    path = tmp_path / "trust-root.json"
    path.write_bytes(roots.to_json())
    assert read_trust_roots(path) == roots
    assert roots.newest.version == 2
    assert roots.at(1) == trust_root()
    assert not roots.newest.expired(datetime(2026, 12, 31, 23, tzinfo=UTC))
    assert roots.newest.expired(expire_time)
    assert not roots.at(1).expired(expire_time)


def test_the_payload_has_the_documented_form() -> None:
    """To the byte: sorted, without white space, times in whole seconds of UTC."""
    root = trust_root(expire_time=datetime(2027, 1, 1, tzinfo=UTC))
    body = json.loads(root.to_bytes())
    assert list(body) == [
        *("expire_time", "keys", "promoters", "publishers", "root_keys", "threshold", "version"),
    ]
    assert body["expire_time"] == "2027-01-01T00:00:00Z"
    assert body["publishers"] == [
        {"key": key("publisher").key_id, "models": ["*"], "status": "active"}
    ]
    assert body["promoters"][1] == {
        "key": key("registry").key_id,
        "channels": ["models/*/channels/*"],
        "kinds": ["automatic_rollback"],
        "status": "active",
    }
    assert TrustRoot.from_bytes(root.to_bytes()) == root


def test_key_ids_are_those_of_securesystemslib() -> None:
    """An id that is computed here is the one that the library computes."""
    one = key("publisher")
    assert PublicKey.of(one.public).key_id == one.key_id
    assert PublicKey.of(one.public).checker(one.key_id) == one.public


# Rule 1


def test_a_root_in_another_form_is_refused() -> None:
    """The same version with white space, signed by everybody, is not in the one form."""
    loose = json.dumps(json.loads(trust_root().to_bytes())).encode()
    _refused("ROOT_INVALID", lambda: check_next(None, signed_root(loose, ROOT_KEYS)), "rule 1")


@pytest.mark.parametrize(
    "expire_time",
    ["2027-01-01T00:00:00+00:00", "2027-01-01T01:00:00+01:00", "2027-01-01T00:00:00.5Z"],
)
def test_a_time_in_another_form_is_refused(expire_time: str) -> None:
    """Offsets and fractions of seconds would be a second way to write a time."""
    _invalid(lambda body: body.update(expire_time=expire_time), "rule 1")


def test_a_time_is_not_cut_short_silently() -> None:
    """What is signed has whole seconds; so has what is to be signed."""
    with pytest.raises(ValidationError, match="rule 1"):
        trust_root(expire_time=datetime(2027, 1, 1, 0, 0, 0, 1, tzinfo=UTC))


def test_a_key_that_json_gives_twice_is_refused() -> None:
    """Of two thresholds one parser would see the first, another the last."""
    payload = trust_root(threshold=3).to_bytes()
    twice = payload.replace(b'"threshold":3', b'"threshold":3,"threshold":2')
    _refused("ROOT_INVALID", lambda: check_next(None, signed_root(twice, ROOT_KEYS)), "rule 1")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda body: body.update(spec="tuf"), "spec"),
        (lambda body: body["publishers"][0].update(more=1), "more"),
        (lambda body: body.pop("threshold"), "threshold"),
        (lambda body: body.update(version=0), "version"),
        (lambda body: body.update(version=True), "version"),
        (lambda body: body.update(version="1"), "version"),
        (lambda body: body.update(version=10**400), "version"),
        (lambda body: body.update(expire_time=1_800_000_000), "expire_time"),
        (lambda body: body.update(expire_time="2027-01-01T00:00:00"), "expire_time"),
        (lambda body: body["publishers"][0].update(status="trusted"), "status"),
        (lambda body: body["publishers"][0].update(models=[]), "models"),
        (lambda body: body["publishers"][0].update(models=["diarizer\n"]), "models"),
        (lambda body: body["publishers"][0].update(models=["[a-z]"]), "models"),
        (lambda body: body["promoters"][0].update(channels=["*"]), "channels"),
        (lambda body: body["promoters"][0].update(channels=["models/*"]), "channels"),
        (lambda body: body["promoters"][0].update(kinds=["any"]), "kinds"),
        (lambda body: body["promoters"][0].update(kinds=[]), "kinds"),
        (lambda body: body.update(publishers=body["publishers"] * 129), "publishers"),
    ],
)
def test_an_odd_root_is_refused(change: Callable[[dict[str, Any]], object], word: str) -> None:
    """Unknown fields, missing ones, other types, huge numbers, patterns that are none."""
    _invalid(change, word)


def test_nonsense_in_an_envelope_is_no_root() -> None:
    """What is signed must be a trust root, however many sign it."""
    for payload in (b"", b"null", b"[]", b"\xff", b"NaN", b"[" * 40_000):
        _refused("ROOT_INVALID", partial(check_next, None, signed_root(payload)))


def test_a_promotion_is_no_root() -> None:
    """A root that was signed as something else is refused."""
    signature = signed(trust_root().to_bytes(), PayloadType.PROMOTION, ROOT_KEYS)
    _refused("ROOT_INVALID", lambda: check_next(None, signature), "trust-root")


# Rule 2


def test_a_key_under_a_chosen_id_is_refused() -> None:
    """A key that stands under the id of another one would sign in its name."""

    def swap(body: dict[str, Any]) -> None:
        one, other = (key(name).key_id for name in ("root-1", "publisher"))
        body["keys"][one], body["keys"][other] = body["keys"][other], body["keys"][one]

    _invalid(swap, "rule 2")


def test_one_key_under_two_ids_is_refused() -> None:
    """Upper-case digits would give the same key a second id, and its holder two votes."""

    def double(body: dict[str, Any]) -> None:
        again = json.loads(json.dumps(body["keys"][key("root-1").key_id]))
        again["keyval"]["public"] = again["keyval"]["public"].upper()
        body["keys"]["0" * 64] = again
        body["root_keys"][1] = "0" * 64

    _invalid(double, "public")


@pytest.mark.parametrize(
    "part",
    [
        {"keytype": "rsa"},
        {"scheme": "rsassa-pss-sha256"},
        {"x-note": "another id for the same key"},
        {"keyval": {"public": "11" * 32, "private": ""}},
        {"keyval": {"public": "00" * 31}},
    ],
)
def test_a_key_of_another_kind_or_form_is_refused(part: dict[str, Any]) -> None:
    """Ed25519 alone, with nothing added that would change its id."""
    _invalid(lambda body: body["keys"][key("root-1").key_id].update(part), "keys")


def _encoded(second: int, sign: int = 0) -> str:
    return (second | sign << 255).to_bytes(32, "little").hex()


PRIME = 2**255 - 19
EIGHTH = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
"""The second coordinate of a point of order 8."""
SMALL_ORDER = [
    _encoded(second, sign)
    for second in (0, 1, PRIME - 1, EIGHTH, PRIME - EIGHTH)
    for sign in (0, 1)
]


@pytest.mark.parametrize("public", [*SMALL_ORDER, _encoded(PRIME), _encoded(PRIME + 1, 1)])
def test_a_point_that_everybody_can_sign_for_is_no_key(public: str) -> None:
    """All points of small order, with either sign, and those that are written in another form."""
    with pytest.raises(ValidationError, match="everybody could sign for it"):
        PublicKey.model_validate(
            {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": public}}
        )


def test_for_points_of_small_order_anybody_can_sign() -> None:
    """Nobody's private half is needed: which is why they are refused."""
    forged = bytes.fromhex(_encoded(1)) + bytes(32)
    held: set[str] = set()
    for public in SMALL_ORDER:
        for number in range(64):
            with suppress(InvalidSignature):
                checker = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
                checker.verify(forged, b"%d" % number)
                held.add(public)
    assert len(held) >= 8


# Rule 3


def test_a_root_that_lists_itself_with_threshold_one_is_refused() -> None:
    """One stolen key is never enough."""
    _invalid(lambda body: body.update(threshold=1), "threshold")


def test_a_root_key_that_is_named_twice_is_refused() -> None:
    """One key twice would be two of two."""
    _invalid(lambda body: body.update(root_keys=[key("root-1").key_id] * 2), "rule 3")


def test_a_threshold_that_cannot_be_reached_is_refused() -> None:
    """More signatures than keys: the root could never be followed by another."""
    _invalid(lambda body: body.update(threshold=4), "rule 3")


# Rule 4


def test_a_key_that_is_named_must_be_there() -> None:
    """An office of a key that nobody has."""
    _invalid(lambda body: body["keys"].pop(key("publisher").key_id), "rule 4")


def test_a_key_that_is_there_must_be_named() -> None:
    """A key without an office has no reason to be there."""
    _invalid(lambda body: body.update(publishers=[]), "rule 4")


# Rules 5 and 6


@pytest.mark.parametrize(
    ("publishers", "promoters"),
    [
        ([publisher("one")], [promoter("one")]),
        ([publisher("root-1")], [promoter()]),
        ([publisher()], [promoter("root-1")]),
    ],
)
def test_a_key_has_one_office(publishers: list[Any], promoters: list[Any]) -> None:
    """Who publishes does not promote, and root keys do neither: one stolen key is one office."""
    with pytest.raises(ValidationError, match="rule 5"):
        trust_root(publishers=publishers, promoters=promoters)


def test_a_key_is_revoked_in_all_that_it_may() -> None:
    """A key that is revoked for one model would otherwise go on signing for another."""
    with pytest.raises(ValidationError, match="rule 5"):
        trust_root(
            publishers=[
                publisher(models=["diarizer"], status=KeyStatus.REVOKED),
                publisher(models=["asr"]),
            ]
        )


@pytest.mark.parametrize(
    "promoters",
    [
        [promoter("registry", kinds=list(PromotionKind))],
        [registry(), promoter("registry", channels=["models/a/channels/b"])],
    ],
)
def test_the_registry_s_key_rolls_back_and_does_nothing_else(promoters: list[Any]) -> None:
    """A key that lies on a server may not promote, in one entry or in two."""
    with pytest.raises(ValidationError, match="rule 6"):
        trust_root(promoters=promoters)


# Rule 7


@pytest.mark.parametrize("version", [1, 3, 1000])
def test_a_version_that_is_skipped_or_repeated_is_refused(version: int) -> None:
    """After version 1 comes 2, whoever has signed what else."""
    signature = signed_root(trust_root(version=version), ROOT_KEYS)
    _refused("ROOT_GAP", lambda: check_next(trust_root(), signature), "rule 7")


def test_a_chain_begins_with_version_1() -> None:
    """A chain without its beginning could be anybody's."""
    _refused("ROOT_GAP", lambda: TrustRoots.of([signed_root(trust_root(version=2))]), "rule 7")


# Rule 8


@pytest.mark.parametrize(
    "signers", [["root-1"], ["root-1", "stranger"], ["root-1", "publisher"], ["stranger"]]
)
def test_fewer_signatures_than_the_threshold_are_not_enough(signers: list[str]) -> None:
    """Of the first version and of any other; strangers and other offices do not count."""
    _refused("ROOT_NOT_SIGNED", lambda: check_next(None, signed_root(trust_root(), signers)))
    second = signed_root(trust_root(version=2), signers)
    _refused("ROOT_NOT_SIGNED", lambda: check_next(trust_root(), second), "rule 8")


def test_a_root_that_is_not_signed_at_all_is_refused() -> None:
    """An envelope without signatures is no envelope that counts."""
    fields = json.loads(signed_root(trust_root()).content)
    fields["signatures"] = []
    chain = canonical({"schema_version": 1, "roots": [fields]})
    _refused("ROOT_NOT_SIGNED", lambda: TrustRoots.from_json(chain), "lacks 2 of the 2")


def test_one_key_that_signs_twice_does_not_reach_the_threshold() -> None:
    """Two signatures by one key, under its own id."""
    fields = json.loads(signed_root(trust_root(), ["root-1"]).content)
    fields["signatures"] *= 2
    chain = canonical({"schema_version": 1, "roots": [fields]})
    _refused("ROOT_INVALID", lambda: TrustRoots.from_json(chain))


def test_new_root_keys_cannot_take_over_by_themselves() -> None:
    """A next version that its own keys have signed, and none of the version before."""
    mine = ("mine-1", "mine-2")
    takeover = signed_root(trust_root(version=2, root_keys=mine), mine)
    _refused("ROOT_NOT_SIGNED", lambda: check_next(trust_root(), takeover), "of version 1")


def test_new_root_keys_must_have_signed() -> None:
    """A next version whose own keys have not signed: nobody may hold them."""
    lost = signed_root(trust_root(version=2, root_keys=ROTATED), ["root-1", "root-2"])
    _refused("ROOT_NOT_SIGNED", lambda: check_next(trust_root(), lost), "of version 2")


def test_a_threshold_cannot_be_lowered_below_what_was_demanded() -> None:
    """Three must sign; two that would lower it to two do not suffice."""
    before = trust_root(threshold=3)
    lower = trust_root(version=2)
    _refused("ROOT_NOT_SIGNED", lambda: check_next(before, signed_root(lower)), "of version 1")
    assert check_next(before, signed_root(lower, ROOT_KEYS)) == lower


def test_root_keys_are_rotated_by_old_and_new() -> None:
    """Two keys of each side suffice where they overlap; then the old key has no more say."""
    rotated = trust_root(version=2, root_keys=ROTATED)
    roots = trust_roots().followed_by(signed_root(rotated, ["root-2", "root-3"]))
    assert roots.newest == rotated
    third = trust_root(version=3, root_keys=ROTATED)
    _refused("ROOT_NOT_SIGNED", lambda: roots.followed_by(signed_root(third, ["root-1", "root-2"])))
    assert roots.followed_by(signed_root(third, ["root-2", "root-4"])).newest == third


# Rule 9


REVOKED = (
    trust_root(version=2, publishers=[publisher(status=KeyStatus.REVOKED)]),
    trust_root(version=2, promoters=[promoter(status=KeyStatus.REVOKED), registry()]),
)


@pytest.mark.parametrize("status", [KeyStatus.ACTIVE, KeyStatus.RETIRED])
def test_a_revoked_key_never_comes_back(status: KeyStatus) -> None:
    """Neither to work nor as a retired one, whoever signs that."""
    back = (
        trust_root(version=3, publishers=[publisher(status=status)]),
        trust_root(version=3, promoters=[promoter(status=status), registry()]),
    )
    for revoked, third in zip(REVOKED, back, strict=True):
        roots = trust_roots(trust_root(), revoked)
        offered = signed_root(third, ROOT_KEYS)
        _refused("ROOT_INVALID", partial(roots.followed_by, offered), "rule 9")


def test_a_revoked_key_is_not_forgotten() -> None:
    """Or it could come back one version later; not as a key of another office either."""
    for third in (
        trust_root(version=3, publishers=[publisher("other")]),
        trust_root(version=3, publishers=[], promoters=[promoter("publisher")]),
        trust_root(version=3, publishers=[], root_keys=[*ROOT_KEYS, "publisher"]),
    ):
        offered = signed_root(third, ROOT_KEYS)
        _refused("ROOT_INVALID", partial(check_next, REVOKED[0], offered), "rule 9")


def test_a_revoked_key_may_stay_as_it_is() -> None:
    """Beside those that came after it; what it was revoked for may be told otherwise."""
    third = trust_root(
        version=3,
        publishers=[publisher(models=["asr"], status=KeyStatus.REVOKED), publisher("other")],
    )
    assert check_next(REVOKED[0], signed_root(third)) == third


# What is missing


def test_how_many_signatures_are_missing_can_be_told() -> None:
    """So that whoever passes a draft on knows."""
    root = trust_root()
    assert missing_signatures(root, signed_root(root, ["root-1"])) == 1
    assert missing_signatures(root, signed_root(root, ["stranger"])) == 2
    assert missing_signatures(root, signed_root(root, ROOT_KEYS)) == 0


# The file


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"\xff",
        b"[]",
        b"[" * 100_000,
        b'{"schema_version":1,"roots":[]}',
        CHAIN.replace(b'"schema_version":1', b'"schema_version":2'),
        CHAIN.replace(b'"schema_version":1', b'"schema_version":1.0'),
        CHAIN.replace(b'"schema_version":1', b'"schema_version":true'),
        CHAIN.replace(b'"schema_version":1', b'"schema_version":1,"more":1'),
        CHAIN.replace(b'{"roots":', b'{"roots":[],"roots":', 1),
        CHAIN.replace(b'"keyid"', b'"cert":1,"keyid"', 1),
        CHAIN + CHAIN,
        b'{"schema_version":1,"roots":[{}]}',
        b'{"schema_version":1,"roots":["\\ud800"]}',
    ],
)
def test_a_file_that_is_no_chain_is_refused(content: bytes) -> None:
    """One reason for all of them."""
    _refused("ROOT_INVALID", lambda: TrustRoots.from_json(content))


def test_a_chain_without_a_version_is_refused() -> None:
    """Nothing would be in force."""
    _refused("ROOT_INVALID", lambda: TrustRoots.of([]))


def test_an_endless_file_is_refused_unread(tmp_path: Path) -> None:
    """No more is read than a chain may have."""
    path = tmp_path / "endless.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    _refused("ROOT_INVALID", lambda: read_trust_roots(path), str(MAXIMUM_CHAIN_BYTES))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A trust root that is asked for and missing is never passed over."""
    with pytest.raises(InvalidInput) as refusal:
        read_trust_roots(tmp_path / "none.json")
    assert refusal.value.reason == "TRUST_ROOT_UNREADABLE"
    assert "none.json" in refusal.value.message


def test_a_version_in_the_middle_that_was_changed_breaks_the_chain() -> None:
    """Each version is checked with the one before it, not the newest alone."""
    roots = trust_roots(*(trust_root(version=version) for version in (1, 2, 3)))
    forged = signed_root(trust_root(version=2), ["root-1", "stranger"])
    chain = [roots.chain[0].signature, forged, roots.chain[2].signature]
    _refused("ROOT_NOT_SIGNED", lambda: TrustRoots.of(chain))


# Patterns


@pytest.mark.parametrize(
    ("pattern", "model", "covered"),
    [
        ("diarizer", "diarizer", True),
        ("diarizer", "diarizer-2", False),
        ("asr-*", "asr-small", True),
        ("asr-*", "asr", False),
        ("*", "anything", True),
        ("*-v1", "asr-v1", True),
        ("a*b*c", "axxbyyc", True),
        ("a*b*c", "axxbyy", False),
    ],
)
def test_a_publisher_s_models_are_patterns(pattern: str, model: str, covered: bool) -> None:
    """A star stands for any characters, and for nothing else."""
    assert publisher(models=["other", pattern]).covers(model) is covered


@pytest.mark.parametrize(
    ("pattern", "channel", "covered"),
    [
        ("models/diarizer/channels/stable", ("diarizer", "stable"), True),
        ("models/diarizer/channels/*", ("diarizer", "stable"), True),
        ("models/diarizer/channels/*", ("diarizer-2", "stable"), False),
        ("models/*/channels/dev", ("asr", "dev"), True),
        ("models/*/channels/dev", ("asr", "stable"), False),
        ("models/d*r/channels/dev-*", ("diarizer", "dev-1"), True),
    ],
)
def test_a_promoter_s_channels_are_patterns(
    pattern: str, channel: tuple[str, str], covered: bool
) -> None:
    """A star stands for any characters of one segment."""
    one = promoter(channels=[pattern], kinds=[PromotionKind.PROMOTE])
    assert one.covers(ChannelName(*channel), PromotionKind.PROMOTE) is covered
    assert not one.covers(ChannelName(*channel), PromotionKind.ROLLBACK)
