"""What scripts write into pages: it stands between two marks, and nothing else is touched."""

from __future__ import annotations


def block_of(page: str, name: str) -> str | None:
    """What stands between the marks of this name; None: they are not there."""
    begin, end = marks(name)
    _, begun, rest = page.partition(begin)
    block, ended, _ = rest.partition(end)
    return block.strip() if begun and ended else None


def with_block(page: str, name: str, text: str) -> str:
    """The page with another text between its marks."""
    begin, end = marks(name)
    before, _, rest = page.partition(begin)
    return f"{before}{begin}\n\n{text}\n\n{end}{rest.partition(end)[2]}"


def marks(name: str) -> tuple[str, str]:
    """Where a block begins, and where it ends."""
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
