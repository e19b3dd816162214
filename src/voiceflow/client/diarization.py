"""The client of the Diarization service.

A stream runs in two directions at once: one task sends the audio, the caller reads the events. Both
push back: a slow server slows the sending down (nothing is read ahead from the source), and a
caller that does not read stops the sending, because at most `ahead_seconds` of audio are sent past
what the caller has seen covered. So the server never has to cut a slow reader off.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from types import TracebackType
from typing import Final, Self, TypeVar

import grpc
from grpc_health.v1 import health_pb2

from voiceflow.client import wire
from voiceflow.client.config import AudioFormat, Flush, StreamConfig
from voiceflow.client.events import (
    Begin,
    DrainingState,
    Event,
    FileResult,
    ServingState,
    Summary,
    Update,
    seconds,
)
from voiceflow.client.failures import is_no_connection, no_connection
from voiceflow.client.fate import Fate
from voiceflow.client.identity import ClientIdentity, open_channel
from voiceflow.client.retry import RetryPolicy, pause_before_retry
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.diarization.v1 import diarization_pb2_grpc as pb_grpc
from voiceflow.errors import Unavailable, VoiceFlowError
from voiceflow.rpc.status import from_rpc_error

SERVICE_NAME: Final = pb.DESCRIPTOR.services_by_name["Diarization"].full_name

_Answer = TypeVar("_Answer")
_StreamCall = grpc.aio.StreamStreamCall[pb.DiarizeRequest, pb.DiarizeResponse]

_UNTIL_IT_SERVES: Final = RetryPolicy(
    attempts=2**31, first_pause_seconds=0.2, longest_pause_seconds=1.0
)

_CHANNEL_OPTIONS: Final = (
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
        retry: How patiently to ask for a stream that was not admitted.
        ahead_seconds: Audio that may be sent past what the caller has seen covered.

    Every method raises a `voiceflow.errors.VoiceFlowError` with the server's reason.
    """

    def __init__(
        self,
        target: str,
        *,
        identity: ClientIdentity | None = None,
        retry: RetryPolicy | None = None,
        ahead_seconds: float = 30.0,
    ) -> None:
        self._target = target
        self._identity = identity
        self._retry = retry or RetryPolicy()
        self._ahead_seconds = ahead_seconds

    async def __aenter__(self) -> Self:
        self._channel = open_channel(self._target, self._identity, _CHANNEL_OPTIONS)
        self._stub = pb_grpc.DiarizationStub(self._channel)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._channel.close()

    async def diarize(
        self, audio: AsyncIterable[bytes | Flush], config: StreamConfig
    ) -> AsyncGenerator[Event, None]:
        """Diarizes one conversation live.

        No audio is taken from the source before the server has admitted the stream, so that asking
        again until then loses nothing. When the source ends, the stream is finished and its
        `Summary` comes last. Close the generator (`contextlib.aclosing`) to leave a stream early.

        Args:
            audio: Pieces of any length that hold whole sample frames, in the config's format; a
                `Flush` between them makes what was sent final at once.
            config: How to diarize.

        Yields:
            `Begin` first, then updates and events in audio order, `Summary` last.

        Raises:
            VoiceFlowError: What the server says, or what the source raised, as it is.
        """
        call, fate, begin = await self._asking(lambda: self._open(config))
        window = _Window(config.audio_format, self._ahead_seconds)
        sender = asyncio.create_task(_send(call, audio, window))
        ended = False
        try:
            yield begin
            while (response := await _read(call, fate, sender)) is not None:
                event = wire.event_of(response)
                if isinstance(event, Update):
                    window.cover(event.covered_samples)
                if event is not None:
                    ended = isinstance(event, Summary)
                    yield event
            if not ended:
                raise Unavailable("the stream ended without a summary", reason="STREAM_CUT")
        finally:
            sender.cancel()
            call.cancel()
            await asyncio.gather(sender, return_exceptions=True)

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
                await self._stub.GetServingState(request, timeout=timeout_seconds)
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
                await self._stub.SetDraining(request, timeout=timeout_seconds)
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
        return from_rpc_error(error)

    async def _open(self, config: StreamConfig) -> tuple[_StreamCall, Fate, Begin]:
        call = self._stub.Diarize()
        fate = Fate(call)
        try:
            await _write(call, pb.DiarizeRequest(config=wire.config_message(config)))
            response = await call.read()
            if isinstance(response, pb.DiarizeResponse):
                event = wire.event_of(response)
                if isinstance(event, Begin):
                    return call, fate, event
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
        call = self._stub.DiarizeFile()
        fate = Fate(call)
        try:
            going = await _write(call, pb.DiarizeFileRequest(config=wire.config_message(config)))
            if going:
                async for piece in open_audio():
                    if not await _write(call, pb.DiarizeFileRequest(audio=piece)):
                        break
            await _done_writing(call)
            return wire.file_result_of(await call)
        except grpc.aio.AioRpcError as error:
            raise fate.told(error) from None
        finally:
            call.cancel()


class _Window:
    """How far the sending may run ahead of what the caller has seen."""

    def __init__(self, audio_format: AudioFormat, ahead_seconds: float) -> None:
        self._format = audio_format
        self._ahead_seconds = ahead_seconds
        self._sent_seconds = 0.0
        self._covered_seconds = 0.0
        self._moved = asyncio.Event()

    def cover(self, samples: int) -> None:
        """The caller has seen that so much audio is computed."""
        self._covered_seconds = seconds(samples)
        self._moved.set()

    async def send(self, size_bytes: int) -> None:
        """Waits until so much more audio may be sent."""
        while self._sent_seconds - self._covered_seconds > self._ahead_seconds:
            self._moved.clear()
            await self._moved.wait()
        self._sent_seconds += self._format.seconds(size_bytes)


async def _send(call: _StreamCall, audio: AsyncIterable[bytes | Flush], window: _Window) -> None:
    """Sends the audio and `finish`; ends early when the server has ended the stream.

    A source that fails ends the call, so that the reader wakes up and finds its error here.
    """
    try:
        async for piece in audio:
            if isinstance(piece, Flush):
                request = pb.DiarizeRequest(flush=pb.Flush())
            else:
                await window.send(len(piece))
                request = pb.DiarizeRequest(audio=piece)
            if not await _write(call, request):
                return
    except Exception:
        call.cancel()
        raise
    if await _write(call, pb.DiarizeRequest(finish=pb.Finish())):
        await _done_writing(call)


async def _read(
    call: _StreamCall, fate: Fate, sender: asyncio.Task[None]
) -> pb.DiarizeResponse | None:
    """The next reply; None at the end."""
    try:
        response = await call.read()
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(fate.told(error)) from None
    except asyncio.CancelledError:
        await asyncio.wait([sender], timeout=0)
        if sender.done() and not sender.cancelled() and (failure := sender.exception()):
            raise failure from None
        raise
    return response if isinstance(response, pb.DiarizeResponse) else None


async def _write(
    call: grpc.aio.StreamStreamCall[_Answer, pb.DiarizeResponse]
    | grpc.aio.StreamUnaryCall[_Answer, pb.DiarizeFileResponse],
    request: _Answer,
) -> bool:
    """Sends one request; False if the server has ended the call (reading it says why)."""
    try:
        await call.write(request)
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        return False
    return True


async def _done_writing(
    call: grpc.aio.StreamStreamCall[pb.DiarizeRequest, pb.DiarizeResponse]
    | grpc.aio.StreamUnaryCall[pb.DiarizeFileRequest, pb.DiarizeFileResponse],
) -> None:
    try:
        await call.done_writing()
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        return
