"""Starts, a conversation of an hour, and how soon an interruption is noticed.

    python -m benchmarks.lifecycle [--json PATH]

Cold start: from starting a service that has nothing, neither model nor state, beside a registry
that has promoted one, to the first Update that a client gets. Warm start: the same service once
more, with what it has kept. Both with all that comes before serving: fetching, checking digests,
the look in a child process, golden outputs, warming.

The hour is one stream in density mode that comes as fast as it is taken: processor time for a
second of audio in its first and last tenth, and what the service has grown by.

An interruption is a second voice that sets in while the first goes on, by the reference of labelled
conversations (../shared/speech/simulated): how much audio passes in agent mode until
OVERLAP_STARTED or SPEAKER_CHANGED is told of it. It is audio time: compute latency comes on top.
Without labelled conversations it is not measured.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from benchmarks.audio import pcm16, talk
from benchmarks.interruptions import noticed_seconds, onsets
from benchmarks.parts import Run, Setup, part_main
from benchmarks.paths import SPEECH
from benchmarks.service import running_registry, running_service
from voiceflow.artifact import SAMPLE_RATE_HERTZ, LatencyMode
from voiceflow.bench.figures import percentiles
from voiceflow.bench.live import Server
from voiceflow.bench.usage import cpu_seconds, resident_bytes
from voiceflow.catalog.names import ChannelName
from voiceflow.cli.models.promoting import promote_version, publish_package
from voiceflow.client import (
    AudioFormat,
    DiarizationClient,
    Encoding,
    Event,
    RegistryClient,
    RetryPolicy,
    SpeechEvent,
    SpeechEventKind,
    StreamConfig,
    Summary,
    Update,
    seconds,
)
from voiceflow.evaluation import conversations, read_audio, read_rttm

NAME: Final = "lifecycle"
HOUR_SECONDS: Final = 3600.0

_PATIENT: Final = RetryPolicy(attempts=100)
"""After audio that came as fast as it was taken, a service takes no stream for some seconds."""
_NOTICED: Final = {SpeechEventKind.OVERLAP_STARTED, SpeechEventKind.SPEAKER_CHANGED}
_PIECE_BYTES: Final = 2 * 7680
_CONVERSATIONS: Final = 10
_PLAIN: Final = AudioFormat(Encoding.PCM16, SAMPLE_RATE_HERTZ)


def measure(setup: Setup) -> Run:
    """One run."""
    found: Run = _starts(setup) if setup.arguments.starts else {}
    with setup.service(setup.model, 4) as server:
        found["hour"] = asyncio.run(_hour(setup, server))
        found["interruptions"] = asyncio.run(_interruptions(setup, server))
    return found


def _starts(setup: Setup) -> Run:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with running_registry(folder / "store") as registry:
            asyncio.run(_promoted(setup.model, registry.address))
            kept: dict[str, Any] = {
                "registry": registry.address,
                "cache_dir": folder / "cache",
                "state_dir": folder / "state",
                "log_level": "warning",
                **setup.settings,
            }
            return {
                f"{name}_start_seconds": _first_reply_seconds(setup, kept)
                for name in ("cold", "warm")
            }


async def _promoted(package: Path, address: str) -> None:
    async with RegistryClient(address) as client:
        published = await publish_package(client, package)
        await promote_version(client, published.version, ChannelName("diarizer", "stable"))


def _first_reply_seconds(setup: Setup, settings: dict[str, Any]) -> float:
    begun = time.monotonic()

    async def heard(address: str) -> float:
        async with _hearing(address, setup.audio[:32_000]) as events:
            async for event in events:
                if isinstance(event, Update):
                    return time.monotonic() - begun
        raise RuntimeError("the stream gave no Update")

    with running_service(None, **settings) as service:
        return round(asyncio.run(heard(service.address)), 3)


async def _hour(setup: Setup, server: Server) -> Run:
    length = setup.seconds(HOUR_SECONDS, least=5.0)
    audio = pcm16(talk(length)[0])
    marks: list[tuple[float, float]] = [(0.0, cpu_seconds(server.processes))]
    before, begun = resident_bytes(server.processes), time.monotonic()
    speakers = 0
    async with _hearing(server.address, audio) as events:
        async for event in events:
            if isinstance(event, Update):
                covered = seconds(event.covered_samples)
                if covered >= marks[-1][0] + length / 10:
                    marks.append((covered, cpu_seconds(server.processes)))
            elif isinstance(event, Summary):
                speakers = len(event.speakers)
    wall = time.monotonic() - begun
    return {
        "audio_seconds": length,
        "wall_seconds": round(wall, 2),
        "times_real_time": round(length / wall, 1),
        "cpu_milliseconds_per_second": per_second(marks),
        "grown_megabytes": round((resident_bytes(server.processes) - before) / 1e6, 1),
        "speakers": speakers,
    }


def per_second(marks: Sequence[tuple[float, float]]) -> list[float]:
    """Processor milliseconds for a second of audio between marks of (audio, processor) seconds."""
    return [
        round(1000 * (cpu - cpu_before) / (at - at_before), 3)
        for (at_before, cpu_before), (at, cpu) in pairwise(marks)
    ]


async def _interruptions(setup: Setup, server: Server) -> Run | None:
    pairs = conversations(SPEECH / "simulated")[: setup.count(_CONVERSATIONS)]
    if not pairs:
        return None
    late: list[float] = []
    count = 0
    for path, reference in pairs:
        audio = pcm16(await asyncio.to_thread(read_audio, path))
        async with _hearing(server.address, audio, LatencyMode.AGENT) as events:
            told = [
                (seconds(event.at_samples), seconds(event.noticed_at_samples))
                async for event in events
                if isinstance(event, SpeechEvent) and event.kind in _NOTICED
            ]
        true = onsets(read_rttm(await asyncio.to_thread(reference.read_text)))
        count += len(true)
        late += noticed_seconds(true, told)
    found = percentiles(late)
    return {
        "interruptions": count,
        "noticed": len(late),
        "latency": found and asdict(found),
    }


@asynccontextmanager
async def _hearing(
    address: str, audio: bytes, mode: LatencyMode = LatencyMode.DENSITY
) -> AsyncIterator[AsyncIterator[Event]]:
    """What a service tells of audio that comes as fast as it is taken."""

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(audio), _PIECE_BYTES):
            yield audio[at : at + _PIECE_BYTES]

    async with (
        DiarizationClient(address, retry=_PATIENT) as client,
        aclosing(client.diarize(pieces(), StreamConfig(_PLAIN, mode))) as events,
    ):
        yield events


def arguments(parser: argparse.ArgumentParser) -> None:
    """Of this part."""
    parser.add_argument(
        "--starts",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="whether a registry, and the gates that a version passes there, are gone through",
    )


if __name__ == "__main__":
    part_main(NAME, __doc__, measure, arguments, runs=1)
