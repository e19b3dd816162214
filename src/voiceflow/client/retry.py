"""When asking again is safe, and after how long: pure rules.

Asking again is safe only while the server has consumed nothing of the stream. Of such errors, two
pass by themselves: `Unavailable` (no connection, or a server that starts or drains) and
`Overloaded`, which says itself when to come back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from voiceflow.errors import Overloaded, Unavailable, VoiceFlowError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How patiently a client tries.

    Attributes:
        attempts: Tries in all; 1: never again.
        first_pause_seconds: Bound of the pause after the first failure; doubles with each.
        longest_pause_seconds: No pause is longer; a server that asks for more is not waited for.
    """

    attempts: int = 5
    first_pause_seconds: float = 0.2
    longest_pause_seconds: float = 10.0


NO_RETRY = RetryPolicy(attempts=1)


def pause_before_retry(
    policy: RetryPolicy, error: VoiceFlowError, failures: int, chance: float
) -> float | None:
    """How long to wait before the next try.

    Args:
        policy: The client's patience.
        error: Why the last try failed.
        failures: How many tries have failed, from 1.
        chance: Uniform in 0 to 1: spreads clients that failed together.

    Returns:
        Seconds, or None: do not try again.
    """
    if failures >= policy.attempts:
        return None
    doubled = policy.first_pause_seconds * 2.0 ** min(failures - 1, _DOUBLINGS)
    bound = min(policy.longest_pause_seconds, doubled)
    if isinstance(error, Overloaded):
        if error.retry_after_seconds > policy.longest_pause_seconds:
            return None
        return error.retry_after_seconds + chance * bound
    if isinstance(error, Unavailable):
        return chance * bound
    return None


_DOUBLINGS: Final = 62
"""A float holds no more than 1023, and no pause is as long as so many make it."""
