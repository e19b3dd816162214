"""Makes findings: short texts, one form."""

from __future__ import annotations

from typing import Final

from voiceflow.catalog.gates import Finding, Gate
from voiceflow.package import MODEL_FILE
from voiceflow.validation.sandbox import SandboxFailure

MAXIMUM_FINDINGS: Final = 100
"""Of one gate; what comes after them is left out."""

_MAXIMUM_CHARACTERS: Final = 1000


def finding(rule_id: str, subject: str, *, seen: str, allowed: str, message: str) -> Finding:
    """A broken rule, with texts cut to a length that a report can hold."""
    return Finding(
        rule_id=rule_id,
        subject=_cut(subject),
        seen=_cut(seen),
        allowed=_cut(allowed),
        message=_cut(message),
    )


def of_failure(gate: Gate, failure: SandboxFailure, subject: str = MODEL_FILE) -> Finding:
    """What it means for a gate that a conversation with the sandbox ended."""
    return finding(
        f"{gate}.{failure.rule}",
        subject,
        seen=failure.seen,
        allowed=failure.allowed,
        message=failure.message,
    )


def _cut(text: str) -> str:
    return text if len(text) <= _MAXIMUM_CHARACTERS else text[: _MAXIMUM_CHARACTERS - 1] + "…"
