"""From how a model's process ended to the rule that it broke; pure."""

from __future__ import annotations

import signal
from typing import Final

from voiceflow.validation.sandbox.limits import Limits, SandboxFailure
from voiceflow.validation.sandbox.process import End

CRASH: Final = "crash"
MEMORY_LIMIT: Final = "memory-limit"

MEMORY_WORDS: Final = (
    "bad_alloc",
    "MemoryError",
    "Memory allocation",
    "Failed to allocate memory",
    "Arena alloc failed",
)
"""How C++, Python, OpenBLAS, ONNX Runtime and protobuf say that memory was refused."""

_CRASH_ALLOWED: Final = "to run until told to end"


def of_end(end: End, limits: Limits, cpu_seconds_before: float) -> SandboxFailure:
    """Why a process ended that was not told to.

    Args:
        end: How it ended.
        limits: What it was allowed.
        cpu_seconds_before: What it had used when it was locked down.
    """
    used = end.cpu_seconds - cpu_seconds_before
    if end.status == -signal.SIGXCPU or (
        end.status == -signal.SIGKILL and used >= limits.cpu_seconds
    ):
        return SandboxFailure(
            "cpu-limit",
            seen=f"{used:.1f} s of CPU",
            allowed=f"{limits.cpu_seconds:g} s of CPU",
            message=f"ended after {used:.1f} s of CPU; allowed are {limits.cpu_seconds:g} s. Make"
            " the model cheaper, or look for what in it never ends",
        )
    if any(word in end.errors for word in MEMORY_WORDS):
        return memory_limit(end.errors, limits)
    if end.status == -signal.SIGSYS:
        return SandboxFailure(
            "forbidden-call",
            seen="ended by SIGSYS",
            allowed="the system calls that numerics need",
            message="asked the operating system for something that no model needs: a process, a"
            " socket, another's memory. Remove what does so",
        )
    return crash(_how(end.status) + (f": {end.errors}" if end.errors else ""))


def failed_inside(rule: str, seen: str, limits: Limits) -> SandboxFailure:
    """What the process itself said before it ended."""
    if rule == MEMORY_LIMIT:
        return memory_limit(seen, limits)
    return crash(seen)


def wall_clock(limits: Limits) -> SandboxFailure:
    """No answer came in time."""
    return SandboxFailure(
        "wall-clock",
        seen=f"no answer after {limits.wall_seconds:g} s",
        allowed=f"{limits.wall_seconds:g} s",
        message=f"gave no answer within {limits.wall_seconds:g} s and was ended. Make the model"
        " cheaper, or look for what in it waits",
    )


def memory_limit(seen: str, limits: Limits) -> SandboxFailure:
    """It asked for more memory than it has."""
    allowed = f"{limits.address_space_bytes} bytes of address space"
    return SandboxFailure(
        MEMORY_LIMIT,
        seen=f"more than {allowed} asked for ({seen})",
        allowed=allowed,
        message=f"asked for more memory than allowed, {allowed}. Make its tensors smaller",
    )


def reply_invalid(seen: str, allowed: str) -> SandboxFailure:
    """What came is no answer; nothing in the process can be believed any more."""
    return SandboxFailure(
        "reply-invalid",
        seen=seen,
        allowed=allowed,
        message=f"its process answered what no probe answers ({seen}) and was ended",
    )


def crash(seen: str) -> SandboxFailure:
    """It died, or its probe did."""
    return SandboxFailure(
        CRASH,
        seen=seen,
        allowed=_CRASH_ALLOWED,
        message=f"its process failed ({seen}). Load and run the file with the same ONNX Runtime"
        " to see why",
    )


def _how(status: int) -> str:
    if status >= 0:
        return f"ended by itself with status {status}"
    try:
        return f"ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"ended by signal {-status}"
