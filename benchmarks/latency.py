"""End to end: 20 paced clients, with and without a network between them and the service.

    python -m benchmarks.latency [--window-model FOLDER] [--delays 0 10 40] [--json PATH]

Two loads on each model: calls of 3 s of audio each, twice a second from every client; and live
streams in density mode. The network is a proxy that delays (`benchmarks.delaying_proxy`), by so
many milliseconds on the way there and back together; 0 is loopback without it. Latency is from when
a call was due to its answer, and from sending the last byte that a hop needs to its Update.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Final

from benchmarks.delaying_proxy import delayed
from benchmarks.parts import Run, Setup, part_main
from voiceflow.bench.calls import CallLoad, call
from voiceflow.bench.live import Load, Server, speak

NAME: Final = "latency"
CLIENTS: Final = 20
EVERY_SECONDS: Final = 0.5

_SECONDS: Final = 30.0


def measure(setup: Setup) -> Run:
    """One run."""
    found: Run = {}
    for told, path in setup.models.items():
        with setup.service(path, 2 * CLIENTS) as server:
            found[told] = {
                f"{delay:g}": _by_way(setup, server, delay) for delay in setup.arguments.delays
            }
    return found


def _by_way(setup: Setup, server: Server, delay_milliseconds: float) -> Run:
    seconds = setup.seconds(_SECONDS)
    with _way(server, delay_milliseconds) as there:
        calls = CallLoad(CLIENTS, seconds, every_seconds=EVERY_SECONDS)
        paced = asyncio.run(call(there, calls, setup.audio))
        live = asyncio.run(speak(there, Load(CLIENTS, seconds), setup.audio))
    return {"calls": asdict(paced), "streams": asdict(live)}


@contextmanager
def _way(server: Server, delay_milliseconds: float) -> Iterator[Server]:
    if not delay_milliseconds:
        yield server
        return
    with delayed(server.address, delay_milliseconds) as address:
        yield replace(server, address=address)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Of this part."""
    parser.add_argument(
        "--delays",
        type=float,
        nargs="+",
        default=[0.0, 10.0, 40.0],
        metavar="MILLISECONDS",
        help="added by the network, there and back together",
    )


if __name__ == "__main__":
    part_main(NAME, __doc__, measure, arguments)
