"""Envelopes: nothing odd is opened, and only keys that the reader names count."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.signer import SSlibKey

from tests.fakes.trust import key, signed
from voiceflow.catalog.values import Signature
from voiceflow.errors import Untrusted
from voiceflow.trust.envelopes import (
    ENVELOPE_MEDIA_TYPE,
    MAXIMUM_ENVELOPE_BYTES,
    PayloadType,
    opened,
)

PAYLOAD = b'{"model":"diarizer"}'
KEYS = (key("a").public, key("b").public)


def _envelope(*signers: str) -> Signature:
    return signed(PAYLOAD, PayloadType.MANIFEST, signers)


def _fields(signature: Signature) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(signature.content)
    return fields


def _signature(fields: object) -> Signature:
    return Signature(media_type=ENVELOPE_MEDIA_TYPE, content=json.dumps(fields).encode())


def _refused(signature: Signature, *, expected: bytes | None = PAYLOAD) -> None:
    with pytest.raises(Untrusted) as refusal:
        opened(signature, PayloadType.MANIFEST, keys=KEYS, expected=expected)
    assert refusal.value.reason == "SIGNATURE_INVALID"


def test_every_key_that_has_signed_is_named() -> None:
    """An envelope with two signatures names both keys, and no other that was asked for."""
    keys = (*KEYS, key("c").public)
    found = opened(_envelope("a", "b"), PayloadType.MANIFEST, keys=keys, expected=PAYLOAD)
    assert found.payload == PAYLOAD
    assert found.signers == {key("a").key_id, key("b").key_id}


def test_an_unknown_key_does_not_count() -> None:
    """A good signature by a key that the reader does not name counts for nothing."""
    assert not opened(_envelope("stranger"), PayloadType.MANIFEST, keys=KEYS).signers


def test_a_forged_key_id_does_not_count() -> None:
    """A signature by one key that is said to be another's counts for nothing."""
    fields = _fields(_envelope("stranger"))
    fields["signatures"][0]["keyid"] = key("a").key_id
    assert not opened(_signature(fields), PayloadType.MANIFEST, keys=KEYS).signers


def test_a_broken_signature_does_not_count_beside_a_good_one() -> None:
    """Of two signatures, one of them another payload's, the good one alone counts."""
    fields = _fields(_envelope("a", "b"))
    other = _fields(signed(b"other", PayloadType.MANIFEST, ["b"]))
    fields["signatures"][1] = other["signatures"][0]
    found = opened(_signature(fields), PayloadType.MANIFEST, keys=KEYS)
    assert found.signers == {key("a").key_id}


def test_two_signatures_by_one_key_are_refused() -> None:
    """One key that signs twice in one envelope is no two signers."""
    fields = _fields(_envelope("a"))
    fields["signatures"] *= 2
    _refused(_signature(fields))


def test_an_envelope_over_other_bytes_is_refused() -> None:
    """A good signature over something else than what came with it."""
    _refused(_envelope("a"), expected=PAYLOAD + b" ")


@pytest.mark.parametrize("other", [PayloadType.PROMOTION, PayloadType.TRUST_ROOT])
def test_a_signature_of_another_payload_type_is_refused(other: PayloadType) -> None:
    """What was signed as a promotion is no manifest, though the bytes be the same."""
    _refused(signed(PAYLOAD, other, ["a"]))


def test_a_payload_type_that_was_changed_afterwards_does_not_verify() -> None:
    """The payload type is part of what is signed."""
    fields = _fields(signed(PAYLOAD, PayloadType.PROMOTION, ["a"]))
    fields["payloadType"] = PayloadType.MANIFEST.value
    assert not opened(_signature(fields), PayloadType.MANIFEST, keys=KEYS).signers


def test_another_media_type_is_refused() -> None:
    """A signature of a kind that is not known is not guessed at."""
    _refused(_envelope("a").model_copy(update={"media_type": "application/json"}))


def test_an_endless_envelope_is_refused_unread() -> None:
    """More bytes than an envelope may have are refused before they are parsed."""
    content = _envelope("a").content
    padded = content + b" " * (MAXIMUM_ENVELOPE_BYTES - len(content))
    assert opened(
        Signature(media_type=ENVELOPE_MEDIA_TYPE, content=padded), PayloadType.MANIFEST, keys=KEYS
    ).signers
    _refused(Signature(media_type=ENVELOPE_MEDIA_TYPE, content=padded + b" "))


def _change(change: Callable[[dict[str, Any]], object]) -> Signature:
    fields = copy.deepcopy(_fields(_envelope("a")))
    change(fields)
    return _signature(fields)


def _spare_bits(text: str) -> str:
    """The same bytes in base64 that an encoder would not write."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    stem = text.rstrip("=")
    other = stem[:-1] + alphabet[alphabet.index(stem[-1]) + 1] + "=" * (len(text) - len(stem))
    assert base64.b64decode(other) == base64.b64decode(text)
    return other


@pytest.mark.parametrize(
    "envelope",
    [
        _change(lambda e: e.update(more=1)),
        _change(lambda e: e["signatures"][0].update(cert="x")),
        _change(lambda e: e["signatures"][0].update(keyid=None)),
        _change(lambda e: e["signatures"][0].pop("keyid")),
        _change(lambda e: e["signatures"][0].update(keyid=e["signatures"][0]["keyid"].upper())),
        _change(lambda e: e["signatures"][0].update(keyid=e["signatures"][0]["keyid"] + "\n")),
        _change(lambda e: e["signatures"][0].update(sig=e["signatures"][0]["sig"][:-4])),
        _change(lambda e: e["signatures"][0].update(sig=_spare_bits(e["signatures"][0]["sig"]))),
        _change(lambda e: e.update(signatures=e["signatures"][0])),
        _change(lambda e: e.update(payload=e["payload"] + "\n")),
        _change(lambda e: e.update(payload=e["payload"].rstrip("="))),
        _change(lambda e: e.update(payload="\ud800")),
        _change(lambda e: e.update(payload=list(PAYLOAD))),
        _change(lambda e: e.update(payloadType=None)),
        _change(lambda e: e.pop("payload")),
        _signature([]),
        _signature(None),
        _signature(1),
    ],
)
def test_an_envelope_of_an_odd_shape_is_refused(envelope: Signature) -> None:
    """Unknown fields, other types, other lengths, other forms of the same bytes."""
    _refused(envelope)


def test_more_signatures_than_an_envelope_holds_are_refused() -> None:
    """Each would cost a verification, and the sender chooses how many."""
    good = _fields(_envelope("a"))
    more = [{"keyid": f"{number:064x}", "sig": "A" * 86 + "=="} for number in range(16)]
    full = good | {"signatures": [*good["signatures"], *more[:-1]]}
    assert opened(_signature(full), PayloadType.MANIFEST, keys=KEYS).signers
    _refused(_signature(good | {"signatures": [*good["signatures"], *more]}))


def test_a_url_safe_alphabet_is_refused() -> None:
    """Of the two alphabets that DSSE allows one is written, and that one is read."""
    payload = b"\xfb\xff\xfe"
    fields = _fields(signed(payload, PayloadType.MANIFEST, ["a"]))
    assert fields["payload"] == "+//+"
    fields["payload"] = "-__-"
    _refused(_signature(fields), expected=payload)


def test_a_payload_that_is_given_twice_is_refused() -> None:
    """One parser would check the first, another use the second."""
    content = _envelope("a").content
    twice = b'{"payload":"AAAA",' + content[1:]
    assert json.loads(twice) == json.loads(content)
    _refused(Signature(media_type=ENVELOPE_MEDIA_TYPE, content=twice))


def test_an_rsa_key_under_a_known_id_cannot_be_offered() -> None:
    """Which kind of key it is says the reader's own key, and nothing in the envelope."""
    fields = _fields(_envelope("a"))
    assert set(fields["signatures"][0]) == {"keyid", "sig"}
    wrong = SSlibKey(key("a").key_id, "ed25519", "ed25519", {"public": "00" * 31})
    assert not opened(_envelope("a"), PayloadType.MANIFEST, keys=[wrong]).signers


@given(st.binary(max_size=300))
def test_noise_is_refused_as_untrusted(content: bytes) -> None:
    """Whatever is sent, it is refused by the one reason, and by no other error."""
    _refused(Signature(media_type=ENVELOPE_MEDIA_TYPE, content=content))


@given(position=st.integers(min_value=0), bit=st.integers(0, 7))
def test_a_flipped_bit_is_never_a_good_signature_over_other_bytes(position: int, bit: int) -> None:
    """A flipped bit anywhere is refused, leaves no signer, or leaves the payload what it was."""
    content = bytearray(_envelope("a").content)
    content[position % len(content)] ^= 1 << bit
    flipped = Signature(media_type=ENVELOPE_MEDIA_TYPE, content=bytes(content))
    with suppress(Untrusted):
        found = opened(flipped, PayloadType.MANIFEST, keys=KEYS)
        assert not found.signers or found.payload == PAYLOAD
