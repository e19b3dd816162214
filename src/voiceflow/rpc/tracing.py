"""A span and a duration for every call that has an end, as OpenTelemetry's conventions name them.

A call is a child of the span whose context came with it. Calls that last as long as their client
likes have none: a span is told of when it ends, and an hour is too late; what happens in them has
spans of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any, Final

import grpc
from opentelemetry import trace
from opentelemetry.context import attach
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from voiceflow.rpc.handlers import (
    Context,
    Continuation,
    Handler,
    behaviour_of,
    is_generator,
    rebuilt,
)
from voiceflow.rpc.status import status_code
from voiceflow.telemetry.context import extracted
from voiceflow.telemetry.metrics import RPC_DURATION

ENDLESS: Final = frozenset(
    {
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/voiceflow.diarization.v1.Diarization/Diarize",
        "/voiceflow.diarization.v1.Diarization/DiarizeFile",
        "/voiceflow.registry.v1.ModelRegistry/WatchChannels",
    }
)
"""Calls without a span, by their path."""

PROBES: Final = frozenset({"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/List"})
"""Likewise: there would be more of them than of anything else."""


class TracingInterceptor(grpc.aio.ServerInterceptor):
    """Observes every call but those that are ENDLESS or PROBES.

    Stands inside the table of errors, where an error still says what it is.
    """

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Wraps the method that is about to be called."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method in ENDLESS or method in PROBES:
            return handler
        wrap = _generator if is_generator(handler) else _coroutine
        observed = wrap(behaviour_of(handler), method)
        return rebuilt(handler, observed, handler.request_deserializer)


def _coroutine(
    behaviour: Callable[..., Awaitable[Any]], method: str
) -> Callable[[Any, Context], Awaitable[Any]]:
    async def observed(request: Any, context: Context) -> Any:
        with _observed(method, context):
            return await behaviour(request, context)

    return observed


def _generator(
    behaviour: Callable[..., AsyncIterator[Any]], method: str
) -> Callable[[Any, Context], AsyncIterator[Any]]:
    async def observed(request: Any, context: Context) -> AsyncIterator[Any]:
        with _observed(method, context):
            async for reply in behaviour(request, context):
                yield reply

    return observed


@contextmanager
def _observed(method: str, context: Context) -> Iterator[None]:
    """Makes a call's span the current one; the transport ends it, however the call ends."""
    span = _TRACER.start_span(
        method.removeprefix("/"),
        extracted(context.invocation_metadata()),
        SpanKind.SERVER,
        {"rpc.system.name": "grpc", "rpc.method": method.removeprefix("/")},
    )
    # For good: each call runs in a task of its own, which another one may have to clean up.
    attach(trace.set_span_in_context(span))
    call = _Call(method, span)
    # The stubs want a class where gRPC takes any function.
    context.add_done_callback(lambda _: call.end())  # type: ignore[arg-type]
    try:
        yield
    except Exception as error:
        if not isinstance(error, grpc.aio.BaseError):  # which says that the client is gone
            call.status = status_code(error)
        raise
    call.status = grpc.StatusCode.OK


class _Call:
    """One call that is observed.

    Args:
        method: By its path.
        span: Its own.

    Attributes:
        status: How it ends; as long as nothing else is known, because its client is gone.
    """

    def __init__(self, method: str, span: Span) -> None:
        self.status = grpc.StatusCode.CANCELLED
        self._method = method.rpartition("/")[2]
        self._span = span
        self._began_seconds = perf_counter()

    def end(self) -> None:
        """The call is over."""
        name = self.status.name
        seconds = perf_counter() - self._began_seconds
        here = trace.set_span_in_context(self._span)
        RPC_DURATION.record(seconds, {"method": self._method, "status": name}, here)
        self._span.set_attribute("rpc.response.status_code", name)
        if self.status in _OWN_FAULTS:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


_TRACER: Final = trace.get_tracer("voiceflow")

# What the server is to blame for; a wrong request is an answer like any other.
_OWN_FAULTS: Final = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
