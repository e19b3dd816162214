"""Makes findings: short texts, one form."""

from __future__ import annotations

from typing import Final

from voiceflow.catalog.gates import Finding, Gate
from voiceflow.package import MODEL_FILE
from voiceflow.validation.sandbox import SandboxFailure
from voiceflow.validation.sandbox.process import plain

MAXIMUM_FINDINGS: Final = 100
"""Of one gate; what comes after them is left out."""

_MAXIMUM_CHARACTERS: Final = 1000


def finding(rule_id: str, subject: str, *, seen: str, allowed: str, message: str) -> Finding:
    """A broken rule; its texts may come from a model: they are made fit to be shown, and cut."""
    return Finding(
        rule_id=rule_id,
        subject=plain(subject, _MAXIMUM_CHARACTERS),
        seen=plain(seen, _MAXIMUM_CHARACTERS),
        allowed=plain(allowed, _MAXIMUM_CHARACTERS),
        message=plain(message, _MAXIMUM_CHARACTERS),
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
