"""I12-I18: clients that are too fast, gone, frozen, slow, silent or late. Others do not notice."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.fakes.service import FINISH, FLUSH, audio
from tests.faults.place import Place, own_place
from tests.faults.streams import (
    WAIT_SECONDS,
    Refusal,
    Stream,
    config,
    outcome_of,
    refusal_of,
)
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.diarization.v1 import diarization_pb2_grpc as pb_grpc

MINUTE_OF_8_KHZ = 8_000 * 60


@contextlib.asynccontextmanager
async def client_process(address: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A client that has been admitted; killed at the end, if it is still there."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.faults.client_process",
        address,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(WAIT_SECONDS):
            assert await process.stdout.readline() == b"began\n"
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_i12_faster_than_real_time(place: Place) -> None:
    """Audio that comes far faster than it can be served waits at the client; none of it is lost."""
    channels, repeats = 32, 12
    frames = b"".join(
        place.conversation[at : at + 2] * channels for at in range(0, len(place.conversation), 2)
    )
    pieces = [frames[at : at + 1024 * 1024] for at in range(0, len(frames), 1024 * 1024)]
    async with place.bystander(), place.stream(config(channels=channels)) as stream:
        reading = asyncio.create_task(stream.outcome())
        resident_bytes = place.service.resident_bytes()
        for _ in range(repeats):
            await stream.send(*map(audio, pieces))
        assert place.service.resident_bytes() < resident_bytes + 48_000_000  # of 246 MB sent
        await stream.send(FINISH)
        assert await reading == place.expected(place.conversation * repeats)


async def test_i13_client_killed(place: Place) -> None:
    """Its place is free as soon as its connection is gone."""
    async with place.bystander(), client_process(place.service.address) as process:
        assert await place.streams() == 2
        process.kill()
        await place.until_streams_are(1)


async def test_i14_client_frozen(stream_package: Path, conversation: bytes) -> None:
    """Its kernel still answers; the server notices that the process does not."""
    patient = {"idle_seconds": 600, "keepalive_seconds": 1, "keepalive_timeout_seconds": 2}
    with own_place(stream_package, conversation, **patient) as place:
        async with place.bystander(), client_process(place.service.address) as process:
            assert await place.streams() == 2
            process.send_signal(signal.SIGSTOP)
            await place.until_streams_are(1)


async def test_i15_slow_reader(stream_package: Path, conversation: bytes) -> None:
    """A client that does not read is not read further, then cut; memory stays bounded."""
    limits = {"unsent_reply_seconds": 1, "unsent_reply_bytes": 64 * 1024, "idle_seconds": 600}
    minute = audio(b"\xff" * MINUTE_OF_8_KHZ)
    format_of_audio = config(encoding=pb.AUDIO_ENCODING_MULAW, rate_hertz=8_000, activity=True)
    requests = itertools.chain([format_of_audio], itertools.repeat(minute))
    little_window = ("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 16 * 1024)
    with own_place(stream_package, conversation, **limits) as place:
        resident_bytes = place.service.resident_bytes()
        async with place.bystander():
            with grpc.insecure_channel(place.service.address, little_window) as blocking:
                channel: Any = blocking
                stub: Any = pb_grpc.DiarizationStub(channel)
                call = stub.Diarize(requests)
                await place.until_streams_are(2)
                await place.until_streams_are(1)
                assert place.service.resident_bytes() < resident_bytes + 32_000_000
                with pytest.raises(grpc.RpcError) as caught:
                    await asyncio.to_thread(lambda: list(call))
                assert refusal_of(caught.value) == Refusal(grpc.StatusCode.ABORTED, "SLOW_READER")


async def test_i16_idle_client(stream_package: Path, conversation: bytes) -> None:
    """A stream that says nothing for too long is cut; one that shows it is there is not."""
    with own_place(stream_package, conversation, idle_seconds=2) as place:
        async with place.bystander() as other, place.stream(config()) as stream:
            ending = asyncio.create_task(stream.refusal())
            while not ending.done():
                await other.stir()
                await asyncio.wait([ending], timeout=0.2)
            assert await ending == Refusal(grpc.StatusCode.ABORTED, "STREAM_IDLE")


async def test_i16_idle_before_the_config(stream_package: Path, conversation: bytes) -> None:
    """A call that never says what it wants is cut too."""
    with own_place(stream_package, conversation, idle_seconds=2) as place:
        async with place.bystander() as other, place.connected() as channel:
            call = pb_grpc.DiarizationStub(channel).Diarize()
            reading = asyncio.create_task(call.read())
            while not reading.done():
                await other.stir()
                await asyncio.wait([reading], timeout=0.2)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await reading
            assert caught.value.code() is grpc.StatusCode.ABORTED


@pytest.mark.parametrize("ending", [(), (FLUSH,)])
async def test_i17_deadline_mid_stream(place: Place, ending: tuple[pb.DiarizeRequest, ...]) -> None:
    """A deadline is no end: there is an error, no Summary, and the place is free again."""
    async with place.bystander(), place.connected() as channel:
        stream = Stream(channel, timeout=1.0)
        await stream.send(config(), audio(place.conversation), *ending)
        refusal = await stream.refusal()
        assert refusal.code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert not any(reply.HasField("summary") for reply in stream.replies)
        await place.until_streams_are(1)


async def test_i18_half_close_without_finish(place: Place) -> None:
    """What was heard becomes final, and the Summary says that the server cannot know the end."""
    async with place.bystander(), place.stream(config(), audio(place.conversation)) as stream:
        await stream.half_close()
        assert await stream.outcome() == place.expected(complete=False)


async def test_i18_half_close_at_once(place: Place) -> None:
    """A stream without any audio has an empty partition."""
    async with place.bystander(), place.stream(config()) as stream:
        await stream.half_close()
        outcome = await stream.outcome()
        assert (outcome.regions, outcome.turns, outcome.complete) == ((), (), False)
        assert outcome_of(stream.replies) == outcome
