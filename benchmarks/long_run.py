"""Live streams for an hour: whether latency and memory stay as they are.

    python -m benchmarks.long_run [--streams 100] [--seconds 3600] [--json PATH]

Not a part of `make bench` unless it was run: the report takes what it has left. Memory of the
service is looked at every ten seconds; given are the medians of each tenth of the run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

import numpy as np

from benchmarks.arguments import count
from benchmarks.audio import pcm16, talk
from benchmarks.parts import Run, Setup, part_main
from voiceflow.bench.figures import stream_figures
from voiceflow.bench.live import Load, Server, noted
from voiceflow.bench.usage import resident_bytes

NAME: Final = "long_run"
TENTHS: Final = 10


def measure(setup: Setup) -> Run:
    """One run."""
    seconds = setup.seconds(setup.arguments.seconds, least=1.0)
    load = Load(setup.arguments.streams, seconds, message_milliseconds=480)
    audio = pcm16(talk(load.seconds)[0])
    with setup.service(setup.model, 2 * load.streams) as server:
        return asyncio.run(_long(server, load, audio, setup.arguments.look_seconds))


async def _long(server: Server, load: Load, audio: bytes, look_seconds: float) -> Run:
    memory: list[int] = []

    async def look() -> None:
        while True:
            await asyncio.sleep(look_seconds)
            memory.append(resident_bytes(server.processes))

    looking = asyncio.create_task(look())
    try:
        heard, usage = await noted(server, load, audio)
    finally:
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking
    latencies = [stream.latencies for stream in heard]
    return {
        "figures": asdict(stream_figures(heard, load.seconds, usage)),
        "latency_milliseconds": [_milliseconds(latencies, n) for n in range(TENTHS)],
        "resident_megabytes": [
            statistics.median(tenth.tolist()) / 1e6
            for tenth in np.array_split(np.asarray(memory), TENTHS)
            if len(tenth)
        ],
    }


def _milliseconds(latencies: Sequence[Sequence[float]], tenth: int) -> float | None:
    """Median of all streams' latencies in one tenth of the run."""
    found = np.concatenate([np.array_split(np.asarray(one), TENTHS)[tenth] for one in latencies])
    return round(float(np.median(found)) * 1000, 2) if len(found) else None


def arguments(parser: argparse.ArgumentParser) -> None:
    """Of this part."""
    parser.add_argument("--streams", type=count, default=100)
    parser.add_argument("--seconds", type=float, default=3600.0, help="of audio in each")
    parser.add_argument("--look-seconds", type=float, default=10.0)


if __name__ == "__main__":
    part_main(NAME, __doc__, measure, arguments, runs=1)
