"""docs/errors.md knows every reason that the registry can give."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
SOURCES = [
    *(ROOT / "services/registry/voiceflow_registry").rglob("*.py"),
    *(ROOT / "src/voiceflow/catalog").glob("*.py"),
    *(ROOT / "src/voiceflow/rpc").rglob("*.py"),
    *(ROOT / "src/voiceflow/validation").rglob("*.py"),
    *(ROOT / f"src/voiceflow/identity/{name}.py" for name in ("certificates", "grants", "key_set")),
    *(ROOT / f"src/voiceflow/trust/{name}.py" for name in ("authority", "root", "statements")),
    *(ROOT / f"src/voiceflow/evaluation/{name}.py" for name in ("rttm", "scoring", "sets")),
    ROOT / "src/voiceflow/difference.py",
]
ELSEWHERE = {"SIZE_UNSIGNED", "KEY_INVALID"}
"""Of modules that give other reasons, which the registry never meets."""
REASON = r'(?:reason=|REASON: Final = )"([A-Z_]+)"(?: if .+ else "([A-Z_]+)")?'


def test_every_reason_is_documented_and_none_is_made_up() -> None:
    """The reasons in the code are the reasons in the registry's tables."""
    code = "\n".join(source.read_text("utf-8") for source in SOURCES)
    given = {reason for found in re.findall(REASON, code) for reason in found if reason}
    sections = (ROOT / "docs/errors.md").read_text("utf-8").split("\n## ")
    documented = {
        reason
        for section in sections
        if section.startswith(("Registry", "Any service"))
        for row in re.findall(r"^\| `.*", section, re.MULTILINE)
        for reason in re.findall(r"`([A-Z]+(?:_[A-Z]+)*)`", row.split("|")[1])
    }
    assert documented == given | ELSEWHERE
