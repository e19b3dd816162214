"""Carries the context of a trace over gRPC and through records, as W3C Trace Context has it.

Nothing here needs the SDK: without it there is no current span, and nothing is carried. What comes
from outside is taken if it is well-formed, and is otherwise as if it had not come.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

TRACE_PARENT_CHARACTERS: Final = 55
"""Of a traceparent, version 00: `00-<32 hex>-<16 hex>-<2 hex>`."""


def metadata() -> tuple[tuple[str, str], ...]:
    """What a call sends along so that the server's spans belong to the current one's trace."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return tuple(carrier.items())


def extracted(metadata: Iterable[tuple[str, str | bytes]] | None) -> Context:
    """The context that came with a call; one without a span, if none came or it is malformed."""
    carrier = {key: value for key, value in metadata or () if key in _KEYS}
    return _context(carrier.get(_TRACE_PARENT), carrier.get(_TRACE_STATE))


def trace_parent() -> str:
    """The current span as a traceparent, to be kept in a record; empty where there is none."""
    return dict(metadata()).get(_TRACE_PARENT, "")


def context_of(trace_parent: str, *, kept: bool = False) -> Context:
    """The context that a record was made under; one without a span, if it is malformed.

    Args:
        trace_parent: As `trace_parent` has it.
        kept: Spans under it are kept, whether or not the one that it names was.
    """
    context = _context(trace_parent, None)
    span = trace.get_current_span(context).get_span_context()
    if not kept or not span.is_valid:
        return context
    always = SpanContext(
        span.trace_id, span.span_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)
    )
    return trace.set_span_in_context(NonRecordingSpan(always), Context())


_PROPAGATOR: Final = TraceContextTextMapPropagator()
_TRACE_PARENT: Final = "traceparent"
_TRACE_STATE: Final = "tracestate"
_KEYS: Final = frozenset({_TRACE_PARENT, _TRACE_STATE})
_TRACE_STATE_CHARACTERS: Final = 512


def _context(parent: str | bytes | None, state: str | bytes | None) -> Context:
    if not isinstance(parent, str) or len(parent) != TRACE_PARENT_CHARACTERS:
        return Context()
    carrier = {_TRACE_PARENT: parent}
    if isinstance(state, str) and len(state) <= _TRACE_STATE_CHARACTERS:
        carrier[_TRACE_STATE] = state
    return _PROPAGATOR.extract(carrier, Context())
