"""P10: SIGTERM drains within the grace period, and nobody's final turns are lost."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
from pathlib import Path
from typing import Any

import grpc

from tests.fakes.service import FINISH, audio
from tests.faults.place import Place, own_place
from tests.faults.streams import WAIT_SECONDS, Refusal, config
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.diarization.v1 import diarization_pb2_grpc as pb_grpc

CLIENTS = 8


@contextlib.asynccontextmanager
async def half_way(place: Place) -> Any:
    """Streams that have spoken half of the conversation when the server is told to stop."""
    half = place.conversation[: len(place.conversation) // 4 * 2]
    async with contextlib.AsyncExitStack() as stack:
        streams = [
            await stack.enter_async_context(place.stream(config(), audio(half)))
            for _ in range(CLIENTS)
        ]
        for stream in streams:
            await stream.covered(len(half) / 32_000 - 0.48)
        place.service.process.send_signal(signal.SIGTERM)
        for stream in streams:
            await stream.read_until(lambda reply: reply.HasField("go_away"))
        yield streams, half


async def exit_code(place: Place) -> int:
    """Of the process, when it has ended by itself."""
    return await asyncio.to_thread(place.service.process.wait, WAIT_SECONDS)


async def late_refusal(place: Place) -> Refusal:
    """What a new stream is told; asked again where gRPC loses the answer, as its client may."""
    for _ in range(10):
        async with place.stream(config()) as late:
            refusal = await late.refusal()
        if refusal.code is not grpc.StatusCode.INTERNAL:
            break
    return refusal


async def test_p10_live_streams_may_end_by_themselves(
    stream_package: Path, conversation: bytes
) -> None:
    """They are told, speak to the end and get everything; no new one is let in meanwhile."""
    with own_place(stream_package, conversation) as place:
        async with half_way(place) as (streams, half):
            assert await late_refusal(place) == Refusal(grpc.StatusCode.UNAVAILABLE, "DRAINING")
            for stream in streams:
                await stream.send(audio(conversation[len(half) :]), FINISH)
                assert await stream.outcome() == place.expected()
        assert await exit_code(place) == 0


async def test_p10_streams_that_outlive_the_grace_period(
    stream_package: Path, conversation: bytes
) -> None:
    """They get what they have said so far as final turns, and a Summary that is not complete."""
    with own_place(stream_package, conversation, grace_seconds=2) as place:
        async with half_way(place) as (streams, half):
            outcomes = await asyncio.gather(*(stream.outcome() for stream in streams))
            assert set(outcomes) == {place.expected(half, complete=False)}
        assert await exit_code(place) == 0


async def test_p10_a_client_that_does_not_read_stops_no_drain(
    stream_package: Path, conversation: bytes
) -> None:
    """The others' final turns are sent though one client's replies are stuck."""
    limits = {"unsent_reply_bytes": 4096, "unsent_reply_seconds": 600, "grace_seconds": 2}
    minute = audio(b"\xff" * 8_000 * 60)
    stuck = config(encoding=pb.AUDIO_ENCODING_MULAW, rate_hertz=8_000, activity=True)
    with (
        own_place(stream_package, conversation, **limits) as place,
        grpc.insecure_channel(place.service.address, LITTLE_WINDOW) as blocking,
    ):
        stub: Any = pb_grpc.DiarizationStub(blocking)  # type: ignore[arg-type]
        call = stub.Diarize(itertools.chain([stuck], itertools.repeat(minute)))
        await place.until_streams_are(1)
        async with half_way(place) as (streams, half):
            outcomes = await asyncio.gather(*(stream.outcome() for stream in streams))
            assert set(outcomes) == {place.expected(half, complete=False)}
        assert await exit_code(place) == 0
        call.cancel()


LITTLE_WINDOW = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 16 * 1024))
