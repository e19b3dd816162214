"""docs/errors.md knows every reason that a rollout can give."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
SOURCES = [
    *(ROOT / "src/voiceflow/rollout").rglob("*.py"),
    *(ROOT / "src/voiceflow/cli/rollout").glob("*.py"),
]
OF_ALL = {"DEADLINE_EXCEEDED"}
"""Of any waiting."""


def test_every_reason_is_documented_and_none_is_made_up() -> None:
    """The reasons in the code are the reasons in the table."""
    code = "\n".join(source.read_text("utf-8") for source in SOURCES)
    given = set(re.findall(r'reason="([A-Z_]+)"|, "(CLUSTER_[A-Z_]+)"', code))
    pages = (ROOT / "docs/errors.md").read_text("utf-8").split("\n## ")
    (text,) = (part for part in pages if part.startswith("The cluster"))
    rows = re.findall(r"^\| (`[^|]*)\|", text, re.MULTILINE)
    documented = {reason for row in rows for reason in re.findall(r"`([A-Z_]+)`", row)}
    assert documented == {one or other for one, other in given} - OF_ALL
