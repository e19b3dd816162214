"""From how a process ended to the rule that it broke."""

from __future__ import annotations

import signal

import pytest

from voiceflow.validation.rules import RULES
from voiceflow.validation.sandbox import Limits, SandboxFailure
from voiceflow.validation.sandbox.process import End, plain
from voiceflow.validation.sandbox.verdict import failed_inside, of_end, reply_invalid, wall_clock

LIMITS = Limits(cpu_seconds=5, wall_seconds=30, address_space_bytes=2**31)
BEFORE_SECONDS = 0.5


@pytest.mark.parametrize(
    ("end", "rule", "seen"),
    [
        (End(-signal.SIGXCPU, 5.6, ""), "cpu-limit", "5.1 s of CPU"),
        # The second limit, which nobody can ignore; and the same signal from elsewhere.
        (End(-signal.SIGKILL, 6.5, ""), "cpu-limit", "6.0 s of CPU"),
        (End(-signal.SIGKILL, 1.0, ""), "crash", "ended by SIGKILL"),
        (End(-signal.SIGSYS, 1.0, ""), "forbidden-call", "ended by SIGSYS"),
        (End(-signal.SIGSEGV, 1.0, ""), "crash", "ended by SIGSEGV"),
        (End(-signal.SIGABRT, 1.0, "std::bad_alloc"), "memory-limit", "bad_alloc"),
        (End(-signal.SIGABRT, 1.0, "stack smashed"), "crash", "ended by SIGABRT: stack smashed"),
        (End(1, 1.0, "OpenBLAS error: Memory allocation still failed"), "memory-limit", "OpenBLAS"),
        (End(0, 1.0, ""), "crash", "ended by itself with status 0"),
        (End(-200, 1.0, ""), "crash", "ended by signal 200"),
    ],
)
def test_every_end_has_one_rule(end: End, rule: str, seen: str) -> None:
    """Signals, exit codes and last words become a rule, with what was seen."""
    failure = of_end(end, LIMITS, BEFORE_SECONDS)
    assert failure.rule == rule
    assert seen in failure.seen


def test_every_rule_is_known_to_every_gate_that_runs_a_model() -> None:
    """A failure becomes a finding whose rule is documented."""
    failures: list[SandboxFailure] = [
        of_end(End(-signal.SIGXCPU, 6.0, ""), LIMITS, 0.0),
        of_end(End(-signal.SIGSYS, 0.0, ""), LIMITS, 0.0),
        failed_inside("crash", "?", LIMITS),
        failed_inside("memory-limit", "?", LIMITS),
        wall_clock(LIMITS),
        reply_invalid("?", "!"),
    ]
    for failure in failures:
        for gate in ("graph", "contract", "behaviour", "cost", "accuracy"):
            assert f"{gate}.{failure.rule}" in RULES
        assert failure.seen
        assert failure.allowed


def test_text_from_a_model_is_made_plain() -> None:
    """Nothing that a process writes can move a cursor, break a line or fill a screen."""
    assert plain("\x1b[2J\x00a\nb\tc\u202e") == "[2J a b c"
    assert plain("x" * 1000) == "x" * 299 + "…"
