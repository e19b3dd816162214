"""When asking again is safe, and after how long: pure rules.

Asking again is safe while the server has consumed nothing of the stream, and to go on with one from
what is kept of it. Of such errors, two pass by themselves: `Unavailable` (no connection, or a
server that starts or drains) and `Overloaded`, which says itself when to come back.
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
        resume_seconds: How long to try to go on with a stream that was cut, counted from the cut;
            0: it stays cut.
    """

    attempts: int = 5
    first_pause_seconds: float = 0.2
    longest_pause_seconds: float = 10.0
    resume_seconds: float = 60.0


NO_RETRY = RetryPolicy(attempts=1, resume_seconds=0.0)


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
    if isinstance(error, Overloaded) and error.retry_after_seconds > policy.longest_pause_seconds:
        return None
    return _pause(policy, error, failures, chance)


def pause_before_resuming(
    policy: RetryPolicy, error: VoiceFlowError, failures: int, left_seconds: float, chance: float
) -> float | None:
    """How long to wait before the next try to go on with a stream.

    Args:
        policy: The client's patience.
        error: Why the last try failed.
        failures: How many have failed since the stream last went on, from 1.
        left_seconds: Until the patience is at its end.
        chance: Uniform in 0 to 1.

    Returns:
        Seconds, or None: do not try again.
    """
    pause = _pause(policy, error, failures, chance)
    return pause if pause is not None and pause < left_seconds else None


def _pause(
    policy: RetryPolicy, error: VoiceFlowError, failures: int, chance: float
) -> float | None:
    doubled = policy.first_pause_seconds * 2.0 ** min(failures - 1, _DOUBLINGS)
    bound = min(policy.longest_pause_seconds, doubled)
    if isinstance(error, Overloaded):
        return error.retry_after_seconds + chance * bound
    if isinstance(error, Unavailable):
        return chance * bound
    return None


_DOUBLINGS: Final = 62
"""A float holds no more than 1023, and no pause is as long as so many make it."""
