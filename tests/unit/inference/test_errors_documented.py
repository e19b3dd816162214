"""docs/errors.md knows every reason that the inference service can give."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
SOURCES = [
    *(ROOT / "services/inference/voiceflow_inference").rglob("*.py"),
    *(ROOT / "src/voiceflow/rpc").glob("*.py"),
    *(ROOT / "src/voiceflow/onnx").glob("*.py"),
    *(
        ROOT / f"src/voiceflow/identity/{name}.py"
        for name in ("certificates", "grants", "key_set", "sealing")
    ),
    *(
        ROOT / f"src/voiceflow/trust/{name}.py"
        for name in ("authority", "envelopes", "root", "statements", "trusted")
    ),
    ROOT / "src/voiceflow/artifact.py",
    ROOT / "src/voiceflow/contract.py",
    ROOT / "src/voiceflow/package.py",
]


def test_every_reason_is_documented_and_none_is_made_up() -> None:
    """The reasons in the code are the reasons in the tables."""
    code = "\n".join(source.read_text("utf-8") for source in SOURCES)
    given = set(re.findall(r'(?:reason=|REASON: Final = )f?"([^"]+)"', code))
    for template in [reason for reason in given if "{" in reason]:
        given.remove(template)
        given |= {template.replace("{kind.upper()}", kind) for kind in ("STREAM", "FILE")}
    sections = (ROOT / "docs/errors.md").read_text("utf-8").split("\n## ")
    ours = ("Diarization", "Any service")
    text = "\n".join(part for part in sections if part.startswith(ours))
    tables = re.findall(r"^\|.*", text, re.MULTILINE)
    documented = {
        reason
        for row in tables
        for reason in re.findall(r"`([A-Z]+(?:_[A-Z]+)*)`", row.split("|")[1])
    }
    assert documented == given
