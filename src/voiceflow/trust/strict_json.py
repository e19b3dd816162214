"""JSON where a second reading would be an attack: one form to write, no ambiguity to read.

Parsers disagree about what is no plain JSON: the first or the last of two equal keys, NaN, UTF-16.
What one of them checks, another one would understand otherwise; so all of that is refused.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NoReturn

from pydantic import ValidationError


def canonical(body: object) -> bytes:
    """The one form of a value: sorted keys, no white space, UTF-8 (RFC 8785).

    Args:
        body: Texts, whole numbers, booleans, nothing, and lists and tables of them.
    """
    return json.dumps(
        body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def parsed(content: bytes) -> object:
    """Reads JSON that holds no number with a fraction.

    Raises:
        ValueError: It is no UTF-8, no JSON, nested too deeply, has a key twice in one table, or a
            number that is not whole, or far too long.
    """
    try:
        return json.loads(
            content.decode("utf-8"),  # given bytes, `json` would guess at UTF-16 and UTF-32
            object_pairs_hook=_without_duplicates,
            parse_constant=_refused_number,
            parse_float=_refused_number,
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def first_fault(error: ValidationError) -> str:
    """What is wrong with the first field at fault; does not repeat what was sent."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = ".".join(str(part)[:80] for part in first["loc"][:8])
    return f"{field}: {first['msg']}" if field else first["msg"]


def _without_duplicates(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a table has a key twice")
    return table


def _refused_number(text: str) -> NoReturn:
    raise ValueError(f"{text[:40]} is no whole number")
