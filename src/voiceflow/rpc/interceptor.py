"""One server interceptor that turns every way a method fails into its status.

It wraps the four kinds of methods of ``grpc.aio``. A message that does not decode reaches the
method as InvalidInput from its request iterator: left to gRPC, a deserializer that raises would
be answered with UNKNOWN and its text.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, Never, TypeAlias

import grpc

from voiceflow.errors import InvalidInput, VoiceFlowError
from voiceflow.rpc.status import abort_arguments

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

_LOG = logging.getLogger(__name__)


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Applies the status table to every method of a server.

    Methods that stream replies may be written either way: as an async generator, or as a coroutine
    that calls ``context.write``. Methods that stream requests read them from the iterator.
    """

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wraps the method that is about to be called."""
        handler = await continuation(handler_call_details)
        if handler is None:  # no such method: gRPC answers UNIMPLEMENTED
            return None
        return _guarded(handler, handler_call_details.method)


class _Undecodable:
    """Stands for a message that its deserializer refused."""


_UNDECODABLE: Final = _Undecodable()


def _guarded(handler: Handler, name: str) -> Handler:
    """The same method, with its errors mapped and its messages checked."""
    behaviour: Any = (
        handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    )
    arrange = _decoded_all if handler.request_streaming else _decoded
    kind = ("stream" if handler.request_streaming else "unary") + (
        "_stream" if handler.response_streaming else "_unary"
    )
    wrap = _generator if inspect.isasyncgenfunction(behaviour) else _coroutine
    make: Callable[..., Handler] = getattr(grpc, f"{kind}_rpc_method_handler")
    return make(
        wrap(behaviour, arrange, name),
        request_deserializer=_tolerant(handler.request_deserializer),
        response_serializer=handler.response_serializer,
    )


def _coroutine(
    behaviour: Callable[..., Awaitable[Any]], arrange: Callable[[Any], Any], name: str
) -> Callable[[Any, Context], Awaitable[Any]]:
    async def method(request: Any, context: Context) -> Any:
        try:
            return await behaviour(arrange(request), context)
        except Exception as error:  # noqa: BLE001 the outermost frame of a method
            await _abort(error, context, name)

    return method


def _generator(
    behaviour: Callable[..., AsyncIterator[Any]], arrange: Callable[[Any], Any], name: str
) -> Callable[[Any, Context], AsyncIterator[Any]]:
    async def method(request: Any, context: Context) -> AsyncIterator[Any]:
        try:
            async for reply in behaviour(arrange(request), context):
                yield reply
        except Exception as error:  # noqa: BLE001 the outermost frame of a method
            await _abort(error, context, name)

    return method


async def _abort(error: Exception, context: Context, name: str) -> Never:
    if isinstance(error, grpc.aio.AbortError):  # the method has answered by itself
        raise error
    if isinstance(error, VoiceFlowError):
        _LOG.debug("%s: %s %s", name, type(error).__name__, error.reason)
    elif isinstance(error, grpc.aio.BaseError):  # nobody hears an answer; gRPC would log its own
        _LOG.debug("%s: the client is gone", name)
        raise asyncio.CancelledError from error
    else:
        _LOG.error("%s failed", name, exc_info=error)
    await context.abort(*abort_arguments(error))


def _tolerant(deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    if deserialize is None:
        return None

    def attempt(data: bytes) -> Any:
        try:
            return deserialize(data)
        except Exception:  # noqa: BLE001 whatever a parser makes of hostile bytes
            return _UNDECODABLE

    return attempt


def _decoded(request: Any) -> Any:
    if request is _UNDECODABLE:
        raise InvalidInput(
            "the message is not a valid encoding of its type", reason="MESSAGE_UNDECODABLE"
        )
    return request


async def _decoded_all(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _decoded(request)
