"""The committed model and real voices: the same bytes alone, in pieces, as a file, in company."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from benchmarks.audio import talk
from benchmarks.equality import mulaw
from benchmarks.finals import Finals, cut, file_finals, stream_finals
from benchmarks.paths import DEFAULT_MODEL, SPEECH
from benchmarks.service import Service, running_service
from tests.faults.streams import connected
from tests.integration.equality.conversations import session_finals
from voiceflow.artifact import LatencyMode
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow_inference.audio import AudioEncoding, AudioFormat

SECOND, MINUTE = 16_000, 960_000
NEIGHBOURS = 31
CONFIG = pb.StreamConfig(
    audio_format=pb.AudioFormat(encoding=pb.AUDIO_ENCODING_MULAW, sample_rate_hertz=16_000)
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not SPEECH.exists(), reason="needs the conversations of ../shared/speech, absent here"
    ),
]


@pytest.fixture(scope="module")
def minutes() -> bytes:
    """Simulated conversations one after another: four minutes."""
    return mulaw(talk(240.0)[0])


@pytest.fixture(scope="module")
def default_service() -> Iterator[Service]:
    """A service that computes up to 16 streams that run ahead of real time together."""
    room = {"streams": 2000, "streams_per_principal": 2000, "batch_limit": 64}
    with running_service(DEFAULT_MODEL, **room) as service:
        yield service


@pytest.fixture(scope="module")
def alone(minutes: bytes) -> Finals:
    """What the model says of it with no server, in one piece."""
    audio_format = AudioFormat(AudioEncoding.MULAW, 16_000)
    return asyncio.run(session_finals(DEFAULT_MODEL, LatencyMode.DENSITY, audio_format, [minutes]))


async def test_minutes_in_minute_messages_and_as_a_recording(
    default_service: Service, minutes: bytes, alone: Finals
) -> None:
    """A server adds and takes away nothing."""
    assert len(alone.turns) > 20
    async with connected(default_service.address) as channel:
        assert await stream_finals(channel, CONFIG, cut(minutes, MINUTE)) == alone
        assert await file_finals(channel, CONFIG, cut(minutes, MINUTE)) == alone.as_file()


async def test_minutes_among_31_others(
    default_service: Service, minutes: bytes, alone: Finals
) -> None:
    """Neighbours that come and go in the batch change nothing."""

    async def neighbour(number: int) -> None:
        own = minutes[number * 6 * SECOND :][: (20 + number) * SECOND]
        async with connected(default_service.address) as channel:
            await stream_finals(channel, CONFIG, cut(own, SECOND))

    async with connected(default_service.address) as channel:
        seen, *_ = await asyncio.gather(
            stream_finals(channel, CONFIG, cut(minutes, SECOND)),
            *(neighbour(number) for number in range(NEIGHBOURS)),
        )
    assert seen == alone
