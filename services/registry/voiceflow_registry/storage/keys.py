"""What a key may be; every adapter checks by these rules, so that none accepts what another cannot.

A key that passes can be a path below a folder and an object name in a bucket alike.
"""

from __future__ import annotations

import re
from typing import Final

MAXIMUM_KEY_LENGTH: Final = 512
MAXIMUM_PART_LENGTH: Final = 255
"""What common filesystems take as a file's name."""

_PART: Final = re.compile(r"[A-Za-z0-9._-]+")


def is_part(part: str) -> bool:
    """Whether this may stand between two slashes of a key."""
    return (
        _PART.fullmatch(part) is not None
        and part not in {".", ".."}
        and len(part) <= MAXIMUM_PART_LENGTH
    )


def is_key(key: str) -> bool:
    """Whether this may name an object."""
    return len(key) <= MAXIMUM_KEY_LENGTH and all(map(is_part, key.split("/")))


def check_key(key: str) -> list[str]:
    """The parts of a key.

    Raises:
        ValueError: It is none.
    """
    if not is_key(key):
        raise ValueError(
            f"key: {key[:100]!r} is not made of parts of A-Z a-z 0-9 . _ - joined by slashes, at "
            f"most {MAXIMUM_PART_LENGTH} characters a part and {MAXIMUM_KEY_LENGTH} in all"
        )
    return key.split("/")


def check_prefix(prefix: str) -> list[str]:
    """The whole parts that a prefix begins with: `a/b/c` begins with `a` and `b`.

    Raises:
        ValueError: No key begins so.
    """
    *parts, rest = prefix.split("/")
    begins = rest in {"", ".", ".."} or is_part(rest)
    if len(prefix) > MAXIMUM_KEY_LENGTH or not begins or not all(map(is_part, parts)):
        raise ValueError(f"prefix: no key begins with {prefix[:100]!r}")
    return parts


def check_folder(prefix: str) -> list[str]:
    """The parts of a prefix that ends with a slash; none for the empty one, which is all.

    Raises:
        ValueError: It does not end so, or no key begins so.
    """
    parts = check_prefix(prefix)
    if prefix and not prefix.endswith("/"):
        raise ValueError(f"prefix: {prefix[:100]!r} does not end with a slash")
    return parts
