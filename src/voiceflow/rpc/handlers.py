"""Takes methods of a server apart and puts them together again, for interceptors.

A method of ``grpc.aio`` is of one of four kinds; one that streams replies may be written as an
async generator, or as a coroutine that calls ``context.write``.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc

from voiceflow.errors import InvalidInput

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
    *,
    takes_stream: bool | None = None,
    response_serializer: Callable[[Any], bytes] | None = None,
) -> Handler:
    """A method with another function behind it; of the same kind, unless it is said otherwise."""
    if takes_stream is None:
        takes_stream = handler.request_streaming
    kind = ("stream" if takes_stream else "unary") + (
        "_stream" if handler.response_streaming else "_unary"
    )
    make: Callable[..., Handler] = getattr(grpc, f"{kind}_rpc_method_handler")
    return make(
        behaviour,
        request_deserializer=request_deserializer,
        response_serializer=response_serializer or handler.response_serializer,
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


def unread(handler: Handler) -> Handler:
    """The same method, whose request is received only when the method is about to run.

    gRPC receives and decodes the one request of a unary call before any function of the server
    runs. To a client a stream of requests looks the same; what is not asked for stays in the
    window of its connection.
    """
    if handler.request_streaming:
        return handler
    reading = preceded(handler, _only)
    return rebuilt(handler, behaviour_of(reading), handler.request_deserializer, takes_stream=True)


async def _only(requests: AsyncIterator[Any], _context: Context) -> Any:
    received: list[Any] = []
    async for request in requests:
        if received:
            raise _not_one("more than one")
        received.append(request)
    if not received:
        raise _not_one("none")
    return received[0]


def _not_one(seen: str) -> InvalidInput:
    return InvalidInput(f"the method takes one message; {seen} came", reason="MESSAGE_UNDECODABLE")
