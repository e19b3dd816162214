"""One connection to a registry: asks, asks again where that is safe, and reads its errors."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any, Final, TypeVar

import grpc

from voiceflow.client.failures import is_no_connection, no_connection, unreachable
from voiceflow.client.fate import heed_cancellation
from voiceflow.client.identity import ClientIdentity, open_channel
from voiceflow.client.retry import RetryPolicy, pause_before_retry
from voiceflow.errors import ContentCorrupt, VoiceFlowError
from voiceflow.registry.v1 import registry_pb2_grpc as pb_grpc
from voiceflow.rpc.status import from_rpc_error
from voiceflow.telemetry.context import metadata

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")
_Value = TypeVar("_Value")

_CHANNEL_OPTIONS: Final = (
    # Clients of one process share no connection, so that none waits out the failures of another.
    ("grpc.use_local_subchannel_pool", 1),
    # A registry that restarts is found again soon.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # One that has vanished is noticed while a stream waits for it.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)

MESSAGE_BYTES: Final = 64 * 1024 * 1024
"""Of one answer at most: a page of versions in full view holds their manifests."""


class Connection:
    """A channel to one registry, with the patience of its owner.

    Args:
        target: `host:port`.
        identity: None: plain text.
        retry: How patiently to ask again.
        timeout_seconds: For the answer to one request.
        message_bytes: Of one answer at most; a longer one is not read.

    Raises:
        InvalidInput: CREDENTIALS_UNREADABLE, with the file.
        Unauthenticated: CERTIFICATE_EXPIRED: the client's own has ended.
    """

    def __init__(
        self,
        target: str,
        identity: ClientIdentity | None,
        retry: RetryPolicy,
        timeout_seconds: float,
        message_bytes: int,
    ) -> None:
        self.target = target
        self.retry = retry
        self._identity = identity
        self._timeout_seconds = timeout_seconds
        options = (*_CHANNEL_OPTIONS, ("grpc.max_receive_message_length", message_bytes))
        self._channel = open_channel(target, identity, options)
        self.stub = pb_grpc.ModelRegistryStub(self._channel)

    async def close(self) -> None:
        """Ends it."""
        await self._channel.close()

    async def ask(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[_Request, _Response],
        request: _Request,
    ) -> _Response:
        """Asks until there is an answer or the policy gives up.

        Only for what may be asked twice: reading, and changes with a request id.

        Raises:
            VoiceFlowError: The last one.
        """
        failures = 0
        while True:
            try:
                return await self.ask_once(method, request)
            except VoiceFlowError as error:
                failures += 1
                await self.pause(error, failures)

    async def ask_once(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[_Request, _Response],
        request: _Request,
    ) -> _Response:
        """Asks once.

        Raises:
            VoiceFlowError: What the registry says.
        """
        try:
            response = await method(request, timeout=self._timeout_seconds, metadata=metadata())
        except grpc.aio.AioRpcError as error:
            raise self.error_of(error) from None
        if response is None:  # so gRPC says that it could not be decoded
            raise ContentCorrupt(
                f"the answer of the registry at {self.target} cannot be read",
                reason="MESSAGE_UNDECODABLE",
            )
        return response

    async def pages(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[_Request, _Response],
        request: Any,
        items: Callable[[_Response], Iterable[Any]],
        read: Callable[[Any], _Value],
    ) -> AsyncGenerator[_Value, None]:
        """Every item of a list, page after page."""
        while True:
            response: Any = await self.ask(method, request)
            for message in items(response):
                yield read(message)
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    async def pause(
        self, error: VoiceFlowError, failures: int, policy: RetryPolicy | None = None
    ) -> None:
        """Waits before the next try.

        Args:
            error: Why the last one failed.
            failures: How many have failed, from 1.
            policy: Another one than the connection's.

        Raises:
            VoiceFlowError: The error itself, where trying again is no use or has lasted too long.
        """
        heed_cancellation()
        chance = random.random()  # noqa: S311 - spreads load, keeps no secret
        pause = pause_before_retry(policy or self.retry, error, failures, chance)
        if pause is None:
            raise error
        await asyncio.sleep(pause)

    def error_of(self, error: grpc.aio.AioRpcError) -> VoiceFlowError:
        """What a failed call means: the registry's error, or that it is not to be reached."""
        code, details = error.code(), error.details() or ""
        registry = f"the registry at {self.target}"
        known = from_rpc_error(error)
        if known.reason != code.name:
            return known
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return VoiceFlowError(
                f"{registry} did not answer within {self._timeout_seconds:g} s",
                reason="DEADLINE_EXCEEDED",
            )
        if is_no_connection(error):
            return no_connection(error, registry, self.target, self._identity)
        if code in _CUT or (code is grpc.StatusCode.INTERNAL and details.startswith(_OF_LIBRARY)):
            return unreachable(registry, details)
        return known


_CUT: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
_OF_LIBRARY: Final = ("Received RST_STREAM", "RST_STREAM", "Internal error from Core")
"""How gRPC itself words that a stream was cut."""
