"""Takes methods of a server apart and puts them together again, for interceptors.

A method of ``grpc.aio`` is of one of four kinds; one that streams replies may be written as an
async generator, or as a coroutine that calls ``context.write``.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Continuation: TypeAlias = Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]]

Step: TypeAlias = Callable[[Any, Context], Awaitable[Any]]
"""Takes the request, or the iterator of requests, and gives what the method gets in its place."""


def behaviour_of(handler: Handler) -> Callable[..., Any]:
    """The function behind a method, of whatever kind."""
    behaviour: Any = (
        handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    )
    return behaviour  # type: ignore[no-any-return]


def is_generator(handler: Handler) -> bool:
    """Whether a method is written as an async generator of its replies."""
    return inspect.isasyncgenfunction(behaviour_of(handler))


def rebuilt(
    handler: Handler,
    behaviour: Callable[..., Any],
    request_deserializer: Callable[[bytes], Any] | None,
) -> Handler:
    """A method of the same kind with another function behind it."""
    kind = ("stream" if handler.request_streaming else "unary") + (
        "_stream" if handler.response_streaming else "_unary"
    )
    make: Callable[..., Handler] = getattr(grpc, f"{kind}_rpc_method_handler")
    return make(
        behaviour,
        request_deserializer=request_deserializer,
        response_serializer=handler.response_serializer,
    )


def preceded(handler: Handler, step: Step) -> Handler:
    """The same method, after a step that may refuse the call."""
    behaviour = behaviour_of(handler)

    async def coroutine(request: Any, context: Context) -> Any:
        return await behaviour(await step(request, context), context)

    async def generator(request: Any, context: Context) -> AsyncIterator[Any]:
        async for reply in behaviour(await step(request, context), context):
            yield reply

    wrapped = generator if is_generator(handler) else coroutine
    return rebuilt(handler, wrapped, handler.request_deserializer)
