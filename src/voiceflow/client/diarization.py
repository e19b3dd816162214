"""The client of the Diarization service.

A stream runs in two directions at once: one task sends the audio, the caller reads the events. Both
push back: a slow server slows the sending down (nothing is read ahead from the source), and a
caller that does not read stops the sending, because at most `ahead_seconds` of audio are sent past
what the caller has seen covered. So the server never has to cut a slow reader off.

A conversation outlives its stream: see `voiceflow.client.conversation`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from types import TracebackType
from typing import Final, Self, TypeVar

import grpc
from grpc_health.v1 import health_pb2

from voiceflow.client import wire
from voiceflow.client.config import Flush, StreamConfig
from voiceflow.client.conversation import Conversation
from voiceflow.client.events import Begin, DrainingState, Event, FileResult, ServingState
from voiceflow.client.failures import is_no_connection, no_connection
from voiceflow.client.fate import Fate, heed_cancellation
from voiceflow.client.identity import ClientIdentity, open_channel
from voiceflow.client.latency import HopMeter
from voiceflow.client.retry import RetryPolicy, pause_before_retry
from voiceflow.client.sending import Score
from voiceflow.client.source import Source
from voiceflow.client.stream import Stream, done_writing, ended, write
from voiceflow.client.tape import Tape
from voiceflow.client.window import Window
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.diarization.v1 import diarization_pb2_grpc as pb_grpc
from voiceflow.errors import NotServed, VoiceFlowError
from voiceflow.telemetry.context import metadata

SERVICE_NAME: Final = pb.DESCRIPTOR.services_by_name["Diarization"].full_name

_Answer = TypeVar("_Answer")

_UNTIL_IT_SERVES: Final = RetryPolicy(
    attempts=2**31, first_pause_seconds=0.2, longest_pause_seconds=1.0
)

_CHANNEL_OPTIONS: Final = (
    # Clients of one process share no connection: each may meet another server behind one address,
    # and none waits out the failures of another.
    ("grpc.use_local_subchannel_pool", 1),
    # A target of several addresses: each call goes to the next that is there, so that asking again
    # after one that stops asks another.
    ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),
    # A server that restarts is found again soon.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # A server that has vanished is noticed while a stream waits for its replies.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # The result of a long recording is one message.
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
)


class DiarizationClient:
    """Talks to one Diarization service; many streams may run at once.

    Args:
        target: `host:port`, or any target that gRPC knows.
        identity: Who calls, and whom it trusts; None: plain text, for loopback and meshes that
            bring TLS of their own.
        retry: How patiently to ask for a stream that was not admitted, or that was cut.
        ahead_seconds: Audio that may be sent past what the caller has seen covered.
        kept_seconds: Audio that is kept at most of each stream, to go on with it elsewhere: more
            than `ahead_seconds` and what a server wants to hear again (`Begin`).

    Every method raises a `voiceflow.errors.VoiceFlowError` with the server's reason.
    """

    def __init__(
        self,
        target: str,
        *,
        identity: ClientIdentity | None = None,
        retry: RetryPolicy | None = None,
        ahead_seconds: float = 30.0,
        kept_seconds: float = 120.0,
    ) -> None:
        self._target = target
        self._identity = identity
        self._retry = retry or RetryPolicy()
        self._ahead_seconds = ahead_seconds
        self._kept_seconds = kept_seconds

    async def __aenter__(self) -> Self:
        self._channel = open_channel(self._target, self._identity, _CHANNEL_OPTIONS)
        self._stub = pb_grpc.DiarizationStub(self._channel)
        # Its messages are bytes here: see `Stream`.
        self._diarize: grpc.aio.StreamStreamMultiCallable[bytes, bytes]
        self._diarize = self._channel.stream_stream(f"/{SERVICE_NAME}/Diarize")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._channel.close()

    async def diarize(
        self,
        audio: AsyncIterable[bytes | Flush],
        config: StreamConfig,
        *,
        resume: bool = True,
        score: Score | None = None,
    ) -> AsyncGenerator[Event, None]:
        """Diarizes one conversation live.

        No audio is taken from the source before the server has admitted the stream, so that asking
        again until then loses nothing. A stream that is cut, or told to go, goes on in another one,
        on any server that the target leads to. When the source ends, the stream is finished and
        its `Summary` comes last. Close the generator (`contextlib.aclosing`) to leave a stream
        early.

        Args:
            audio: Pieces of any length that hold whole sample frames, in the config's format; a
                `Flush` between them makes what was sent final at once.
            config: How to diarize.
            resume: Whether to go on elsewhere; if not, a stream that is cut is an error, and one
                that is told to go ends with a `Summary` that is not complete.
            score: Asked once, when the audio has ended: how well it went, in the caller's own
                measure; see `Finish.score` in the API.

        Yields:
            `Begin` first, then updates and events in audio order, `Summary` last.

        Raises:
            VoiceFlowError: What the server says, or what the source raised, as it is.
        """
        policy = self._retry if resume else replace(self._retry, resume_seconds=0.0)
        stream = await self._asking(lambda: self._open(config))
        tape = Tape(config.audio_format, self._kept_seconds if policy.resume_seconds else 0.0)
        conversation = Conversation(
            stream,
            config,
            source=Source(audio, tape),
            tape=tape,
            reopen=self._reopen,
            policy=policy,
            score=score,
        )
        async with aclosing(conversation.events()) as events:
            async for event in events:
                yield event

    async def diarize_file(
        self, open_audio: Callable[[], AsyncIterable[bytes]], config: StreamConfig
    ) -> FileResult:
        """Diarizes one recording, as fast as the server can spare.

        Args:
            open_audio: Gives the audio from its beginning, each time it is called: as there is
                one answer at the end, asking again from the start is safe at any time.
            config: How to diarize, without anything that asks for updates.

        Raises:
            VoiceFlowError: What the server says, or what the source raised, as it is.
        """
        return await self._asking(lambda: self._send_file(open_audio, config))

    async def serving_state(self, timeout_seconds: float = 10.0) -> ServingState:
        """What the server serves now."""

        async def ask() -> ServingState:
            request = pb.GetServingStateRequest()
            return wire.serving_state_of(
                await self._stub.GetServingState(
                    request, timeout=timeout_seconds, metadata=metadata()
                )
            )

        return await self._asking(ask)

    async def set_draining(
        self,
        *,
        draining: bool,
        deadline_seconds: float | None = None,
        timeout_seconds: float = 10.0,
    ) -> DrainingState:
        """Takes the server out of service, or back into it, while it runs.

        One that drains takes no new streams, says so to load balancers, and closes its connections,
        this one too; live streams go on.

        Args:
            draining: False: it takes streams again.
            deadline_seconds: From now until live streams are told to go; None: to their end.
            timeout_seconds: For the answer.
        """

        async def ask() -> DrainingState:
            request = wire.draining_request(draining=draining, deadline_seconds=deadline_seconds)
            return wire.draining_state_of(
                await self._stub.SetDraining(request, timeout=timeout_seconds, metadata=metadata())
            )

        return await self._asking(ask)

    async def wait_until_serving(self, timeout_seconds: float | None = None) -> None:
        """Waits until the server's health service says that it serves diarization.

        Raises:
            VoiceFlowError: The time is up, the server has no health service, or it cannot be
                dialled as this client does it.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                while not await self._asking(self._hear_serving, _UNTIL_IT_SERVES):  # noqa: ASYNC110
                    await asyncio.sleep(_UNTIL_IT_SERVES.first_pause_seconds)
        except TimeoutError:
            raise VoiceFlowError(
                f"the server at {self._target} does not serve after {timeout_seconds:g} s",
                reason="DEADLINE_EXCEEDED",
            ) from None

    async def _hear_serving(self) -> bool:
        """Follows the health service until it says so; False: it ended before."""
        ask: grpc.aio.UnaryStreamMultiCallable[
            health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
        ] = self._channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        watch = ask(health_pb2.HealthCheckRequest(service=SERVICE_NAME))
        try:
            async for answer in watch:
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return True
        finally:
            watch.cancel()
        return False

    async def _asking(
        self, ask: Callable[[], Awaitable[_Answer]], policy: RetryPolicy | None = None
    ) -> _Answer:
        """Asks until there is an answer or the policy gives up."""
        failures = 0
        while True:
            try:
                return await ask()
            except grpc.aio.AioRpcError as error:
                refused = self._error_of(error)
            heed_cancellation()
            failures += 1
            chance = random.random()  # noqa: S311 - spreads load, keeps no secret
            pause = pause_before_retry(policy or self._retry, refused, failures, chance)
            if pause is None:
                raise refused
            await asyncio.sleep(pause)

    def _error_of(self, error: grpc.aio.AioRpcError) -> VoiceFlowError:
        """What the server says, or why it was not reached."""
        if is_no_connection(error):
            server = f"the server at {self._target}"
            return no_connection(error, server, self._target, self._identity)
        known = ended(error)
        if (
            isinstance(known, NotServed) and known.reason == error.code().name
        ):  # gRPC itself says so
            return NotServed(
                f"the server at {self._target} is no inference service, or an older one: it does"
                " not know what it was asked for",
                reason=known.reason,
            )
        return known

    async def _reopen(self, config: StreamConfig, token: bytes) -> Stream:
        try:
            return await self._open(config, token)
        except grpc.aio.AioRpcError as error:
            heed_cancellation()
            raise self._error_of(error) from None

    async def _open(self, config: StreamConfig, token: bytes = b"") -> Stream:
        call = self._diarize(metadata=metadata())
        fate = Fate(call)
        try:
            await write(call, wire.encoded(config=wire.config_message(config, token)))
            response = await call.read()
            if isinstance(response, bytes):
                event = wire.parsed(response)
                if isinstance(event, Begin):
                    window = Window(config.audio_format, self._ahead_seconds)
                    meter = HopMeter() if config.send_timings else None
                    return Stream(call, fate, event, window, meter)
        except grpc.aio.AioRpcError as error:
            raise fate.told(error) from None
        except BaseException:
            call.cancel()
            raise
        call.cancel()
        raise VoiceFlowError("the server did not begin the stream", reason="BEGIN_MISSING")

    async def _send_file(
        self, open_audio: Callable[[], AsyncIterable[bytes]], config: StreamConfig
    ) -> FileResult:
        call = self._stub.DiarizeFile(metadata=metadata())
        fate = Fate(call)
        try:
            going = await write(call, pb.DiarizeFileRequest(config=wire.config_message(config)))
            if going:
                async for piece in open_audio():
                    if not await write(call, pb.DiarizeFileRequest(audio=piece)):
                        break
            await done_writing(call)
            return wire.file_result_of(await call)
        except grpc.aio.AioRpcError as error:
            raise fate.told(error) from None
        finally:
            call.cancel()
