"""One conversation has one diarization, however it is sent and whoever else is being served.

Byte for byte: each final region and turn as it is on the wire. Ten minutes in density mode; two in
agent mode, which has six times as many hops.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from benchmarks.equality import mulaw
from benchmarks.finals import Finals, cut, file_finals, stream_finals
from benchmarks.service import Service, running_service
from tests.faults.streams import connected
from tests.integration.equality.conversations import session_finals, talk
from voiceflow.artifact import LatencyMode
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow_inference.audio import AudioEncoding, AudioFormat

MULAW = AudioFormat(AudioEncoding.MULAW, 16_000)
TENTH_OF_A_SECOND, MINUTE = 1_600, 960_000
NEIGHBOURS = 31

SECONDS = {LatencyMode.DENSITY: 600, LatencyMode.AGENT: 120}
MODES = {LatencyMode.DENSITY: pb.LATENCY_MODE_DENSITY, LatencyMode.AGENT: pb.LATENCY_MODE_AGENT}

both_contracts = pytest.mark.parametrize("contract", ["stream", "window"])
both_modes = pytest.mark.parametrize("mode", LatencyMode)


@pytest.fixture(scope="module")
def packages(stream_package: Path, window_package: Path) -> dict[str, Path]:
    """A tiny model of each contract."""
    return {"stream": stream_package, "window": window_package}


@pytest.fixture(scope="module")
def services(packages: dict[str, Path]) -> Iterator[dict[str, Service]]:
    """A service of each; 32 streams that run ahead of real time may meet in one batch."""
    room = {"streams": 4000, "streams_per_principal": 4000, "batch_limit": 128}
    with (
        running_service(packages["stream"], **room) as stream,
        running_service(packages["window"], **room) as window,
    ):
        yield {"stream": stream, "window": window}


@pytest.fixture(scope="module")
def ten_minutes() -> bytes:
    """The conversation that all tests send, or the beginning of it."""
    return mulaw(talk(600.0))


@pytest.fixture(scope="module")
def sent(ten_minutes: bytes) -> dict[LatencyMode, bytes]:
    """What is sent of it in each mode."""
    return {mode: ten_minutes[: seconds * 16_000] for mode, seconds in SECONDS.items()}


@pytest.fixture(scope="module")
def alone(
    packages: dict[str, Path], sent: dict[LatencyMode, bytes]
) -> dict[tuple[str, LatencyMode], Finals]:
    """What each model says of that, with no server, in one piece."""
    return {
        (contract, mode): asyncio.run(session_finals(package, mode, MULAW, [data]))
        for contract, package in packages.items()
        for mode, data in sent.items()
    }


def config(mode: LatencyMode) -> pb.StreamConfig:
    """Of a stream of μ-law at 16 kHz."""
    audio_format = pb.AudioFormat(encoding=pb.AUDIO_ENCODING_MULAW, sample_rate_hertz=16_000)
    return pb.StreamConfig(audio_format=audio_format, latency_mode=MODES[mode])


async def streamed(service: Service, mode: LatencyMode, pieces: Iterable[bytes]) -> Finals:
    """The conversation through Diarize."""
    async with connected(service.address) as channel:
        return await stream_finals(channel, config(mode), pieces)


def test_the_conversation_has_something_to_say(
    alone: dict[tuple[str, LatencyMode], Finals],
) -> None:
    """There are many turns of several speakers, so that equality is worth something."""
    for (_, mode), finals in alone.items():
        turns = [pb.Turn.FromString(turn) for turn in finals.turns]
        assert len(turns) > SECONDS[mode] / 6
        assert len({turn.speaker for turn in turns}) >= 4


@both_modes
@both_contracts
async def test_alone_on_a_server_in_minute_messages(
    services: dict[str, Service],
    alone: dict[tuple[str, LatencyMode], Finals],
    sent: dict[LatencyMode, bytes],
    contract: str,
    mode: LatencyMode,
) -> None:
    """The server adds and takes away nothing."""
    seen = await streamed(services[contract], mode, cut(sent[mode], MINUTE))
    assert seen == alone[contract, mode]


@both_modes
@both_contracts
async def test_as_a_recording(
    services: dict[str, Service],
    alone: dict[tuple[str, LatencyMode], Finals],
    sent: dict[LatencyMode, bytes],
    contract: str,
    mode: LatencyMode,
) -> None:
    """DiarizeFile says what Diarize says."""
    async with connected(services[contract].address) as channel:
        seen = await file_finals(channel, config(mode), cut(sent[mode], MINUTE))
    assert seen == alone[contract, mode].as_file()


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "seconds"), [(LatencyMode.DENSITY, 60), (LatencyMode.AGENT, 20)])
@both_contracts
async def test_among_31_other_streams(
    services: dict[str, Service],
    packages: dict[str, Path],
    ten_minutes: bytes,
    contract: str,
    mode: LatencyMode,
    seconds: int,
) -> None:
    """Neighbours in the batch, each with a conversation of its own, change nothing."""
    data = ten_minutes[: seconds * 16_000]
    shift = len(data) // (NEIGHBOURS + 1)
    others = [data[n * shift :] + data[: n * shift] for n in range(1, NEIGHBOURS + 1)]
    seen = await asyncio.gather(
        *(
            streamed(services[contract], mode, cut(conversation, TENTH_OF_A_SECOND * 10))
            for conversation in [data, *others]
        )
    )
    for index in (0, 1, NEIGHBOURS):
        conversation = data if index == 0 else others[index - 1]
        assert seen[index] == await session_finals(packages[contract], mode, MULAW, [conversation])


@both_contracts
async def test_in_one_sample_messages(
    services: dict[str, Service], packages: dict[str, Path], ten_minutes: bytes, contract: str
) -> None:
    """A message a sample, for two seconds (`benchmarks.equality` sends all ten minutes so)."""
    data = ten_minutes[: 2 * 16_000]
    seen = await streamed(services[contract], LatencyMode.AGENT, cut(data, 1))
    assert seen == await session_finals(packages[contract], LatencyMode.AGENT, MULAW, [data])


@pytest.mark.slow
@pytest.mark.parametrize(("contract", "seconds"), [("stream", 60), ("window", 20)])
async def test_one_sample_at_a_time(
    packages: dict[str, Path], ten_minutes: bytes, contract: str, seconds: int
) -> None:
    """A million pieces through a session; what cuts hops is the same for both contracts."""
    data, package = ten_minutes[: seconds * 16_000], packages[contract]
    seen = await session_finals(package, LatencyMode.DENSITY, MULAW, cut(data, 1))
    assert seen == await session_finals(package, LatencyMode.DENSITY, MULAW, [data])
