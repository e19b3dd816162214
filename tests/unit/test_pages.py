"""Pages hang together: links lead somewhere, and every page stands in the site's navigation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from scripts.links import ROOT, anchors, files, links, target

FILES: Final = files()
FOLDERS: Final = frozenset(str(folder) for path in FILES for folder in Path(path).parents)
PAGES: Final = sorted(path for path in FILES if path.endswith(".md"))


def faults(page: str, text: str) -> Iterator[str]:
    """Links of a page that lead nowhere, as a code host would follow them."""
    for link in links(text):
        there = target(page, link)
        if there not in FILES | {page} | FOLDERS:
            yield f"{page}: there is no {link.path}"
        elif link.anchor and there.endswith(".md"):
            content = text if there == page else (ROOT / there).read_text("utf-8")
            if link.anchor not in anchors(content):
                yield f"{page}: {there} has no heading for #{link.anchor}"


def navigation(entries: Any) -> Iterator[str]:
    """Every page that a navigation names."""
    if isinstance(entries, str):
        yield entries
    else:
        for entry in entries.values() if isinstance(entries, dict) else entries:
            yield from navigation(entry)


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_somewhere(page: str) -> None:
    """To a file or folder of the repository, and to a heading where it names one."""
    assert list(faults(page, (ROOT / page).read_text("utf-8"))) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[a](client.md)", None),
        ("[a](client.md#a-live-stream)", None),
        ("[a](adr)", None),
        ("[a](https://example.com/no.md#no)", None),
        ("## A: `b` c\n[a](#a-b-c)", None),
        ("## A\n## A\n[a](#a-1)", None),
        ("`[a](no.md)`\n\n```sh\n[a](no.md)\n# no\n```\n", None),
        ("[a](no.md)", "docs/page.md: there is no no.md"),
        ("[`a`\nb](no.md)", "docs/page.md: there is no no.md"),
        ("[a]: no.md", "docs/page.md: there is no no.md"),
        ('<img src="no.png">', "docs/page.md: there is no no.png"),
        ("[a](../../elsewhere.md)", "docs/page.md: there is no ../../elsewhere.md"),
        ("[a](/docs/client.md)", "docs/page.md: there is no /docs/client.md"),
        ("[a](client.md#no)", "docs/page.md: docs/client.md has no heading for #no"),
        ("```sh\n# no\n```\n[a](#no)", "docs/page.md: docs/page.md has no heading for #no"),
    ],
)
def test_a_link_that_leads_nowhere_is_found(text: str, fault: str | None) -> None:
    """And no other; code has no links and no headings."""
    assert list(faults("docs/page.md", text)) == ([fault] if fault else [])


def test_every_page_stands_in_the_navigation_once() -> None:
    """And the navigation names no page that is not there."""
    entries = list(navigation(yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]))
    named = [
        entry.removeprefix("repository/") if entry.startswith("repository/") else f"docs/{entry}"
        for entry in entries
    ]
    assert sorted(page for page in named if page.startswith("docs/")) == [
        page for page in PAGES if page.startswith("docs/")
    ]
    assert set(named) <= FILES
