"""Pages of lists: each item once, whatever comes and goes; tokens that fit their query alone."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceflow.catalog.values import Page
from voiceflow.errors import InvalidInput
from voiceflow_registry.paging import MORE, More, page_of

QUERY = {"method": "ListThings", "parent": "models/-"}


def page(
    keys: set[str], size: int = 0, token: str = "", query: dict[str, object] | None = None
) -> Page[str]:
    """A page of sorted keys."""

    def after(key: str) -> Iterator[tuple[str, str]]:
        return ((other, other.upper()) for other in sorted(keys) if other > key)

    return page_of(after, query=query or dict(QUERY), page_size=size, page_token=token)


KEYS = st.sets(st.text("abc", min_size=1, max_size=4), max_size=30)


@given(kept=KEYS, comes=KEYS, goes=KEYS, size=st.integers(1, 7))
def test_what_stays_is_listed_exactly_once_whatever_comes_and_goes(
    kept: set[str], comes: set[str], goes: set[str], size: int
) -> None:
    """Items that stand in the list throughout come exactly once and in order."""
    listed: list[str] = []
    first = page(kept | goes, size)
    listed.extend(first.items)
    token = first.next_page_token
    while token:
        later = page(kept | comes, size, token)
        assert len(later.items) <= size
        listed.extend(later.items)
        token = later.next_page_token
    assert [item for item in listed if item.lower() in kept - comes - goes] == [
        key.upper() for key in sorted(kept - comes - goes)
    ]
    assert len(listed) == len(set(listed))


def test_page_sizes_are_those_of_the_api() -> None:
    """0 means 50, more than 1000 means 1000, and the last page has no token."""
    keys = {f"{number:05}" for number in range(1200)}
    assert len(page(keys).items) == 50
    assert len(page(keys, 5000).items) == 1000
    assert page(keys, 1000).next_page_token
    assert page({"a", "b"}, 2) == Page(["A", "B"], "")
    assert page(set()) == Page([], "")


def test_a_negative_size_is_refused() -> None:
    """A negative page size names its field and what is allowed."""
    with pytest.raises(InvalidInput, match="allowed is 0") as caught:
        page({"a"}, -1)
    assert (caught.value.reason, caught.value.field) == ("FIELD_INVALID", "page_size")


def test_a_token_belongs_to_its_query() -> None:
    """A token sent with another filter is refused."""
    token = page({"a", "b"}, 1).next_page_token
    assert page({"a", "b"}, 1, token).items == ["B"]
    with pytest.raises(InvalidInput) as caught:
        page({"a", "b"}, 1, token, {**QUERY, "filter": "x"})
    assert (caught.value.reason, caught.value.field) == ("PAGE_TOKEN_INVALID", "page_token")


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "ÄÖ",
        "a" * 5000,
        base64.urlsafe_b64encode(b"{}").decode(),
        base64.urlsafe_b64encode(b'["", ""]').decode(),
        base64.urlsafe_b64encode(b"[1, 2]").decode(),
        base64.urlsafe_b64encode(b"[" * 1500).decode(),
    ],
)
def test_garbage_is_no_token(token: str) -> None:
    """Whatever is no token is refused as such."""
    with pytest.raises(InvalidInput) as caught:
        page({"a"}, 1, token)
    assert caught.value.reason == "PAGE_TOKEN_INVALID"


def test_a_list_may_end_a_page_before_it_is_full() -> None:
    """Where much was looked at and little found; the next page goes on right there."""

    def after(key: str) -> Iterator[tuple[str, int | More]]:
        numbers = range(int(key) + 1 if key else 0, 10)
        for at, number in enumerate(numbers):
            if at == 4:
                yield str(number), MORE
                return
            if number % 5 == 0:
                yield str(number), number

    token, pages = "", []
    while True:
        found = page_of(after, query=QUERY, page_size=3, page_token=token)
        pages.append(list(found.items))
        token = found.next_page_token
        if not token:
            break
    assert pages == [[0], [5], []]


@given(st.integers(0, 200), st.integers(0, 255))
def test_a_changed_token_is_refused(place: int, byte: int) -> None:
    """A token that was changed in any place goes on nowhere."""
    token = page({"a", "b"}, 1).next_page_token.encode()
    place %= len(token)
    changed = (token[:place] + bytes([byte]) + token[place + 1 :]).decode("latin-1")
    if base64.urlsafe_b64decode(token + b"==") == _decoded(changed):
        return
    with pytest.raises(InvalidInput):
        page({"a", "b"}, 1, changed)


def _decoded(token: str) -> bytes | None:
    try:
        return base64.urlsafe_b64decode(token + "==")
    except ValueError:
        return None
