"""Cuts lists into pages: a token says after which item to go on, and belongs to its query.

A page begins after a key, never at a number, so that what comes and goes between two pages makes
nothing else appear twice or not at all.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeVar

from voiceflow.catalog.values import Page
from voiceflow.errors import InvalidInput

DEFAULT_PAGE_SIZE: Final = 50
MAXIMUM_PAGE_SIZE: Final = 1000

_TOKEN_CHARACTERS: Final = 2048

Item = TypeVar("Item")


class More:
    """In an item's place: enough was looked at for one page, and more may come after this key."""


MORE: Final = More()


def page_of(
    items_after: Callable[[str], Iterator[tuple[str, Item | More]]],
    *,
    query: Mapping[str, object],
    page_size: int,
    page_token: str,
) -> Page[Item]:
    """One page of a list.

    Args:
        items_after: Gives key and item, in the list's order, of all that come after a key; "" is
            before the first. It must bear a key that it has never given: a token can be forged.
            With `MORE` in an item's place the page ends, and the next one goes on after that key.
        query: What was asked for besides size and token, as what JSON can hold: method, parent and
            filters. A token goes on with this query alone.
        page_size: At most so many items; 0 means 50, more than 1000 means 1000.
        page_token: Of the page before; empty for the first.

    Raises:
        InvalidInput: FIELD_INVALID for a negative size, PAGE_TOKEN_INVALID for a token that is
            none, or that belongs to another query.
    """
    if page_size < 0:
        raise InvalidInput(
            f"page_size: {page_size}; allowed is 0 (for {DEFAULT_PAGE_SIZE}) to "
            f"{MAXIMUM_PAGE_SIZE}",
            reason="FIELD_INVALID",
            field="page_size",
        )
    size = min(page_size or DEFAULT_PAGE_SIZE, MAXIMUM_PAGE_SIZE)
    after = _read(page_token, query) if page_token else ""
    items: list[Item] = []
    last = ""
    for key, item in items_after(after):
        if isinstance(item, More):
            return Page(items, _write(key, query))
        if len(items) == size:
            return Page(items, _write(last, query))
        items.append(item)
        last = key
    return Page(items)


def _write(key: str, query: Mapping[str, object]) -> str:
    text = json.dumps([_mark(key, query), key], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read(token: str, query: Mapping[str, object]) -> str:
    try:
        if len(token) > _TOKEN_CHARACTERS:
            raise ValueError("too long")  # noqa: TRY301 - one way out for all faults
        padded = token.encode("ascii") + b"=" * (-len(token) % 4)
        mark, key = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if not isinstance(key, str) or mark != _mark(key, query):
            raise ValueError("of another query")  # noqa: TRY301 - likewise
    except (RecursionError, TypeError, ValueError):
        raise InvalidInput(
            f"page_token: {token[:100]!r} was not given for this query; send the token of the page "
            "before with the same parent and filters, or none for the first page",
            reason="PAGE_TOKEN_INVALID",
            field="page_token",
        ) from None
    return key


def _mark(key: str, query: Mapping[str, object]) -> str:
    """Ties a key to its query, and finds a token that was cut or changed."""
    text = json.dumps([query, key], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
