"""What queries of Prometheus name: a small reader of the PromQL that dashboards and rules use."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]

_MATCHER: Final = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"')
_GROUPING: Final = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_LEFT_OUT: Final = re.compile(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\boffset\s+\w+')
_NAME: Final = re.compile(r"\b[a-zA-Z_]\w*\b(?!\s*\()")
_WORDS: Final = frozenset({"and", "or", "unless", "bool"})
_OWN_LABELS: Final = frozenset({"le", "job", "instance"})
"""Of Prometheus itself."""


@dataclass(frozen=True)
class Query:
    """One query.

    Attributes:
        where: For people: `service.json: Live streams`.
        text: As Prometheus gets it.
        shown: Labels that are shown of its answers.
    """

    where: str
    text: str
    shown: frozenset[str] = frozenset()

    @property
    def grouped(self) -> frozenset[str]:
        """Labels that groupings name."""
        found = _GROUPING.findall(self.text)
        return frozenset(label.strip() for labels in found for label in labels.split(","))

    @property
    def labels(self) -> frozenset[str]:
        """All labels that it names."""
        return self.grouped | frozenset(_MATCHER.findall(self.text))

    @property
    def metrics(self) -> frozenset[str]:
        """Metrics that it names."""
        bare = _LEFT_OUT.sub(" ", _GROUPING.sub(" ", self.text))
        return frozenset(_NAME.findall(bare)) - _WORDS


def faults(query: Query, metrics: frozenset[str], labels: frozenset[str]) -> Iterator[str]:
    """What a query names that nothing tells.

    Args:
        query: Which.
        metrics: Those that there are.
        labels: Likewise.
    """
    for name in sorted(query.metrics - metrics - {"up"}):
        yield f"{query.where}: there is no metric {name}"
    for label in sorted(query.labels - labels - _OWN_LABELS):
        yield f"{query.where}: nothing has the label {label}"
    kept = query.grouped or labels | _OWN_LABELS
    for label in sorted(query.shown - kept):
        yield f"{query.where}: its answers have no label {label}"


def labels_in_code() -> frozenset[str]:
    """Every attribute that code gives to an instrument: the keys where instruments are told."""
    keys: set[str] = set()
    for folder in ("src", "services"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text()
            if "voiceflow.telemetry" not in text:
                continue
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Dict):
                    keys |= {str(key.value) for key in node.keys if isinstance(key, ast.Constant)}
    return frozenset(key for key in keys if key.isidentifier() and key.islower())
