"""What this process traces, for tests that look at spans without a collector."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased


class Recorded:
    """Spans of one stretch of a test.

    Attributes:
        begun: Every span, in the order of their beginnings.
        ended: Those that have ended, in the order of their ends.
    """

    def __init__(self) -> None:
        self.begun: list[ReadableSpan] = []
        self.ended: list[ReadableSpan] = []

    def named(self, name: str) -> list[ReadableSpan]:
        """The spans of a name that have ended."""
        return [span for span in self.ended if span.name == name]

    def unended(self) -> list[str]:
        """Names of spans that have begun and not ended."""
        ended = {span_id(span) for span in self.ended}
        return [span.name for span in self.begun if span_id(span) not in ended]


def span_id(span: ReadableSpan) -> int:
    """What others call a span."""
    context = span.get_span_context()
    assert context is not None
    return context.span_id


@contextmanager
def recorded() -> Iterator[Recorded]:
    """Records every span of the process that begins or ends while the block runs."""
    keeper = _keeper()
    keeper.into = Recorded()
    try:
        yield keeper.into
    finally:
        keeper.into = None


class _Keeper(SpanProcessor):
    into: Recorded | None = None

    def on_start(self, span: Span, parent_context: object = None) -> None:  # noqa: ARG002
        if self.into is not None:
            self.into.begun.append(span)

    def on_end(self, span: ReadableSpan) -> None:
        if self.into is not None:
            self.into.ended.append(span)


@cache
def _keeper() -> _Keeper:
    """The one of the process: a provider can be set once."""
    keeper = _Keeper()
    provider = TracerProvider(sampler=ParentBased(ALWAYS_ON), shutdown_on_exit=False)
    provider.add_span_processor(keeper)
    trace.set_tracer_provider(provider)
    return keeper
