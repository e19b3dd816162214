"""What a stream costs, from one to five hundred of them, and where the memory goes.

    python -m benchmarks.growth [--streams 1 10 50 100 200 350 500] [--json PATH]

A service for each number of streams in density mode: its processor time for a second of a stream,
P99, and its memory. Shares of the memory: an interpreter that has imported the service; what the
service holds more than that before its first stream, which is one loaded and warmed model; and what
it has grown by under its streams.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
from dataclasses import asdict
from typing import Final

from benchmarks.arguments import count
from benchmarks.parts import Run, Setup, part_main
from voiceflow.bench.live import Load, speak
from voiceflow.bench.usage import resident_bytes

NAME: Final = "growth"
STREAMS: Final = (1, 10, 50, 100, 200, 350, 500)

_SECONDS: Final = 20.0
_IMPORTS: Final = """
import os, psutil, voiceflow_inference.app
print(psutil.Process(os.getpid()).memory_info().rss)
"""


def measure(setup: Setup) -> Run:
    """One run."""
    return {
        "imported_megabytes": _imported_bytes() / 1e6,
        "by_streams": [_of(setup, streams) for streams in setup.arguments.streams],
    }


def _of(setup: Setup, streams: int) -> Run:
    with setup.service(setup.model, 2 * streams) as server:
        idle = resident_bytes(server.processes)
        load = Load(streams, setup.seconds(_SECONDS, least=1.0), message_milliseconds=480)
        figures = asyncio.run(speak(server, load, setup.audio))
    return {"idle_megabytes": idle / 1e6, "figures": asdict(figures)}


def _imported_bytes() -> int:
    """Memory of an interpreter that has imported the service."""
    command = [sys.executable, "-c", _IMPORTS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    return int(done.stdout)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Of this part."""
    parser.add_argument("--streams", type=count, nargs="+", default=list(STREAMS))


if __name__ == "__main__":
    part_main(NAME, __doc__, measure, arguments, runs=1)
