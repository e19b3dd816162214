"""Makes the pages a site: a hook of MkDocs, for `make docs`.

Pages link to code, protos and other files beside docs/, which a site of docs/ alone does not have.
So the site carries what is linked, at the version that it is built from, below `repository/`: pages
as pages, other text as a page that shows it, a folder as the list of its files.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files, InclusionLevel

from scripts.links import ROOT, git, links, target
from scripts.links import files as repository_files

_CARRIED: Final = "repository/"
_PICTURES: Final = frozenset({".png", ".svg"})
_FOREIGN: Final = re.compile(
    r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=\"?(?:https?:)?//[^>]*>"
)
_UNSEARCHED: Final = "---\nsearch:\n  exclude: true\n---\n\n"


def on_config(config: Any) -> Any:
    """Says on every page which commit the site was built from."""
    config.copyright = f"VoiceFlow, commit {git('rev-parse', '--short=12', 'HEAD').strip()}"
    return config


def on_files(files: Files, config: Any) -> Files:
    """Adds what pages link to beside docs/, and what is linked from there."""
    present = repository_files()
    waiting = [*_in_navigation(config.nav)]
    for file in files.documentation_pages():
        waiting += _targets(_path(file.src_uri), file.content_string)
    while waiting:
        path = waiting.pop()
        uri = _uri(path)
        if path.startswith("docs/") or files.get_file_from_path(uri):
            continue
        if (ROOT / path).suffix in _PICTURES and path in present:
            file = File.generated(config, uri, abs_src_path=str(ROOT / path))
        elif content := _shown(path, present):
            file = File.generated(config, uri, content=content)
            waiting += _targets(_path(uri), content)
        else:
            continue
        file.inclusion = InclusionLevel.NOT_IN_NAV
        files.append(file)
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Has links lead to where the site has what they name."""
    uri: str = page.file.src_uri
    for link in reversed([*links(markdown)]):
        if link.path:
            there = _uri(target(_path(uri), link))
            written = posixpath.relpath(there, posixpath.dirname(uri) or ".")
            anchor = f"#{link.anchor}" if link.anchor else ""
            markdown = markdown[: link.start] + written + anchor + markdown[link.end :]
    return markdown


def on_post_page(output: str, *, page: Any, **_: Any) -> str:
    """Refuses a page that would have its reader's browser ask another host.

    Raises:
        PluginError: There is one.
    """
    if foreign := _FOREIGN.search(output):
        raise PluginError(f"{page.file.src_uri}: loads from another host: {foreign[0]}")
    return output


def _in_navigation(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        if nav.startswith(_CARRIED):
            yield _path(nav)
    elif nav:
        for part in nav.values() if isinstance(nav, dict) else nav:
            yield from _in_navigation(part)


def _targets(page: str, text: str) -> list[str]:
    return [target(page, link) for link in links(text) if link.path]


def _path(uri: str) -> str:
    """Where in the repository a page of the site comes from."""
    return uri.removeprefix(_CARRIED) if uri.startswith(_CARRIED) else f"docs/{uri}"


def _uri(path: str) -> str:
    """Where the site has a file or folder of the repository."""
    uri = path.removeprefix("docs/") if path.startswith("docs/") else _CARRIED + path
    if (ROOT / path).is_dir():
        return f"{uri}/{'README.md' if (ROOT / path / 'README.md').exists() else 'index.md'}"
    if path.startswith("docs/") or Path(path).suffix in {".md", *_PICTURES}:
        return uri
    return f"{uri}.md"


def _shown(path: str, present: frozenset[str]) -> str | None:
    """A page for a file or folder; None: there is nothing that can be shown."""
    if (ROOT / path / "README.md").exists():
        return (ROOT / path / "README.md").read_text("utf-8")
    if inside := sorted(name for name in present if name.startswith(f"{path}/")):
        names = (posixpath.relpath(name, path) for name in inside)
        listed = "\n".join(
            f"- `{name}`" if "/" in name else f"- [`{name}`]({name})" for name in names
        )
        return f"{_UNSEARCHED}# {path}\n\n{listed}\n"
    if path not in present:
        return None
    text = (ROOT / path).read_text("utf-8")
    if path.endswith(".md"):
        return text
    return f"{_UNSEARCHED}# {path}\n\n~~~~~{Path(path).suffix[1:]}\n{text}\n~~~~~\n"
