"""Who is not let in has a line in the log, and not one for each try."""

from __future__ import annotations

import logging

import pytest

from voiceflow.errors import Overloaded
from voiceflow_inference.admission import StreamKind
from voiceflow_inference.observing import Observing, Tracing
from voiceflow_inference.refusals import SILENT_SECONDS, Refusals

ALICE, BOB = "spiffe://example.org/alice", "spiffe://example.org/bob"


class Clock:
    """Seconds that pass when a test says so."""

    now_seconds = 0.0

    def __call__(self) -> float:
        """By this clock."""
        return self.now_seconds


def test_seventeen_tries_are_a_line_with_reason_and_principal(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The next one, a while later, says how many there were between them."""
    caplog.set_level(logging.INFO, "voiceflow_inference.refusals")
    clock = Clock()
    refusals = Refusals(clock)
    for _ in range(17):
        refusals.tell(StreamKind.STREAM, ALICE, "STREAMS_PER_CLIENT_FULL")
    said = f"STREAMS_PER_CLIENT_FULL: a stream of {ALICE} is not let in"
    assert caplog.messages == [said]
    clock.now_seconds += SILENT_SECONDS
    refusals.tell(StreamKind.STREAM, ALICE, "STREAMS_PER_CLIENT_FULL")
    assert caplog.messages[1:] == [f"{said}; 16 more since the last such line"]


def test_other_reasons_and_other_principals_have_lines_of_their_own(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """None hides another."""
    caplog.set_level(logging.INFO, "voiceflow_inference.refusals")
    refusals = Refusals(Clock())
    for principal in (ALICE, BOB):
        for reason in ("STREAMS_FULL", "CONFIG_INVALID"):
            refusals.tell(StreamKind.FILE, principal, reason)
    assert len(caplog.messages) == 4


def test_a_crowd_is_told_of_as_others(caplog: pytest.LogCaptureFixture) -> None:
    """However many come at once, lines and memory are bounded; later ones have theirs."""
    caplog.set_level(logging.INFO, "voiceflow_inference.refusals")
    clock = Clock()
    refusals = Refusals(clock)
    for number in range(1200):
        refusals.tell(StreamKind.STREAM, f"p{number}", "STREAMS_FULL")
    assert len(caplog.messages) == 1001
    assert caplog.messages[-1].startswith("STREAMS_FULL: a stream of others ")
    clock.now_seconds += SILENT_SECONDS
    refusals.tell(StreamKind.STREAM, ALICE, "STREAMS_FULL")
    assert ALICE in caplog.messages[-1]


def test_a_call_that_is_refused_is_told_with_who_made_it(caplog: pytest.LogCaptureFixture) -> None:
    """Whether or not anything is recorded."""
    caplog.set_level(logging.INFO, "voiceflow_inference.refusals")
    seen = Observing(Tracing(on=False, pod="", share=0.0, objective_seconds=1.0))
    with pytest.raises(Overloaded), seen.call(StreamKind.STREAM, (), ALICE):
        raise Overloaded("full", reason="STREAMS_FULL", retry_after_seconds=1.0)
    assert caplog.messages == [f"STREAMS_FULL: a stream of {ALICE} is not let in"]
