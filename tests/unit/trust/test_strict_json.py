"""Strict JSON: what two parsers would understand differently is refused."""

from __future__ import annotations

import pytest

from voiceflow.trust.strict_json import canonical, parsed


@pytest.mark.parametrize(
    "content",
    [
        b'{"a":1,"a":2}',
        b'{"b":{"a":1,"a":1}}',
        b"NaN",
        b"[Infinity]",
        b"[-Infinity]",
        b"1.5",
        b"1e3",
        b"9" * 5000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"{}{}",
        b"",
        b"\xff",
        b"\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-32"),
    ],
    ids=[
        *("duplicate key", "duplicate key below", "NaN", "infinity", "-infinity", "fraction"),
        *("exponent", "huge number", "deep list", "deep table", "two documents", "nothing"),
        *("no UTF-8", "byte order mark", "UTF-16", "UTF-32"),
    ],
)
def test_ambiguous_json_is_refused(content: bytes) -> None:
    """Nothing is read that has a second reading, or none."""
    with pytest.raises(ValueError, match=r"."):
        parsed(content)


def test_canonical_json_is_read_back() -> None:
    """What is written in the one form is read as what it was, and written alike again."""
    body = {"ä": ["\u2028", 1, None, True], "a": {"c": -1, "b": ""}}
    assert parsed(canonical(body)) == body
    assert canonical(parsed(canonical(body))) == canonical(body)
    assert canonical({"b": 1, "a": 2}) == b'{"a":2,"b":1}'


def test_canonical_json_holds_no_nan() -> None:
    """NaN is no JSON, and is not written."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical([float("nan")])
