"""The status table loses nothing on the way from the server's error to the client's."""

from __future__ import annotations

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc.aio import AioRpcError, Metadata
from hypothesis import given
from hypothesis import strategies as st

from voiceflow import errors
from voiceflow.rpc.status import abort_arguments, from_rpc_error, status_code, to_status

TREE = [
    cls
    for cls in errors.VoiceFlowError.__subclasses__()
    if cls.__module__ == errors.__name__  # what a service adds of its own is INTERNAL to clients
]
PLAIN = [cls for cls in TREE if cls not in {errors.NotAllowedNow, errors.Overloaded}]
SHORT = st.text(max_size=20)
REASONS = st.from_regex(r"[A-Z][A-Z0-9_]{0,30}", fullmatch=True)


def received(error: Exception) -> errors.VoiceFlowError:
    """What a client makes of the error, without a connection in between."""
    code, details, trailing = abort_arguments(error)
    return from_rpc_error(AioRpcError(code, Metadata(), Metadata(*trailing), details))


@given(
    st.sampled_from(PLAIN),
    st.text(min_size=1, max_size=200),
    REASONS,
    st.none() | st.text(min_size=1, max_size=60),
)
def test_every_error_comes_out_as_it_went_in(
    cls: type[errors.VoiceFlowError], message: str, reason: str, field: str | None
) -> None:
    """Class, message, reason and field survive the way through a gRPC status."""
    seen = received(cls(message, reason=reason, field=field))
    assert type(seen) is cls
    assert (seen.message, seen.reason, seen.field) == (message, reason, field)


@given(st.floats(min_value=0, max_value=3600))
def test_overload_says_when_to_come_back(seconds: float) -> None:
    """RetryInfo carries the delay to the nanosecond."""
    seen = received(errors.Overloaded("full", reason="FULL", retry_after_seconds=seconds))
    assert isinstance(seen, errors.Overloaded)
    assert seen.retry_after_seconds == pytest.approx(seconds, abs=1e-9)


@given(st.none() | st.floats(min_value=0, max_value=3600))
def test_unavailable_may_say_when_to_come_back(seconds: float | None) -> None:
    """RetryInfo is there where a delay is known, and only there."""
    seen = received(errors.Unavailable("away", reason="AWAY", retry_after_seconds=seconds))
    assert isinstance(seen, errors.Unavailable)
    assert seen.retry_after_seconds == (
        None if seconds is None else pytest.approx(seconds, abs=1e-9)
    )


@given(
    st.text(min_size=1, max_size=200),
    REASONS,
    st.none() | st.text(min_size=1, max_size=60),
    st.lists(st.builds(errors.Violation, SHORT, SHORT, SHORT), max_size=5),
)
def test_everything_in_the_way_is_told(
    message: str, reason: str, field: str | None, violations: list[errors.Violation]
) -> None:
    """PreconditionFailure carries each violation, in order."""
    error = errors.NotAllowedNow(message, reason=reason, field=field, violations=violations)
    seen = received(error)
    assert isinstance(seen, errors.NotAllowedNow)
    assert (seen.message, seen.reason, seen.field) == (message, reason, field)
    assert seen.violations == tuple(violations)


def test_every_status_says_whose_reason_it_is() -> None:
    """ErrorInfo of domain voiceflow is on every status, also on those of crashes."""
    for error in (RuntimeError(), errors.NotFound("x", reason="THING_MISSING")):
        status = to_status(error)
        info = error_details_pb2.ErrorInfo()
        assert status.details[0].Unpack(info)
        assert (info.domain, bool(info.reason)) == ("voiceflow", True)


def test_errors_outside_the_tree_leak_nothing() -> None:
    """A crash is INTERNAL with a fixed text: its own text may hold what no client may see."""
    seen = received(RuntimeError("secret /path"))
    assert status_code(RuntimeError()) is grpc.StatusCode.INTERNAL
    assert type(seen) is errors.VoiceFlowError
    assert seen.reason == "INTERNAL"
    assert "secret" not in seen.message


def test_every_class_of_the_tree_has_its_code() -> None:
    """No class of the tree falls through to INTERNAL."""
    for cls in TREE:
        error = (
            errors.Overloaded("", reason="R", retry_after_seconds=1)
            if cls is errors.Overloaded
            else cls("", reason="R")
        )
        assert status_code(error) is not grpc.StatusCode.INTERNAL, cls


@pytest.mark.parametrize(
    ("code", "cls"),
    [
        (grpc.StatusCode.UNAVAILABLE, errors.Unavailable),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, errors.LimitExceeded),
        (grpc.StatusCode.DEADLINE_EXCEEDED, errors.VoiceFlowError),
    ],
)
def test_a_status_without_details_maps_to_the_nearest_error(
    code: grpc.StatusCode, cls: type[errors.VoiceFlowError]
) -> None:
    """What gRPC itself or a proxy answers has a class too; its reason is the code's name."""
    seen = from_rpc_error(AioRpcError(code, Metadata(), Metadata(), "gone"))
    assert type(seen) is cls
    assert seen.reason == code.name


def test_damaged_details_are_ignored() -> None:
    """Trailing metadata that does not parse is as good as none."""
    metadata = Metadata(("grpc-status-details-bin", b"\xff\xff"))
    seen = from_rpc_error(AioRpcError(grpc.StatusCode.UNAVAILABLE, Metadata(), metadata, "gone"))
    assert isinstance(seen, errors.Unavailable)
