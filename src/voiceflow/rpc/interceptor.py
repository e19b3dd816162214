"""Server interceptors that turn every way a method fails into its status.

They wrap the four kinds of methods of ``grpc.aio``. ErrorInterceptor stands outermost and applies
the status table. DecodingInterceptor stands innermost: a message that does not decode is
InvalidInput, raised when the method is about to look at it, which is after it was decided whether
the caller may call at all. Left to gRPC, a deserializer that raises would be answered with UNKNOWN
and its text. Replies that a method has serialised by itself pass as they are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, Never

import grpc

from voiceflow.errors import InvalidInput, NotServed, VoiceFlowError
from voiceflow.rpc.handlers import (
    Context,
    Continuation,
    Handler,
    behaviour_of,
    is_generator,
    preceded,
    rebuilt,
)
from voiceflow.rpc.status import abort_arguments

_LOG = logging.getLogger(__name__)


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Applies the status table to every method of a server."""

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Wraps the method that is about to be called."""
        handler = await continuation(handler_call_details)
        if handler is None:  # no such method: gRPC answers UNIMPLEMENTED
            return None
        guard = _generator if is_generator(handler) else _coroutine
        guarded = guard(behaviour_of(handler), handler_call_details.method)
        return rebuilt(handler, guarded, handler.request_deserializer)


class DecodingInterceptor(grpc.aio.ServerInterceptor):
    """Refuses messages that do not decode; those of a stream, when the method comes to them.

    What a method replies with may be bytes already.
    """

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Wraps the method that is about to be called."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        tolerant = rebuilt(
            handler,
            behaviour_of(handler),
            _tolerant(handler.request_deserializer),
            response_serializer=_unless_bytes(handler.response_serializer),
        )
        return preceded(tolerant, _all_decoded if handler.request_streaming else _decoded)


class _Undecodable:
    """Stands for a message that its deserializer refused."""


_UNDECODABLE: Final = _Undecodable()


def _coroutine(
    behaviour: Callable[..., Awaitable[Any]], name: str
) -> Callable[[Any, Context], Awaitable[Any]]:
    async def method(request: Any, context: Context) -> Any:
        try:
            return await behaviour(request, context)
        except Exception as error:  # noqa: BLE001 the outermost frame of a method
            await _abort(error, context, name)

    return method


def _generator(
    behaviour: Callable[..., AsyncIterator[Any]], name: str
) -> Callable[[Any, Context], AsyncIterator[Any]]:
    async def method(request: Any, context: Context) -> AsyncIterator[Any]:
        try:
            async for reply in behaviour(request, context):
                yield reply
        except Exception as error:  # noqa: BLE001 the outermost frame of a method
            await _abort(error, context, name)

    return method


async def _abort(error: Exception, context: Context, name: str) -> Never:
    if isinstance(error, grpc.aio.AbortError):  # the method has answered by itself
        raise error
    if isinstance(error, NotImplementedError):  # generated code for what a servicer leaves out
        error = NotServed("this server does not have the method", reason="NOT_YET_SERVED")
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


def _unless_bytes(serialize: Callable[[Any], bytes] | None) -> Callable[[Any], bytes] | None:
    if serialize is None:
        return None
    return lambda reply: reply if isinstance(reply, bytes) else serialize(reply)


async def _decoded(request: Any, _context: Context) -> Any:
    return _checked(request)


async def _all_decoded(requests: AsyncIterator[Any], _context: Context) -> AsyncIterator[Any]:
    return _each_checked(requests)


async def _each_checked(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _checked(request)


def _checked(request: Any) -> Any:
    if request is _UNDECODABLE:
        raise InvalidInput(
            "the message is not a valid encoding of its type", reason="MESSAGE_UNDECODABLE"
        )
    return request
