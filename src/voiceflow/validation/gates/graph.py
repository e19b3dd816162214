"""Gate 2: the graph is one that can be served, before anything loads it."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from voiceflow.catalog.gates import Figure, Finding, Gate
from voiceflow.package import MODEL_FILE
from voiceflow.validation.findings import finding, of_failure
from voiceflow.validation.rules import RULES
from voiceflow.validation.sandbox import Limits, Sandbox, SandboxFailure, address_space_bytes
from voiceflow.validation.sandbox.process import plain
from voiceflow.validation.sandbox.verdict import reply_invalid
from voiceflow.validation.values import Candidate, GateOutcome

_CPU_SECONDS: Final = 5.0
_WALL_SECONDS: Final = 30.0


class _Told(BaseModel):
    """What comes from the sandbox is believed no further than its form."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class _Broken(_Told):
    rule_id: str
    subject: str
    seen: str
    allowed: str
    message: str


class _Answer(_Told):
    findings: list[_Broken] = Field(max_length=100)
    nodes: int = Field(default=0, ge=0, lt=2**31)
    initializer_bytes: int = Field(default=0, ge=0, lt=2**40)
    opset: int = Field(default=0, ge=0, lt=2**31)


def graph_gate(sandbox: Sandbox, candidate: Candidate) -> GateOutcome:
    """Puts a version's graph through gate 2.

    Args:
        sandbox: Where the file is parsed.
        candidate: Its folder holds `model.onnx`.

    Returns:
        What is wrong with the graph, and how large it is.

    Raises:
        NotAllowedNow: SANDBOX_TOO_WEAK.
        Unavailable: SANDBOX_UNAVAILABLE.
        OSError: If there is no `model.onnx`, which gate 1 finds.
    """
    path = candidate.folder / MODEL_FILE
    size_bytes = path.stat().st_size
    limits = Limits(_CPU_SECONDS, _WALL_SECONDS, address_space_bytes(size_bytes))
    try:
        with sandbox.open("graph", files={MODEL_FILE: path}, arguments={}, limits=limits) as probe:
            answer = _Answer.model_validate(probe.ask())
        findings = tuple(_finding(broken) for broken in answer.findings)
    except SandboxFailure as failure:
        return GateOutcome(findings=(of_failure(Gate.GRAPH, failure),))
    except ValidationError as error:
        return GateOutcome(findings=(_unreadable(str(error)),))
    figures = () if findings else _figures(size_bytes, answer)
    return GateOutcome(findings, figures)


def _finding(broken: _Broken) -> Finding:
    if broken.rule_id not in RULES or not broken.rule_id.startswith(f"{Gate.GRAPH}."):
        return _unreadable(f"rule {broken.rule_id!r:.60}")
    return finding(
        broken.rule_id,
        plain(broken.subject),
        seen=plain(broken.seen),
        allowed=plain(broken.allowed),
        message=plain(broken.message),
    )


def _figures(size_bytes: int, answer: _Answer) -> tuple[Figure, ...]:
    return (
        Figure(name="file_bytes", value=size_bytes),
        Figure(name="initializer_bytes", value=answer.initializer_bytes),
        Figure(name="nodes", value=answer.nodes),
        Figure(name="opset", value=answer.opset),
    )


def _unreadable(seen: str) -> Finding:
    return of_failure(Gate.GRAPH, reply_invalid(plain(seen), "findings of the graph gate"))
