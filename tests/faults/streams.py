"""One client of the service, driven by hand: what a test sends is exactly what goes out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np

from tests.fakes.service import FINISH, audio
from voiceflow.artifact import LatencyMode
from voiceflow.client import wire
from voiceflow.client.events import Summary, Update
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.diarization.v1 import diarization_pb2_grpc as pb_grpc
from voiceflow.errors import VoiceFlowError
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow.pipeline.offline import diarize
from voiceflow.pipeline.turns import Region, Turn
from voiceflow.rpc.status import from_rpc_error

WAIT_SECONDS: Final = 60.0
"""Nothing is measured by it: it ends a test that would wait for ever."""

OWN_CONNECTION: Final = (("grpc.use_local_subchannel_pool", 1),)
"""Options of a channel that shares its connection with no other one of the process."""


def config(
    *,
    encoding: Any = pb.AUDIO_ENCODING_PCM16,
    rate_hertz: int = 16_000,
    channels: int = 1,
    mode: Any = pb.LATENCY_MODE_DENSITY,
    activity: bool = False,
) -> pb.DiarizeRequest:
    """The first request of a stream."""
    message = pb.StreamConfig(latency_mode=mode, send_activity=activity)
    message.audio_format.encoding = encoding
    message.audio_format.sample_rate_hertz = rate_hertz
    message.audio_format.channel_count = channels
    return pb.DiarizeRequest(config=message)


def file_config(*, encoding: Any, rate_hertz: int) -> pb.DiarizeFileRequest:
    """The first request for a recording."""
    return pb.DiarizeFileRequest(config=config(encoding=encoding, rate_hertz=rate_hertz).config)


def file_audio(data: bytes) -> pb.DiarizeFileRequest:
    """A piece of a recording."""
    return pb.DiarizeFileRequest(audio=data)


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a call has failed."""

    code: grpc.StatusCode
    reason: str
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that a stream has been told for good."""

    regions: tuple[Region, ...]
    turns: tuple[Turn, ...]
    complete: bool


def outcome_of(replies: Iterable[pb.DiarizeResponse]) -> Outcome:
    """Puts a whole stream's replies together; the last one is the Summary."""
    events = [wire.event_of(reply) for reply in replies]
    updates = [event for event in events if isinstance(event, Update)]
    summary = events[-1]
    assert isinstance(summary, Summary), f"the stream ends with {summary}"
    return Outcome(
        tuple(region for update in updates for region in update.final_regions),
        tuple(turn for update in updates for turn in update.turns if turn.final),
        summary.complete,
    )


def expected(
    package: Path,
    data: bytes,
    *,
    mode: LatencyMode = LatencyMode.DENSITY,
    complete: bool = True,
) -> Outcome:
    """What the pipeline says of PCM16 audio at 16 kHz, with no server around it."""
    samples = np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32768)
    results = diarize(bind(load_package(package)), samples, mode=mode)
    return Outcome(
        tuple(region for result in results for region in result.final_regions),
        tuple(
            replace(turn, confidence=float(np.float32(turn.confidence)))  # as on the wire
            for result in results
            for turn in result.turns_final
        ),
        complete,
    )


@contextlib.asynccontextmanager
async def connected(
    address: str, options: Iterable[tuple[str, int]] = ()
) -> AsyncIterator[grpc.aio.Channel]:
    """A connection that no other channel of this process shares."""
    async with grpc.aio.insecure_channel(address, options=(*OWN_CONNECTION, *options)) as channel:
        yield channel


class Stream:
    """A call of Diarize.

    Args:
        channel: To make it on.
        timeout: Its deadline in seconds.
        metadata: Sent with it.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        timeout: float | None = None,
        metadata: tuple[tuple[str, str], ...] = (),
    ) -> None:
        stub = pb_grpc.DiarizationStub(channel)
        self.call = stub.Diarize(timeout=timeout, metadata=metadata)
        self.replies: list[pb.DiarizeResponse] = []

    async def send(self, *requests: pb.DiarizeRequest) -> None:
        """Sends requests; where the server has ended the call already, reading says why."""
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            for request in requests:
                await self.call.write(request)

    async def half_close(self) -> None:
        """Says that nothing more will be sent."""
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await self.call.done_writing()

    async def read(self) -> pb.DiarizeResponse | None:
        """The next reply; None at the end."""
        async with asyncio.timeout(WAIT_SECONDS):
            reply = await self.call.read()
        if not isinstance(reply, pb.DiarizeResponse):
            return None
        self.replies.append(reply)
        return reply

    async def read_until(self, seen: Callable[[pb.DiarizeResponse], bool]) -> None:
        """Reads replies up to the first that is as wanted."""
        while True:
            reply = await self.read()
            assert reply is not None, "the stream has ended before"
            if seen(reply):
                return

    async def covered(self, seconds: float) -> None:
        """Reads until so much audio has been computed."""
        await self.read_until(
            lambda reply: (
                reply.HasField("update")
                and reply.update.audio_covered.ToNanoseconds() >= seconds * 1e9
            )
        )

    async def outcome(self) -> Outcome:
        """Reads to the end."""
        while await self.read() is not None:
            pass
        return outcome_of(self.replies)

    async def refusal(self) -> Refusal:
        """Reads to the end, which must be an error."""
        try:
            while await self.read() is not None:
                pass
        except grpc.aio.AioRpcError as error:
            return refusal_of(error)
        raise AssertionError("the stream has ended well")


def refusal_of(error: grpc.RpcError) -> Refusal:
    """Status, reason and field of a failed call."""
    known: VoiceFlowError = from_rpc_error(error)
    return Refusal(error.code(), known.reason, known.field)


class Bystander:
    """A client that does nothing wrong, on a connection of its own.

    Args:
        stream: Its call.
        data: Its audio, PCM16 at 16 kHz.
    """

    def __init__(self, stream: Stream, data: bytes) -> None:
        self._stream = stream
        self._data = data
        self._sent_bytes = 0

    async def speak(self, until_bytes: int) -> None:
        """Sends its audio up to a place and waits until it has been computed (all but a hop)."""
        await self._stream.send(audio(self._data[self._sent_bytes : until_bytes]))
        self._sent_bytes = until_bytes
        await self._stream.covered((until_bytes // 2 - _HOP_SAMPLES) / 16_000)

    async def stir(self) -> None:
        """Shows that it is there, without any audio."""
        await self._stream.send(audio(b""))

    async def finish(self) -> Outcome:
        """Sends the rest and reads everything."""
        await self._stream.send(audio(self._data[self._sent_bytes :]), FINISH)
        return await self._stream.outcome()


_HOP_SAMPLES: Final = 7680


@contextlib.asynccontextmanager
async def bystander(address: str, package: Path, data: bytes) -> AsyncIterator[Bystander]:
    """A stream that is half-way when the block begins and must end well after it.

    "Well" is: complete, and every region and turn as the pipeline alone gives them.
    """
    async with connected(address) as channel:
        stream = Stream(channel)
        await stream.send(config())
        other = Bystander(stream, data)
        await other.speak(len(data) // 4 * 2)
        yield other
        assert await other.finish() == expected(package, data)


async def serving_state(channel: grpc.aio.Channel) -> pb.GetServingStateResponse:
    """What the server says of itself."""
    stub = pb_grpc.DiarizationStub(channel)
    return await stub.GetServingState(pb.GetServingStateRequest(), timeout=WAIT_SECONDS)
