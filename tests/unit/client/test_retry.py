"""When a client asks again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceflow.client.retry import (
    NO_RETRY,
    RetryPolicy,
    pause_before_resuming,
    pause_before_retry,
)
from voiceflow.errors import (
    InvalidInput,
    LimitExceeded,
    NotServed,
    Overloaded,
    Unavailable,
    VoiceFlowError,
)

POLICY = RetryPolicy(attempts=4, first_pause_seconds=0.5, longest_pause_seconds=3.0)
GONE = Unavailable("no connection", reason="UNAVAILABLE")


@given(failures=st.integers(1, 3), chance=st.floats(0.0, 1.0))
def test_an_unreachable_server_is_asked_again_with_growing_bounded_pauses(
    failures: int, chance: float
) -> None:
    """The pause is spread over 0 to a bound that doubles and stays under the longest."""
    pause = pause_before_retry(POLICY, GONE, failures, chance)
    assert pause is not None
    assert 0.0 <= pause <= min(3.0, 0.5 * 2 ** (failures - 1))


@given(wanted=st.floats(0.0, 3.0), chance=st.floats(0.0, 1.0))
def test_a_busy_server_is_never_asked_before_it_said(wanted: float, chance: float) -> None:
    """RetryInfo is a lower bound; chance only adds to it."""
    busy = Overloaded("full", reason="STREAMS_FULL", retry_after_seconds=wanted)
    pause = pause_before_retry(POLICY, busy, 1, chance)
    assert pause is not None
    assert wanted <= pause <= wanted + 0.5


def test_a_server_that_asks_for_too_much_patience_is_left() -> None:
    """The caller hears of it at once rather than after a long silence."""
    busy = Overloaded("full", reason="STREAMS_FULL", retry_after_seconds=3.1)
    assert pause_before_retry(POLICY, busy, 1, 0.0) is None


def test_the_number_of_tries_is_bounded() -> None:
    """The fourth failure of four tries is the answer; without retries the first is."""
    assert pause_before_retry(POLICY, GONE, 4, 0.0) is None
    assert pause_before_retry(NO_RETRY, GONE, 1, 0.0) is None


@pytest.mark.parametrize("error", [InvalidInput, NotServed, LimitExceeded, VoiceFlowError])
def test_what_will_not_pass_by_itself_is_not_asked_again(error: type[VoiceFlowError]) -> None:
    """A wrong request stays wrong."""
    assert pause_before_retry(POLICY, error("no", reason="NO"), 1, 0.0) is None


@given(failures=st.integers(1, 10_000), chance=st.floats(0.0, 1.0))
def test_a_stream_is_taken_up_again_for_as_long_as_there_is_time(
    failures: int, chance: float
) -> None:
    """However often it failed, with bounded pauses; one that outlasts the time is not begun."""
    pause = pause_before_resuming(POLICY, GONE, failures, 3.1, chance)
    assert pause is not None
    assert 0.0 <= pause <= 3.0
    assert pause_before_resuming(POLICY, GONE, 4, 1.5, 1.0) is None


def test_a_busy_server_is_waited_for_while_there_is_time() -> None:
    """Longer than for a stream that has not begun: its conversation would be lost."""
    busy = Overloaded("full", reason="STREAMS_FULL", retry_after_seconds=20.0)
    assert pause_before_resuming(POLICY, busy, 1, 60.0, 0.0) == 20.0
    assert pause_before_resuming(POLICY, busy, 1, 19.0, 0.0) is None


@pytest.mark.parametrize("error", [InvalidInput, NotServed, LimitExceeded, VoiceFlowError])
def test_what_will_not_pass_by_itself_ends_a_stream(error: type[VoiceFlowError]) -> None:
    """A wrong request stays wrong."""
    assert pause_before_resuming(POLICY, error("no", reason="NO"), 1, 60.0, 0.0) is None
