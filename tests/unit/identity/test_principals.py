"""Which texts are principals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceflow.identity.principals import is_principal, is_trust_domain


@pytest.mark.parametrize(
    "text",
    [
        "spiffe://voiceflow.local/publisher/alice",
        "spiffe://a/b",
        "spiffe://a.b-c_d.9/ns/x/sa/y",
        "spiffe://a/...",
        "spiffe://a/.b/c.",
        "spiffe://a/" + "b" * 2037,
    ],
)
def test_a_spiffe_id_with_a_path_is_a_principal(text: str) -> None:
    """A trust domain, and one segment or more."""
    assert is_principal(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "alice",
        "spiffe:/a/b",
        "https://a/b",
        "SPIFFE://a/b",
        "spiffe://A/b",
        "spiffe://a",
        "spiffe://a/",
        "spiffe:///b",
        "spiffe://a//b",
        "spiffe://a/b/",
        "spiffe://a/b//c",
        "spiffe://a/./b",
        "spiffe://a/../b",
        "spiffe://a/b/..",
        "spiffe://a/b/.",
        "spiffe://a/b/%2e%2e/c",
        "spiffe://a/b%2Fc",
        "spiffe://a/b?c",
        "spiffe://a/b#c",
        "spiffe://a:443/b",
        "spiffe://user@a/b",
        "spiffe://a/b c",
        "spiffe://a/b\n",
        "spiffe://a/b\x00",
        " spiffe://a/b",
        "spiffe://a/b\\c",
        "spiffe://a/*",
        "spiffe://*/b",
        "spiffe://a/é",
        "spiffe://a/\u0430",
        "spiffe://" + "a" * 256 + "/b",
        "spiffe://a/" + "b" * 2038,
    ],
)
def test_anything_that_could_be_read_in_two_ways_is_none(text: str) -> None:
    """No dots, escapes, empty segments, ports, users, queries; one script, one case."""
    assert not is_principal(text)


@given(st.from_regex(r"spiffe://[a-z0-9._-]{1,20}(/[A-Za-z0-9._-]{1,10}){1,4}", fullmatch=True))
def test_only_dot_segments_are_refused_among_allowed_letters(text: str) -> None:
    """Every other text of the form is a principal."""
    assert is_principal(text) == (not {".", ".."} & set(text.split("/")[3:]))


def test_a_trust_domain_is_lower_case() -> None:
    """As the SPIFFE ID specification has it; so no two spellings name the same."""
    assert is_trust_domain("voiceflow.local")
    assert not any(map(is_trust_domain, ("", "Voiceflow", "a/b", "a b", "a\n", "a" * 256)))
