"""What spans say: what came of something, in a word, never the text of an error; and when."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import grpc
from opentelemetry import trace
from opentelemetry.trace import Span, Status, StatusCode
from opentelemetry.util.types import Attributes

from voiceflow.errors import VoiceFlowError


@contextmanager
def telling(name: str, attributes: Attributes = None) -> Iterator[Span]:
    """A span that is the current one while the block runs, and tells what came of it."""
    with _TRACER.start_as_current_span(
        name, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield span
        except BaseException as error:
            tell_outcome(span, error)
            raise
        tell_outcome(span, None)


def tell_outcome(span: Span, error: BaseException | None) -> None:
    """Sets `voiceflow.outcome`, and the status of what failed; the span goes on."""
    span.set_attribute("voiceflow.outcome", outcome_of(error))
    if error is not None and not isinstance(error, _GONE):
        span.set_status(Status(StatusCode.ERROR))


def outcome_of(error: BaseException | None) -> str:
    """OK, CANCELLED, the reason of an error, or INTERNAL: it was not raised on purpose."""
    match error:
        case None:
            return "OK"
        case VoiceFlowError():
            return error.reason
        case asyncio.CancelledError() | grpc.aio.BaseError():
            return "CANCELLED"
        case _:
            return "INTERNAL"


def wall_ns(monotonic_ns: int) -> int:
    """Since the epoch, as of the start of the process: no step of the clock bends a span."""
    return monotonic_ns + _EPOCH_NS


_EPOCH_NS: Final = time.time_ns() - time.monotonic_ns()
_TRACER: Final = trace.get_tracer("voiceflow")
# Whoever asked does not wait any more.
_GONE: Final = (asyncio.CancelledError, grpc.aio.BaseError)
