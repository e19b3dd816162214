"""What more workers bring: throughput of a service with several beside that of one process.

    python -m benchmarks.workers [--workers 2] [--rounds 6] [--streams 16] [--json PATH]

One service with one process and one with several workers serve the same model on this machine, and
get the same load in turns: short streams, each on a connection of its own, so many at once, whose
audio comes as fast as it goes. Clients are as many processes as there are workers, and take their
share of the same cores: where these are few, more workers cannot bring more. Throughput is audio
over wall time; processor time is that of the service, with all of its processes. Given are the
median and the quartiles of the ratios of neighbouring turns.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import grpc
import psutil

from benchmarks.arguments import count
from benchmarks.audio import pcm16, talk
from benchmarks.machine import Processors
from benchmarks.paths import DEFAULT_MODEL
from benchmarks.provenance import provenance, write_report
from benchmarks.service import Service, running_service
from benchmarks.telemetry import Ratio, Turn, ratio
from tests.fakes.service import FINISH, config, pieces
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.diarization.v1 import diarization_pb2_grpc as pb_grpc
from voiceflow.package import ModelPackage, load_package
from voiceflow_inference.serving.warm import usable_cores

_MESSAGE_BYTES: Final = 64_000
_OWN_CONNECTION: Final = (("grpc.use_local_subchannel_pool", 1),)


@dataclass(frozen=True, slots=True)
class Load:
    """What each turn asks of a service.

    Attributes:
        clients: Processes.
        streams: At once, of all clients.
        rounds: Streams after each other, for each of those at once.
        seconds: Of audio in each.
    """

    clients: int
    streams: int
    rounds: int
    seconds: int

    @property
    def audio_seconds(self) -> float:
        """Of all streams."""
        return float(self.clients * self.of_client * self.rounds * self.seconds)

    @property
    def of_client(self) -> int:
        """Streams at once of one client."""
        return max(1, self.streams // self.clients)


def converse(address: str, audio: bytes, streams: int, rounds: int) -> None:
    """One client: so many streams at once, so often after each other."""
    requests = [config(), *pieces(audio, _MESSAGE_BYTES), FINISH]

    async def one() -> None:
        for _ in range(rounds):
            async with grpc.aio.insecure_channel(address, options=_OWN_CONNECTION) as channel:
                call = pb_grpc.DiarizationStub(channel).Diarize(iter(requests))
                replies: list[pb.DiarizeResponse] = [reply async for reply in call]
                if not replies[-1].summary.complete:
                    raise RuntimeError("a stream has ended without a complete Summary")

    async def all_at_once() -> None:
        await asyncio.gather(*(one() for _ in range(streams)))

    asyncio.run(all_at_once())


def turn(service: Service, clients: ProcessPoolExecutor, load: Load, audio: bytes) -> Turn:
    """One load on one service."""
    cpu, wall = cpu_seconds(service), time.perf_counter()
    sent = [
        clients.submit(converse, service.address, audio, load.of_client, load.rounds)
        for _ in range(load.clients)
    ]
    for one in sent:
        one.result()
    wall, cpu = time.perf_counter() - wall, cpu_seconds(service) - cpu
    return Turn(load.audio_seconds / wall, cpu / load.audio_seconds)


def cpu_seconds(service: Service) -> float:
    """Processor time of all processes of a service, but of those that have ended."""
    parent = psutil.Process(service.process.pid)
    used = [one.cpu_times() for one in (parent, *parent.children())]
    return float(sum(times.user + times.system for times in used))


def compared(
    one: Service, several: Service, load: Load, audio: bytes, rounds: int
) -> tuple[list[tuple[Turn, Turn]], float]:
    """Turns of both after each other, (one, several), and what others took of the machine, percent.

    The first turns, with what is only slow once, are left out.
    """
    with ProcessPoolExecutor(load.clients, mp_context=get_context("spawn")) as clients:
        for service in (one, several):
            turn(service, clients, load, audio)
        own = [os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))]
        before = Processors.now(own)
        pairs = [
            (turn(one, clients, load, audio), turn(several, clients, load, audio))
            for _ in range(rounds)
        ]
        return pairs, Processors.now(own).others_percent(before)


def ratios(pairs: Sequence[tuple[Turn, Turn]]) -> dict[str, Ratio]:
    """Several over one."""
    return {
        "throughput": ratio(pairs, lambda one: one.audio_per_second),
        "processor time for the same audio": ratio(pairs, lambda one: one.cpu_per_audio),
    }


def table(
    package: ModelPackage, pairs: Sequence[tuple[Turn, Turn]], asked: str, others: float
) -> str:
    """The figures as Markdown."""
    alone = statistics.median(one.audio_per_second for one, _ in pairs)
    lines = [
        asked,
        "",
        f"{provenance(package, len(pairs))}",
        "",
        "| several / one | median | quartiles |",
        "|---|---:|---:|",
        *(
            f"| {what} | {one.median:.3f} | {one.lower_quartile:.3f} to {one.upper_quartile:.3f} |"
            for what, one in ratios(pairs).items()
        ),
        "",
        f"One process took {alone:.0f} s of audio in a second, in the median turn.",
        f"Other processes took {others:g} % of the machine meanwhile.",
    ]
    return "\n".join(lines)


def report(
    package: ModelPackage, pairs: Sequence[tuple[Turn, Turn]], load: Load, asked: str, others: float
) -> dict[str, Any]:
    """The figures, each turn with them."""
    return {
        "asked": asked,
        "provenance": asdict(provenance(package, len(pairs))),
        "load": asdict(load),
        "other_processes_percent": others,
        "ratios": {what: asdict(one) for what, one in ratios(pairs).items()},
        "turns": [{"one": asdict(one), "several": asdict(several)} for one, several in pairs],
    }


def main() -> None:
    """Prints the table; writes JSON, and the table beside it, where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", type=count, default=max(2, usable_cores()))
    parser.add_argument("--rounds", type=count, default=6, help="turns of both")
    parser.add_argument("--streams", type=count, default=16, help="at once")
    parser.add_argument("--repeats", type=count, default=4, help="streams after each other")
    parser.add_argument("--seconds", type=count, default=15, help="of audio in each")
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL, help="model package")
    parser.add_argument("--json", type=Path, help="write here; the table to the same name, .md")
    arguments = parser.parse_args()
    if arguments.rounds < 2:
        parser.error("--rounds: at least 2")
    workers = arguments.workers
    load = Load(workers, arguments.streams, arguments.repeats, arguments.seconds)
    audio, what = talk(load.seconds)
    room = {"streams": 1000, "streams_per_principal": 1000}
    admit_all = {"admission_lag_seconds": 1000, "admission_real_time_factor": 1}
    with (
        running_service(arguments.model, **room, **admit_all) as one,
        running_service(arguments.model, **room, **admit_all, workers=workers) as several,
    ):
        pairs, others = compared(one, several, load, pcm16(audio), arguments.rounds)
    asked = (
        f"One process beside {workers} workers on {usable_cores()} cores:"
        f" {load.clients * load.of_client} streams at once of {load.seconds} s, as fast as they are"
        f" taken, {load.rounds} after each other, {what}; {load.clients} client processes on the"
        f" same cores; {arguments.rounds} turns of each."
    )
    package = load_package(arguments.model)
    text = table(package, pairs, asked, others)
    print(text)
    if arguments.json:
        write_report(arguments.json, report(package, pairs, load, asked, others), text)


if __name__ == "__main__":
    main()
