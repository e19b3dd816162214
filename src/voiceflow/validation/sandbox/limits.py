"""What holds an untrusted model, how much it may use, and how its failures are named."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"


class Layer(StrEnum):
    """What stands between a model and the machine; each would hold alone.

    Attributes:
        RLIMITS: Memory, CPU, no new file or socket, no write, no core.
        NO_NEW_PRIVS: Gains no right, and has given up those of root.
        LANDLOCK: Opens, makes and removes no file, binds and connects no TCP port, signals nobody.
        SECCOMP: Only the system calls that numerics need.
    """

    RLIMITS = "rlimits"
    NO_NEW_PRIVS = "no_new_privs"
    LANDLOCK = "landlock"
    SECCOMP = "seccomp"


DEFAULT_FLOOR: Final = frozenset({Layer.RLIMITS, Layer.NO_NEW_PRIVS, Layer.LANDLOCK})
"""Below this no model is run. Any Linux from 5.13 on has it; seccomp needs libseccomp besides."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one conversation may use.

    Attributes:
        cpu_seconds: CPU time after the lockdown; the kernel counts whole seconds, rounded up.
        wall_seconds: How long its answers are waited for, all together. The time between an answer
            and the next question is the asker's and does not count.
        address_space_bytes: Of the process, its libraries included.
        reply_bytes: Of one answer, as JSON.
    """

    cpu_seconds: float
    wall_seconds: float
    address_space_bytes: int
    reply_bytes: int = 1024**2


def address_space_bytes(model_bytes: int) -> int:
    """How much address space a model of this size gets: 110 times its size, 2 to 16 GiB.

    110 is what the graph that costs most when parsed needs for each of its bytes; the cap keeps
    one model from taking the machine.
    """
    return min(max(2 * 1024**3, 110 * model_bytes), 16 * 1024**3)


class SandboxFailure(Exception):
    """A conversation ended because the model's process did what it must not, or died.

    Args:
        rule: `cpu-limit`, `wall-clock`, `memory-limit`, `forbidden-call`, `crash` or
            `reply-invalid`: the part of a rule id after the gate.
        seen: What was seen.
        allowed: What is allowed, in the same unit.
        message: For people: what is wrong and what to change.
    """

    def __init__(self, rule: str, *, seen: str, allowed: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule
        self.seen = seen
        self.allowed = allowed
        self.message = message
