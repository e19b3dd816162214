"""A trace's context goes over gRPC and through records, and what is malformed is nothing."""

from __future__ import annotations

import logging

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import TraceFlags

from tests.fakes.spans import recorded, span_id
from voiceflow.telemetry import context
from voiceflow.telemetry.context import TRACE_PARENT_CHARACTERS, context_of, extracted

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GIVEN = f"00-{TRACE}-{PARENT}-01"
TRACER = trace.get_tracer("test")

MALFORMED = [
    "",
    "00",
    GIVEN + "x",
    GIVEN + "-future",
    GIVEN.upper(),
    f"00-{'0' * 32}-{PARENT}-01",
    f"00-{TRACE}-{'0' * 16}-01",
    f"ff-{TRACE}-{PARENT}-01",
    GIVEN.replace("-", "_"),
    "ä" * TRACE_PARENT_CHARACTERS,
    "x" * 100_000,
]


def parent(found: Context) -> tuple[str, str] | None:
    """The span of a context, as (trace, span) in hex."""
    span = trace.get_current_span(found).get_span_context()
    if not span.is_valid:
        return None
    return trace.format_trace_id(span.trace_id), trace.format_span_id(span.span_id)


def test_what_one_side_sends_the_other_takes_up() -> None:
    """Metadata made under a span leads back to that span."""
    with recorded(), TRACER.start_as_current_span("call") as span:
        sent = context.metadata()
        own = span.get_span_context()
    assert {key for key, _ in sent} <= {"traceparent", "tracestate"}
    assert parent(extracted(sent)) == (f"{own.trace_id:032x}", f"{own.span_id:016x}")


def test_without_a_span_nothing_is_sent() -> None:
    """A client that is not traced adds nothing to its calls."""
    assert context.metadata() == ()
    assert context.trace_parent() == ""


def test_a_record_keeps_where_its_trace_goes_on() -> None:
    """The traceparent has its fixed length, and what is begun under it is its child."""
    with recorded() as spans:
        with TRACER.start_as_current_span("promote"):
            kept = context.trace_parent()
        TRACER.start_span("swap", context_of(kept)).end()
    assert len(kept) == TRACE_PARENT_CHARACTERS
    (promote,), (swap,) = spans.named("promote"), spans.named("swap")
    assert swap.parent is not None
    assert swap.parent.span_id == span_id(promote)


def test_what_must_be_kept_is_kept_whatever_its_parent_says() -> None:
    """Under a span that was not kept, only what asks for it is."""
    left_out = GIVEN[:-2] + "00"
    with recorded() as spans:
        TRACER.start_span("usual", context_of(left_out)).end()
        TRACER.start_span("reload", context_of(left_out, kept=True)).end()
    assert [span.name for span in spans.ended] == ["reload"]
    assert parent(context_of(left_out, kept=True)) == (TRACE, PARENT)


@pytest.mark.parametrize("given", MALFORMED)
def test_what_is_malformed_is_nothing(given: str, caplog: pytest.LogCaptureFixture) -> None:
    """A record or metadata that is no traceparent gives no parent, and nothing is logged."""
    with caplog.at_level(logging.DEBUG):
        assert parent(context_of(given)) is None
        assert parent(context_of(given, kept=True)) is None
        assert parent(extracted([("traceparent", given)])) is None
    assert caplog.records == []


def test_bytes_are_no_context() -> None:
    """Nor is metadata that is not there at all."""
    assert parent(extracted([("traceparent", GIVEN.encode())])) is None
    assert parent(extracted(None)) is None


def test_a_state_that_is_too_long_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """The parent counts all the same, and nothing is logged of what somebody sent."""
    with caplog.at_level(logging.DEBUG):
        found = extracted([("traceparent", GIVEN), ("tracestate", "a=" + "x" * 600)])
    assert parent(found) == (TRACE, PARENT)
    assert not trace.get_current_span(found).get_span_context().trace_state
    assert caplog.records == []


def test_a_state_goes_on() -> None:
    """What other tracers wrote there is handed on as it came."""
    found = extracted([("traceparent", GIVEN), ("tracestate", "vendor=1")])
    span = trace.get_current_span(found).get_span_context()
    assert span.trace_state.to_header() == "vendor=1"
    assert span.trace_flags == TraceFlags.SAMPLED
    assert span.is_remote
