"""Live streams at real pace against the service, on one machine.

    python -m benchmarks.streams --streams 200 --seconds 60 [--mode agent] [--json PATH]

Starts the service as a child process and paces every stream as a microphone would: a message when
its last sample has been spoken, the streams spread evenly over one hop, each on a connection of
its own and at its own place in the talk. The load generator is a process of its own and takes its
share of the same cores.

Compute latency is the time from sending the message that completes a hop to receiving the Update
that covers the hop. Lag growth is what the median of it in the last third of the run has more than
in the first: a service that does not keep up falls further and further behind.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import grpc
import numpy as np

from benchmarks.arguments import count
from benchmarks.audio import pcm16, talk
from benchmarks.der import DEFAULT_MODEL
from benchmarks.machine import Processors
from benchmarks.provenance import provenance, write_report
from benchmarks.service import Service, running_service
from voiceflow.artifact import SAMPLE_RATE_HERTZ, LatencyMode
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.diarization.v1 import diarization_pb2_grpc as pb_grpc
from voiceflow.package import ModelPackage, load_package
from voiceflow.rpc.status import from_rpc_error

_MODES = {
    LatencyMode.DENSITY: pb.LATENCY_MODE_DENSITY,
    LatencyMode.AGENT: pb.LATENCY_MODE_AGENT,
}
_TALK_SECONDS = 600.0
_BYTES_PER_SAMPLE = 2
_OPEN_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of the service.

    Attributes:
        streams: At the same time.
        seconds: Of audio in each.
        mode: Of each.
        hop_seconds: Of that mode.
        message_milliseconds: Audio in a message.
    """

    streams: int
    seconds: float
    mode: LatencyMode
    hop_seconds: float
    message_milliseconds: int

    @property
    def message_samples(self) -> int:
        """Samples in a message."""
        return self.message_milliseconds * SAMPLE_RATE_HERTZ // 1000


@dataclass(slots=True)
class Heard:
    """What one stream has seen.

    Attributes:
        sent: When each message went out.
        late: How long after its time each went out, in seconds.
        latencies: Compute latency of each hop in seconds, in order.
        failure: Reason of the error that ended it; empty: it ended with a complete Summary.
        admitted: Whether it began.
    """

    sent: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    failure: str = "UNFINISHED"
    admitted: bool = False


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one run.

    Attributes:
        latency_p50_milliseconds: Compute latency, all hops of all streams.
        latency_p95_milliseconds: Likewise.
        latency_p99_milliseconds: Likewise.
        latency_max_milliseconds: Likewise.
        lag_growth_milliseconds: Median latency of the last third less that of the first.
        server_cpu_milliseconds: Processor time of the service for a second of one stream.
        server_resident_megabytes: Largest that was seen, once a second.
        generator_late_p99_milliseconds: How late the load generator sent.
        other_processes_percent: Share of the machine that neither service nor generator used: a run
            with more than a few percent measures somebody else.
        hops: Measured.
        refused: Streams that were not let in.
        failed: Streams that did not end with a complete Summary.
        reasons: Why, each once.
    """

    latency_p50_milliseconds: float
    latency_p95_milliseconds: float
    latency_p99_milliseconds: float
    latency_max_milliseconds: float
    lag_growth_milliseconds: float
    server_cpu_milliseconds: float
    server_resident_megabytes: float
    generator_late_p99_milliseconds: float
    other_processes_percent: float
    hops: int
    refused: int
    failed: int
    reasons: tuple[str, ...]


class LiveStream:
    """One paced stream.

    Args:
        channel: Its connection.
        audio: PCM16 at 16 kHz, all that it will send.
        load: How.
    """

    def __init__(self, channel: grpc.aio.Channel, audio: bytes, load: Load) -> None:
        self._call = pb_grpc.DiarizationStub(channel).Diarize()
        self._audio = audio
        self._load = load
        self.heard = Heard()

    async def open(self) -> None:
        """Asks to be let in."""
        audio_format = pb.AudioFormat(
            encoding=pb.AUDIO_ENCODING_PCM16, sample_rate_hertz=SAMPLE_RATE_HERTZ
        )
        config = pb.StreamConfig(audio_format=audio_format, latency_mode=_MODES[self._load.mode])
        try:
            await self._call.write(pb.DiarizeRequest(config=config))
            await self._call.read()
            self.heard.admitted = True
        except grpc.aio.AioRpcError as error:
            self.heard.failure = from_rpc_error(error).reason

    async def live(self, start: float) -> None:
        """Speaks in real time from `start` on the event loop's clock, and listens."""
        if not self.heard.admitted:
            return
        speaking = asyncio.create_task(self._speak(start))
        try:
            await self._listen()
            await speaking
        except grpc.aio.AioRpcError as error:
            self.heard.failure = from_rpc_error(error).reason
        except asyncio.InvalidStateError:  # sent to a call that had ended
            self.heard.failure = "CUT"
        finally:
            speaking.cancel()

    async def _speak(self, start: float) -> None:
        loop = asyncio.get_running_loop()
        size = self._load.message_samples * _BYTES_PER_SAMPLE
        for number in range(len(self._audio) // size):
            due = start + (number + 1) * self._load.message_milliseconds / 1000
            await asyncio.sleep(max(0.0, due - loop.time()))
            now = loop.time()
            self.heard.sent.append(now)
            self.heard.late.append(now - due)
            piece = self._audio[number * size : (number + 1) * size]
            await self._call.write(pb.DiarizeRequest(audio=piece))
        await self._call.write(pb.DiarizeRequest(finish=pb.Finish()))
        await self._call.done_writing()

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        covered = 0
        while isinstance(reply := await self._call.read(), pb.DiarizeResponse):
            now = loop.time()
            if reply.HasField("summary"):
                self.heard.failure = "" if reply.summary.complete else "NOT_COMPLETE"
            samples = reply.update.audio_covered.ToNanoseconds() * SAMPLE_RATE_HERTZ // 10**9
            if samples > covered:  # the last Update, after finish, covers nothing new
                covered = samples
                message = -(-samples // self._load.message_samples) - 1
                self.heard.latencies.append(now - self.heard.sent[message])


@dataclass(frozen=True, slots=True)
class Used:
    """What a run has taken of the machine.

    Attributes:
        service_seconds: Processor time of the service.
        others_percent: Of the machine, by whoever is neither service nor generator.
        resident_bytes: Largest memory of the service.
    """

    service_seconds: float
    others_percent: float
    resident_bytes: float


async def generate(service: Service, load: Load, audio: bytes) -> tuple[list[Heard], Used]:
    """Opens all streams, then lets them speak."""
    loop = asyncio.get_running_loop()
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [
        grpc.aio.insecure_channel(service.address, options=options) for _ in range(load.streams)
    ]
    length = int(load.seconds * SAMPLE_RATE_HERTZ) * _BYTES_PER_SAMPLE
    streams = []
    for number, channel in enumerate(channels):
        place = number * (len(audio) - length) // load.streams // 2 * 2
        streams.append(LiveStream(channel, audio[place : place + length], load))
    for first in range(0, load.streams, _OPEN_AT_ONCE):
        await asyncio.gather(*(s.open() for s in streams[first : first + _OPEN_AT_ONCE]))

    taking_part = (service.process.pid, os.getpid())
    before, cpu_before = Processors.now(taking_part), service.cpu_seconds()
    start = loop.time() + 1.0
    speaking = asyncio.gather(
        *(s.live(start + n * load.hop_seconds / load.streams) for n, s in enumerate(streams))
    )
    resident_bytes = 0.0
    while not speaking.done():
        resident_bytes = max(resident_bytes, service.resident_bytes())
        await asyncio.wait([speaking], timeout=1.0)
    await speaking
    after, cpu_after = Processors.now(taking_part), service.cpu_seconds()
    await asyncio.gather(*(channel.close() for channel in channels))
    others = after.others_percent(before)
    used = Used(cpu_after - cpu_before, others, float(resident_bytes))
    return [stream.heard for stream in streams], used


def figures(heard: Sequence[Heard], load: Load, used: Used) -> Figures:
    """What a run comes to."""
    latencies = np.concatenate([np.asarray(stream.latencies) for stream in heard]) * 1000
    late = np.concatenate([np.asarray(stream.late) for stream in heard]) * 1000
    p50, p95, p99, most = np.percentile(latencies, [50, 95, 99, 100])
    thirds = [np.array_split(np.asarray(stream.latencies) * 1000, 3) for stream in heard]
    first, last = (np.median(np.concatenate([third[n] for third in thirds])) for n in (0, 2))
    return Figures(
        latency_p50_milliseconds=round(float(p50), 2),
        latency_p95_milliseconds=round(float(p95), 2),
        latency_p99_milliseconds=round(float(p99), 2),
        latency_max_milliseconds=round(float(most), 2),
        lag_growth_milliseconds=round(float(last - first), 2),
        server_cpu_milliseconds=round(
            used.service_seconds * 1000 / (load.streams * load.seconds), 3
        ),
        server_resident_megabytes=round(used.resident_bytes / 1e6, 1),
        generator_late_p99_milliseconds=round(float(np.percentile(late, 99)), 2),
        other_processes_percent=used.others_percent,
        hops=len(latencies),
        refused=sum(not stream.admitted for stream in heard),
        failed=sum(bool(stream.failure) for stream in heard if stream.admitted),
        reasons=tuple(sorted({stream.failure for stream in heard} - {""})),
    )


def run(load: Load, model: Path, audio: bytes) -> Figures:
    """Starts a service, loads it, ends it."""
    # Its own estimate of what this machine can carry is set aside: that is what is to be seen.
    room = {"streams": 20 * load.streams, "streams_per_principal": 20 * load.streams}
    admit_all = {"admission_lag_seconds": 1e6, "admission_real_time_factor": 1.0}
    with running_service(model, log_level="warning", **room, **admit_all) as service:
        heard, used = asyncio.run(generate(service, load, audio))
    return figures(heard, load, used)


def report(package: ModelPackage, load: Load, what: str, runs: list[Figures]) -> dict[str, object]:
    """All that is published."""
    return {
        "provenance": asdict(provenance(package, len(runs))),
        "load": asdict(load) | {"audio": what, "at": time.strftime("%H:%M:%SZ", time.gmtime())},
        "runs": [asdict(figures_of_run) for figures_of_run in runs],
    }


def table(package: ModelPackage, load: Load, what: str, runs: list[Figures]) -> str:
    """The same for people, as Markdown."""
    names = [name for name in asdict(runs[0]) if name != "reasons"]
    asked = (
        f"{load.streams} live streams of {load.seconds:g} s in {load.mode} mode, messages of"
        f" {load.message_milliseconds} ms, {what}; service and load generator on the same cores."
    )
    lines = [
        asked,
        "",
        f"{provenance(package, len(runs))}",
        "",
        "| |" + "".join(f" run {number} |" for number in range(1, len(runs) + 1)),
        "|---|" + "---:|" * len(runs),
    ]
    for name in names:
        values = "".join(f" {getattr(one, name):g} |" for one in runs)
        lines.append(f"| {name.replace('_', ' ')} |{values}")
    reasons = sorted({reason for one in runs for reason in one.reasons})
    return "\n".join([*lines, *([f"\nFailed with: {', '.join(reasons)}"] if reasons else [])])


def main() -> None:
    """Prints the table; writes JSON, and the table beside it, where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--streams", type=count, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--mode", type=LatencyMode, default=LatencyMode.DENSITY)
    parser.add_argument("--message-milliseconds", type=count, default=80)
    parser.add_argument("--runs", type=count, default=1)
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL, help="model package")
    parser.add_argument("--json", type=Path, help="write here; the table to the same name, .md")
    arguments = parser.parse_args()
    package = load_package(arguments.model)
    load = Load(
        streams=arguments.streams,
        seconds=arguments.seconds,
        mode=arguments.mode,
        hop_seconds=package.manifest.hop_samples[arguments.mode] / SAMPLE_RATE_HERTZ,
        message_milliseconds=arguments.message_milliseconds,
    )
    samples, what = talk(max(_TALK_SECONDS, load.seconds))
    audio = pcm16(samples)
    runs = [run(load, arguments.model, audio) for _ in range(arguments.runs)]
    text = table(package, load, what, runs)
    print(text)
    if arguments.json:
        write_report(arguments.json, report(package, load, what, runs), text)


if __name__ == "__main__":
    main()
