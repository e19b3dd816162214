"""Whatever a model's process does, it ends within its limits, and under the rule that it broke."""

from __future__ import annotations

import dataclasses
import time

import pytest

from tests.unit.validation.sandbox.acting import LIMITS, act, fails, need
from voiceflow.validation.sandbox import (
    Layer,
    Limits,
    Sandbox,
    SandboxFailure,
    address_space_bytes,
)

SHORT = Limits(cpu_seconds=1, wall_seconds=30, address_space_bytes=2 * 1024**3)
PATIENCE_SECONDS = 25
"""Far below the wall clock of `SHORT`: what ends sooner was ended by its CPU."""


@pytest.mark.parametrize("action", ["spin", "spin_unmoved"])
def test_a_process_that_computes_for_ever_is_ended(sandbox: Sandbox, action: str) -> None:
    """CPU time is bounded, for a process that ignores the signal too."""
    need(sandbox, Layer.RLIMITS)
    began = time.monotonic()
    failure = fails(sandbox, action, limits=SHORT)
    assert failure.rule == "cpu-limit"
    assert failure.allowed == "1 s of CPU"
    assert time.monotonic() - began < PATIENCE_SECONDS


def test_a_process_that_waits_for_ever_is_ended(sandbox: Sandbox) -> None:
    """The time that an answer is waited for is bounded, whatever the CPU time."""
    failure = fails(sandbox, "sleep", limits=dataclasses.replace(SHORT, wall_seconds=0.5))
    assert failure.rule == "wall-clock"
    assert failure.allowed == "0.5 s"


def test_waiting_is_counted_over_the_whole_conversation(sandbox: Sandbox) -> None:
    """A process cannot gain time by answering now and then; the asker's own time is not counted."""
    limits = dataclasses.replace(LIMITS, wall_seconds=1.0)
    with sandbox.open("act", files={}, arguments={}, limits=limits) as probe:
        time.sleep(1.5)  # the asker is busy elsewhere
        act(probe, "wait", 0.7)
        with pytest.raises(SandboxFailure) as caught:
            act(probe, "wait", 0.7)
    assert caught.value.rule == "wall-clock"


def test_memory_is_bounded(sandbox: Sandbox) -> None:
    """More address space than allowed is refused, and said to be that."""
    need(sandbox, Layer.RLIMITS)
    failure = fails(sandbox, "allocate", 4 * 1024**3)
    assert failure.rule == "memory-limit"
    assert failure.allowed == "2147483648 bytes of address space"


@pytest.mark.parametrize(
    ("action", "argument", "rule", "seen"),
    [
        ("segfault", None, "crash", "SIGSEGV"),
        ("abort", None, "crash", "SIGABRT"),
        ("bad_alloc", None, "memory-limit", "bad_alloc"),
        ("leave", 0, "crash", "status 0"),
        ("leave", 7, "crash", "status 7"),
        ("fail", "no such weights", "crash", "RuntimeError: no such weights"),
        ("fail", "\x1b[31m" + "x" * 10_000, "crash", "RuntimeError: [31mxxx"),
        ("hang_up", None, "crash", "SIGKILL"),
        ("recurse", None, "crash", "RecursionError"),
    ],
)
def test_an_end_of_its_own_has_a_rule(
    sandbox: Sandbox, action: str, argument: str | int | None, rule: str, seen: str
) -> None:
    """A signal, an exit and an exception become a rule and a short text that can be shown."""
    failure = fails(sandbox, action, argument)
    assert failure.rule == rule
    assert seen in failure.seen
    assert failure.seen.isprintable()
    assert len(failure.seen) < 400


def test_after_a_failure_every_question_fails_alike(sandbox: Sandbox) -> None:
    """A conversation that has failed stays so."""
    with sandbox.open("act", files={}, arguments={}, limits=LIMITS) as probe:
        with pytest.raises(SandboxFailure) as first:
            act(probe, "leave", 3)
        with pytest.raises(SandboxFailure) as second:
            act(probe, "echo", "?")
    assert first.value is second.value


def test_address_space_grows_with_the_model_within_bounds() -> None:
    """2 GiB at least, 110 times the model, never more than 16 GiB."""
    assert address_space_bytes(0) == 2 * 1024**3
    assert address_space_bytes(50 * 1024**2) == 110 * 50 * 1024**2
    assert address_space_bytes(2**40) == 16 * 1024**3
