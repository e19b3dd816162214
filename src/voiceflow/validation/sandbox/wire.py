"""What goes over the socket between the registry and a model's process: one JSON value a line.

Strict on purpose, since one side is not trusted: no NaN, no infinity, no name twice.
"""

from __future__ import annotations

import json
from typing import NoReturn, cast

from voiceflow.validation.sandbox.limits import JsonValue

END = b"\n"


def to_line(value: JsonValue) -> bytes:
    """One value as a line.

    Raises:
        ValueError: If it holds a number that is not finite.
    """
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii") + END


def from_line(line: bytes) -> JsonValue:
    """Reads one line.

    Raises:
        ValueError: If it is not one JSON value, holds a number that is not finite, or nests deeper
            than the interpreter follows.
    """
    try:
        value = json.loads(
            line.decode("utf-8"), parse_constant=_refuse, object_pairs_hook=_names_once
        )
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    return cast("JsonValue", value)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _names_once(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found
