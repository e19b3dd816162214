"""Who comes in, who is refused with which reason, and that every place is given back."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceflow.errors import Overloaded, Unavailable, VoiceFlowError
from voiceflow_inference.admission import Admission, AdmissionLimits, StreamKind
from voiceflow_inference.batcher import EngineLoad

LIMITS = AdmissionLimits(
    streams=4,
    streams_per_principal=2,
    files=2,
    files_per_principal=1,
    lag_seconds=0.5,
    real_time_factor=0.9,
)
IDLE = EngineLoad(0, 0.0, 0.0, 0.0)


def reason(admission: Admission, principal: str, kind: StreamKind, cost: float = 1.0) -> str:
    """Why somebody is refused; "" if not."""
    try:
        with admission.admitted(principal, kind, cost):
            return ""
    except VoiceFlowError as error:
        return error.reason


def test_limits_hold_in_all_and_for_each() -> None:
    """A client may fill its quarter, all together the whole, and files have places of their own."""
    admission = Admission(LIMITS, lambda: IDLE)
    with ExitStack() as inside:
        for principal in "aabb":
            inside.enter_context(admission.admitted(principal, StreamKind.STREAM))
        assert reason(admission, "c", StreamKind.STREAM) == "STREAMS_FULL"
        inside.enter_context(admission.admitted("a", StreamKind.FILE))
        assert reason(admission, "a", StreamKind.FILE) == "FILES_PER_CLIENT_FULL"
        assert admission.count(StreamKind.STREAM) == 4
    with admission.admitted("a", StreamKind.STREAM), admission.admitted("a", StreamKind.STREAM):
        assert reason(admission, "a", StreamKind.STREAM) == "STREAMS_PER_CLIENT_FULL"
        assert reason(admission, "b", StreamKind.STREAM) == ""
    assert admission.refusals == {
        "STREAMS_FULL": 1,
        "STREAMS_PER_CLIENT_FULL": 1,
        "FILES_PER_CLIENT_FULL": 1,
    }


def test_costly_streams_take_more_room() -> None:
    """Two streams of cost 2 fill four places."""
    admission = Admission(LIMITS, lambda: IDLE)
    with (
        admission.admitted("a", StreamKind.STREAM, 2.0),
        admission.admitted("b", StreamKind.STREAM, 2.0),
    ):
        assert reason(admission, "c", StreamKind.STREAM, 0.1) == "STREAMS_FULL"
        assert admission.count(StreamKind.STREAM) == 2


@pytest.mark.parametrize(
    "load",
    [EngineLoad(9, 0.6, 0.0, 0.0), EngineLoad(0, 0.3, 0.0, 0.3), EngineLoad(0, 0.0, 0.95, 0.0)],
)
def test_nobody_comes_in_while_the_server_is_behind(load: EngineLoad) -> None:
    """Old hops, late deliveries or a busy engine refuse, with a time to come back."""
    admission = Admission(LIMITS, lambda: load)
    with pytest.raises(Overloaded) as caught, admission.admitted("a", StreamKind.STREAM):
        pass
    assert caught.value.reason == "SERVER_BEHIND"
    assert caught.value.retry_after_seconds > 0


def test_a_draining_server_takes_nobody() -> None:
    """UNAVAILABLE: another server will do."""
    admission = Admission(LIMITS, lambda: IDLE)
    admission.draining = True
    with pytest.raises(Unavailable), admission.admitted("a", StreamKind.STREAM):
        pass


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.sampled_from(StreamKind),
            st.floats(0.01, 3),
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_every_place_is_given_back(steps: list[tuple[str, StreamKind, float, bool]]) -> None:
    """After any coming and going, all places are free and nothing is remembered of anybody."""
    admission = Admission(LIMITS, lambda: IDLE)
    inside: list[ExitStack] = []
    for principal, kind, cost, leave in steps:
        if leave and inside:
            inside.pop(0).close()
        stack = ExitStack()
        try:
            stack.enter_context(admission.admitted(principal, kind, cost))
        except Overloaded:
            continue
        inside.append(stack)
        assert admission.count(StreamKind.STREAM) * 0.01 <= LIMITS.streams
    for stack in inside:
        stack.close()
    with ExitStack() as all_places:
        for principal in "aabb":
            all_places.enter_context(admission.admitted(principal, StreamKind.STREAM))
        for principal in "ab":
            all_places.enter_context(admission.admitted(principal, StreamKind.FILE))
