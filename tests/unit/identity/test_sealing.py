"""What was sealed opens for whom it is meant, unchanged, in its time, and not otherwise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceflow.errors import InvalidInput, NotServed, TooLarge
from voiceflow.identity import sealing
from voiceflow.identity.key_set import KeySet, SealingKey, TokenKey, key_set_json
from voiceflow.identity.sealing import MAXIMUM_SEALED_BYTES, Sealer

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(seconds=60)
OLD, NEW = SealingKey.generate(), SealingKey.generate()


def sealer(*keys: SealingKey) -> Sealer:
    """Seals with the first."""
    held = KeySet({}, keys or (NEW,))
    return Sealer(lambda: held)


def refusal(
    token: bytes, *, bound_to: bytes = b"alice", now: datetime = NOW, by: Sealer | None = None
) -> str:
    """The reason that a token does not open for."""
    with pytest.raises(InvalidInput) as caught:
        (by or sealer()).open(token, bound_to=bound_to, now=now)
    assert caught.value.field == "resume_token"
    assert caught.value.__cause__ is None
    return caught.value.reason


SEALED = sealer().seal(b"voiceprint", bound_to=b"alice", expire_time=LATER)


@given(st.binary(max_size=2000), st.binary(max_size=200))
def test_what_was_sealed_opens(content: bytes, bound_to: bytes) -> None:
    """For whom it is bound to, as it was."""
    token = sealer().seal(content, bound_to=bound_to, expire_time=LATER)
    assert sealer().open(token, bound_to=bound_to, now=NOW) == content


def test_content_is_not_to_be_read_and_two_seals_differ() -> None:
    """Equal contents do not look alike."""
    again = sealer().seal(b"voiceprint", bound_to=b"alice", expire_time=LATER)
    assert b"voiceprint" not in SEALED
    assert b"alice" not in SEALED
    head = 10 + len(NEW.key_id)
    assert SEALED[:head] == again[:head]
    assert SEALED[head : head + 16] != again[head : head + 16]
    assert SEALED[head + 16 : head + 28] != again[head + 16 : head + 28]
    assert SEALED[head + 28 :] != again[head + 28 :]


def test_a_flipped_bit_anywhere_breaks_it() -> None:
    """In the expiry and the key's id, too."""
    for place in range(len(SEALED) * 8):
        changed = bytearray(SEALED)
        changed[place // 8] ^= 1 << place % 8
        assert refusal(bytes(changed)) == "RESUME_TOKEN_INVALID"


def test_what_was_cut_or_added_to_does_not_open() -> None:
    """At every length."""
    for length in range(len(SEALED)):
        assert refusal(SEALED[:length]) == "RESUME_TOKEN_INVALID"
    assert refusal(SEALED + b"\x00") == "RESUME_TOKEN_INVALID"
    assert refusal(b"\x00" + SEALED) == "RESUME_TOKEN_INVALID"


def test_another_version_is_not_read_as_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the same key has sealed it: what its bytes mean is not known here."""
    with monkeypatch.context() as newer:
        newer.setattr(sealing, "_VERSION", 2)
        token = sealer().seal(b"x", bound_to=b"alice", expire_time=LATER)
        assert sealer().open(token, bound_to=b"alice", now=NOW) == b"x"
    assert refusal(token) == "RESUME_TOKEN_INVALID"


def test_only_whom_it_is_bound_to_can_use_it() -> None:
    """Another caller, or the same for something else, cannot."""
    for other in (b"", b"bob", b"alice2", b"alic", b"\x00alice"):
        assert refusal(SEALED, bound_to=other) == "RESUME_TOKEN_INVALID"


def test_the_head_and_what_it_is_bound_to_are_told_apart() -> None:
    """A byte that moves from the one to the other is a change."""
    key = SealingKey("a", NEW.secret)
    token = sealer(key).seal(b"x", bound_to=b"b", expire_time=LATER)
    moved = token[:9] + b"\x02" + b"ab" + token[11:]
    other = sealer(key, SealingKey("ab", NEW.secret))
    assert refusal(moved, bound_to=b"", by=other) == "RESUME_TOKEN_INVALID"


def test_it_opens_until_it_expires() -> None:
    """To the millisecond; the error has a reason of its own."""
    before = LATER - timedelta(milliseconds=1)
    assert sealer().open(SEALED, bound_to=b"alice", now=before) == b"voiceprint"
    assert refusal(SEALED, now=LATER) == "RESUME_TOKEN_EXPIRED"


def test_only_a_genuine_token_is_told_that_it_has_expired() -> None:
    """Anything else is none, whenever it comes."""
    assert refusal(SEALED, bound_to=b"bob", now=LATER) == "RESUME_TOKEN_INVALID"
    assert refusal(SEALED[:-1] + b"\x00", now=LATER) == "RESUME_TOKEN_INVALID"


def test_keys_are_rotated_without_a_break() -> None:
    """The first seals, all open; one that was removed opens nothing more."""
    old, both, new = sealer(OLD), sealer(NEW, OLD), sealer(NEW)
    token = old.seal(b"x", bound_to=b"", expire_time=LATER)
    assert both.open(token, bound_to=b"", now=NOW) == b"x"
    assert refusal(token, bound_to=b"", by=new) == "RESUME_TOKEN_INVALID"
    later = both.seal(b"y", bound_to=b"", expire_time=LATER)
    assert new.open(later, bound_to=b"", now=NOW) == b"y"
    assert refusal(later, bound_to=b"", by=old) == "RESUME_TOKEN_INVALID"


def test_a_key_of_the_same_name_is_not_the_same_key() -> None:
    """Names are for finding keys, not for trusting them."""
    other = sealer(SealingKey(NEW.key_id, OLD.secret))
    assert refusal(SEALED, by=other) == "RESUME_TOKEN_INVALID"


@given(st.binary(max_size=120))
def test_no_bytes_bring_it_down(token: bytes) -> None:
    """Anybody may send anything."""
    assert refusal(token) == "RESUME_TOKEN_INVALID"


def test_a_token_of_any_length_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything of it is looked at; what would be too long is not sealed."""
    room = MAXIMUM_SEALED_BYTES - len(SEALED) + len(b"voiceprint")
    token = sealer().seal(bytes(room), bound_to=b"alice", expire_time=LATER)
    assert len(token) == MAXIMUM_SEALED_BYTES
    assert sealer().open(token, bound_to=b"alice", now=NOW) == bytes(room)
    with pytest.raises(TooLarge) as caught:
        sealer().seal(bytes(room + 1), bound_to=b"alice", expire_time=LATER)
    assert caught.value.reason == "RESUME_TOKEN_TOO_LARGE"
    monkeypatch.setattr(KeySet, "sealing_key", lambda _, key_id: pytest.fail(key_id))
    assert refusal(token + b"\x00") == "RESUME_TOKEN_INVALID"


def test_without_a_sealing_key_nothing_is_sealed_or_opened() -> None:
    """As in a key set for tokens alone."""
    keys = KeySet.from_json(key_set_json([TokenKey.generate()]))
    without = Sealer(lambda: keys)
    with pytest.raises(NotServed) as caught:
        without.seal(b"", bound_to=b"", expire_time=LATER)
    assert caught.value.reason == "SEALING_KEY_MISSING"
    assert refusal(SEALED, by=without) == "RESUME_TOKEN_INVALID"


def test_the_time_is_that_of_now() -> None:
    """Where none is given."""
    now = datetime.now(UTC)
    gone = sealer().seal(b"", bound_to=b"", expire_time=now - timedelta(minutes=1))
    with pytest.raises(InvalidInput):
        sealer().open(gone, bound_to=b"")
    good = sealer().seal(b"x", bound_to=b"", expire_time=now + timedelta(hours=1))
    assert sealer().open(good, bound_to=b"") == b"x"
