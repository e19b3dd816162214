"""What goes over the socket is strict JSON, a value a line."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceflow.validation.sandbox import JsonValue
from voiceflow.validation.sandbox.wire import from_line, to_line

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # A surrogate alone is no text.
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_a_value_comes_back_as_it_was(value: JsonValue) -> None:
    """Whatever JSON can say goes through unchanged, on exactly one line."""
    line = to_line(value)
    assert line.count(b"\n") == 1
    assert from_line(line) == value


@given(st.binary(max_size=200))
def test_bytes_are_a_value_or_refused(line: bytes) -> None:
    """No bytes do anything else than be read or raise ValueError."""
    try:
        value = from_line(line)
    except ValueError:
        return
    assert from_line(to_line(value)) == value


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_not_sent(number: float) -> None:
    """JSON has no such number."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_line({"seconds": number})
