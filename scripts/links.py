"""The links of Markdown pages: which there are, and where a page can be entered.

Pages are written for a code host: links are relative to the file that they stand in, and an anchor
is made of its heading as code hosts make it.
"""

from __future__ import annotations

import posixpath
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent

_FENCE: Final = re.compile(r"^( *)(`{3,}|~{3,}).*?^ *\2[`~]* *$", re.MULTILINE | re.DOTALL)
_COMMENT: Final = re.compile(r"<!--.*?-->", re.DOTALL)
_INLINE_CODE: Final = re.compile(r"(?<!`)(`+)(?!`)(?:(?!\n\n).)+?(?<!`)\1(?!`)", re.DOTALL)
_LINK: Final = re.compile(r'(?:\]\(|^\[[^\]]+\]: +|\b(?:href|src)=")([^)\s"]+)', re.MULTILINE)
_ELSEWHERE: Final = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_HEADING: Final = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)


@dataclass(frozen=True)
class Link:
    """A link to somewhere in the repository.

    Attributes:
        start: Where its target begins in the page's text, in characters.
        end: Where that ends.
        path: What it names, relative to the page; empty: the page itself.
        anchor: The place there, without `#`; empty: its beginning.
    """

    start: int
    end: int
    path: str
    anchor: str


def files() -> frozenset[str]:
    """Every file of the repository that git does not ignore, from its top on."""
    listed = git("ls-files", "--cached", "--others", "--exclude-standard", "-z")
    return frozenset(path for path in listed.split("\0") if (ROOT / path).is_file())


def git(*arguments: str) -> str:
    """What git answers about the repository.

    Raises:
        subprocess.CalledProcessError: It refuses.
    """
    command = ["git", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def links(text: str) -> Iterator[Link]:
    """Every link of a page that does not lead to another host; code has none."""
    for found in _LINK.finditer(_without(_INLINE_CODE, _prose(text))):
        target = found[1]
        if not _ELSEWHERE.match(target):
            path, _, anchor = target.partition("#")
            yield Link(found.start(1), found.end(1), path, anchor)


def anchors(text: str) -> frozenset[str]:
    """What can stand behind the `#` of a link to a page: one for each heading."""
    seen: dict[str, int] = {}
    made = set()
    for heading in _HEADING.findall(_prose(text)):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        count = seen.get(anchor, 0)
        seen[anchor] = count + 1
        made.add(f"{anchor}-{count}" if count else anchor)
    return frozenset(made)


def target(page: str, link: Link) -> str:
    """The file or folder that a link leads to.

    Args:
        page: The file that the link stands in, from the top of the repository on.
        link: Of that page.

    Returns:
        Its path from the top of the repository on; it begins with `..` if it is outside.
    """
    if not link.path:
        return page
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), link.path))


def _prose(text: str) -> str:
    return _without(_COMMENT, _without(_FENCE, text))


def _without(what: re.Pattern[str], text: str) -> str:
    """Blanks it out; everything else stays where it was."""
    return what.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
