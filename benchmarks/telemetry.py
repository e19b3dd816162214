"""What it costs to be seen: a service while it records hops beside itself while it does not.

    python -m benchmarks.telemetry [--rounds 600] [--streams 8] [--seconds 8] [--json PATH]

One service sends to a collector, answers Prometheus and traces one hop in a hundred. It gets the
same load again and again: streams in agent mode, whose audio comes as fast as it goes. Recording is
switched on and off between turns, in pairs whose order alternates, so that neither what slows the
machine down for a while nor what sets one process apart from another is taken for a cost.
Throughput is audio over wall time; processor time is that of the service alone, so that what the
clients and the collector take does not count. Given are the geometric mean of the pairs' ratios
with its standard error, and their quartiles. A shared machine scatters by a tenth and more within
seconds: many short turns tell more than few long ones.

Off means that nothing is told of hops. Their timestamps are taken all the same, streams have their
two spans, and the exporters' threads wait.

Below stands what one hop costs in the event loop: its timestamps, and what is told of it, where it
is traced and where it is not.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.arguments import count
from benchmarks.audio import pcm16, talk
from benchmarks.paths import DEFAULT_MODEL
from benchmarks.provenance import provenance, write_report
from benchmarks.service import Service, running_service
from benchmarks.switched_service import OFF, ON
from tests.fakes.service import FINISH, config, diarize, pieces
from voiceflow.artifact import LatencyMode
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.package import ModelPackage, load_package
from voiceflow.telemetry import TelemetrySettings, started
from voiceflow_inference.admission import StreamKind
from voiceflow_inference.observing import Observing, Tracing
from voiceflow_inference.stages import HopTimes, Stage

_MESSAGE_BYTES: Final = 6400
# Takes everything and looks at nothing: a real one stands elsewhere.
_COLLECTOR: Final = """
import sys
from concurrent.futures import ThreadPoolExecutor
import grpc

class Any(grpc.GenericRpcHandler):
    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(lambda request, context: b"")

server = grpc.server(ThreadPoolExecutor(1), [Any()])
print(f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}", flush=True)
server.start()
sys.stdin.read()
server.stop(0).wait()
"""


@dataclass(frozen=True, slots=True)
class Turn:
    """One load on one service.

    Attributes:
        audio_per_second: Seconds of audio in one second, all streams together.
        cpu_per_audio: Processor seconds of the service for one second of audio.
    """

    audio_per_second: float
    cpu_per_audio: float


@dataclass(frozen=True, slots=True)
class Ratio:
    """On over off, of the turns of each pair; the mean is the geometric one.

    (An arithmetic mean of ratios is above one where both scatter alike.)
    """

    mean: float
    standard_error: float
    median: float
    lower_quartile: float
    upper_quartile: float


@dataclass(frozen=True, slots=True)
class Costs:
    """What one hop costs in the event loop, in microseconds.

    Attributes:
        marked: Its timestamps, on and off.
        told: Counted and measured, not traced.
        traced: Likewise, with its spans.
    """

    marked: float
    told: float
    traced: float


@contextlib.contextmanager
def collector() -> Iterator[str]:
    """A collector in a process of its own; gives its endpoint."""
    command = [sys.executable, "-c", _COLLECTOR]
    with subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None  # noqa: S101 asked for above
        yield process.stdout.readline().strip()
        process.communicate()


async def load(service: Service, audio: bytes, streams: int) -> Turn:
    """Sends the audio in so many streams at once."""
    settings = config(latency_mode=pb.LATENCY_MODE_AGENT)
    requests = [settings, *pieces(audio, _MESSAGE_BYTES), FINISH]
    cpu, wall = service.cpu_seconds(), time.perf_counter()
    await asyncio.gather(*(diarize(service.address, requests) for _ in range(streams)))
    wall, cpu = time.perf_counter() - wall, service.cpu_seconds() - cpu
    seconds = streams * len(audio) / 2 / 16_000
    return Turn(seconds / wall, cpu / seconds)


async def compared(
    service: Service, audio: bytes, streams: int, rounds: int
) -> list[tuple[Turn, Turn]]:
    """Pairs of turns, (off, on); a turn before them takes what is only slow once."""
    await load(service, audio, streams)
    pairs = []
    for number in range(rounds):
        turns = {}
        for on in (True, False) if number % 2 else (False, True):
            switch(service, on=on)
            turns[on] = await load(service, audio, streams)
        pairs.append((turns[False], turns[True]))
    return pairs


def switch(service: Service, *, on: bool) -> None:
    """Has the service record or not, and waits until it says that it does so."""
    service.process.send_signal(ON if on else OFF)
    assert service.process.stdout is not None  # noqa: S101 it was read until the service was ready
    said = service.process.stdout.readline().strip()
    if said != ("on" if on else "off"):
        raise RuntimeError(f"the service does not switch: {said!r}")


def ratio(pairs: Sequence[tuple[Turn, Turn]], of: Callable[[Turn], float]) -> Ratio:
    """On over off."""
    ratios = [of(on) / of(off) for off, on in pairs]
    lower, median, upper = statistics.quantiles(ratios, n=4)
    error = statistics.stdev(map(math.log, ratios)) / len(ratios) ** 0.5
    return Ratio(statistics.geometric_mean(ratios), error, median, lower, upper)


def costs(endpoint: str, hops: int = 20_000) -> Costs:
    """What one hop costs here, while everything is recorded as in a service."""
    marked = _microseconds(_hop, hops)
    with started(TelemetrySettings(otlp_endpoint=endpoint, metrics_port=0), "benchmark"):
        told = _told_microseconds(0.0, hops)
        traced = _told_microseconds(1.0, hops // 10)
    return Costs(marked, told - marked, traced - marked)


def _told_microseconds(share: float, hops: int) -> float:
    """Of a hop that is marked and told, where such a share is traced."""
    observing = Observing(Tracing(on=True, pod="pod", share=share, objective_seconds=1e9))
    with observing.call(StreamKind.STREAM, ()) as observer:
        observer.begun("session", LatencyMode.AGENT, "models/m/versions/1.0.0", 1)
        on_hop = observer.on_hop
        return _microseconds(lambda number: on_hop(_hop(number)), hops, observing.tell)


def _hop(number: int) -> HopTimes:
    """A hop that is marked as by a conversation."""
    times = HopTimes(time.monotonic_ns(), 1280, audio_end_samples=1280 * number)
    times.model_version = "models/m/versions/1.0.0"
    for stage in Stage:
        times.mark(stage, time.monotonic_ns())
    return times


def _microseconds(
    act: Callable[[int], object], times: int, after: Callable[[], object] = lambda: None
) -> float:
    """Of one act, on the processor: the median of ten stretches, with what is done after each."""
    stretches = []
    for _ in range(10):
        start = time.thread_time()
        for number in range(times // 10):
            act(number)
        after()
        stretches.append((time.thread_time() - start) / (times // 10))
    return statistics.median(stretches) * 1e6


def table(package: ModelPackage, pairs: Sequence[tuple[Turn, Turn]], own: Costs, asked: str) -> str:
    """The figures as Markdown."""
    speed = ratio(pairs, lambda turn: turn.audio_per_second)
    cpu = ratio(pairs, lambda turn: turn.cpu_per_audio)
    off = statistics.median(off.audio_per_second for off, _ in pairs)
    rows = [
        f"| {what} | {one.mean:.3f} ± {one.standard_error:.3f} | {one.median:.3f} |"
        f" {one.lower_quartile:.3f} to {one.upper_quartile:.3f} |"
        for what, one in (("throughput", speed), ("processor time for the same audio", cpu))
    ]
    lines = [
        asked,
        "",
        f"{provenance(package, len(pairs))}",
        "",
        "| on / off | mean, standard error | median | quartiles |",
        "|---|---:|---:|---:|",
        *rows,
        "",
        f"Off, the median turn took {off:.0f} s of audio in a second.",
        "",
        "| of one hop | microseconds |",
        "|---|---:|",
        f"| timestamps, always | {own.marked:.1f} |",
        f"| told, not traced | {own.told:.1f} |",
        f"| told and traced | {own.traced:.1f} |",
    ]
    return "\n".join(lines)


def report(
    package: ModelPackage, pairs: Sequence[tuple[Turn, Turn]], own: Costs, asked: str
) -> dict[str, Any]:
    """The figures, each turn with them."""
    return {
        "asked": asked,
        "provenance": asdict(provenance(package, len(pairs))),
        "throughput": asdict(ratio(pairs, lambda turn: turn.audio_per_second)),
        "processor": asdict(ratio(pairs, lambda turn: turn.cpu_per_audio)),
        "hop_microseconds": asdict(own),
        "turns": [{"off": asdict(off), "on": asdict(on)} for off, on in pairs],
    }


def main() -> None:
    """Prints the table; writes JSON, and the table beside it, where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=count, default=600, help="pairs of turns")
    parser.add_argument("--streams", type=count, default=8, help="at once")
    parser.add_argument("--seconds", type=count, default=8, help="of audio in each")
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL, help="model package")
    parser.add_argument("--json", type=Path, help="write here; the table to the same name, .md")
    arguments = parser.parse_args()
    if arguments.rounds < 2:
        parser.error("--rounds: at least 2")
    audio, what = talk(arguments.seconds)
    room = {"streams": 1000, "streams_per_principal": 1000, "admission_lag_seconds": 1000}
    with (
        collector() as endpoint,
        running_service(
            arguments.model,
            "benchmarks.switched_service",
            otlp_endpoint=endpoint,
            metrics_port=0,
            **room,
        ) as service,
    ):
        turns = compared(service, pcm16(audio), arguments.streams, arguments.rounds)
        pairs = asyncio.run(turns)
        own = costs(endpoint)
    asked = (
        f"{arguments.streams} streams of {arguments.seconds} s at once in agent mode, as fast as"
        f" they are taken, {what}; {arguments.rounds} pairs of turns."
    )
    package = load_package(arguments.model)
    text = table(package, pairs, own, asked)
    print(text)
    if arguments.json:
        write_report(arguments.json, report(package, pairs, own, asked), text)


if __name__ == "__main__":
    main()
