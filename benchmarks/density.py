"""How many live streams a service carries on this machine, with the load generator beside it.

    python -m benchmarks.density [--streams 500] [--runs 1] [--json PATH]

On the default model: the largest number of streams in density mode, and in agent mode, whose P99
compute latency stays under 100 ms, with no growing lag, none refused and none failed (the search of
`voiceflow bench streams --find`); and the figures of 500 in density mode, whether they hold or not.
The processor time that is left for streams, and so a number that would hold on the same machine
without the generator, is not made up: what is given is what was seen.
"""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import asdict
from typing import Final

from benchmarks.arguments import count
from benchmarks.parts import Run, Setup, part_main
from voiceflow.artifact import LatencyMode
from voiceflow.bench.figures import StreamFigures
from voiceflow.bench.live import Load, Server, speak
from voiceflow.bench.search import Search

NAME: Final = "density"
BOUND_MILLISECONDS: Final = 100.0
MESSAGE_MILLISECONDS: Final = {LatencyMode.DENSITY: 480, LatencyMode.AGENT: 80}
"""Audio in a message: a hop."""

_FIRST: Final = {LatencyMode.DENSITY: 100, LatencyMode.AGENT: 20}
_MOST: Final = 4000
_TRIALS: Final = 16
_SECONDS: Final = 60.0
_TRIAL_SECONDS: Final = 20.0


def measure(setup: Setup) -> Run:
    """One run."""
    streams = setup.arguments.streams
    with setup.service(setup.model, 2 * _MOST) as server:
        found: Run = {
            "streams": asdict(_spoken(setup, server, streams, LatencyMode.DENSITY, _SECONDS))
        }
        for mode in LatencyMode:
            found[mode.value] = _largest(setup, server, mode)
    return found


def _spoken(
    setup: Setup, server: Server, streams: int, mode: LatencyMode, published_seconds: float
) -> StreamFigures:
    seconds = setup.seconds(published_seconds, least=1.0)
    load = Load(streams, seconds, mode, MESSAGE_MILLISECONDS[mode])
    return asyncio.run(speak(server, load, setup.audio))


def _largest(setup: Setup, server: Server, mode: LatencyMode) -> Run:
    search = Search(setup.count(_FIRST[mode]), setup.count(_MOST), _TRIALS)
    tried: dict[int, StreamFigures] = {}
    while (size := search.next()) is not None:
        tried[size] = _spoken(setup, server, size, mode, _TRIAL_SECONDS)
        search.tell(size, held=tried[size].holds(BOUND_MILLISECONDS))
    best = tried.get(search.largest)
    return {
        "largest": search.largest,
        "smallest_not": search.smallest_not,
        "trials": [asdict(one) for one in search.tried],
        "figures": None if best is None else asdict(best),
    }


def arguments(parser: argparse.ArgumentParser) -> None:
    """Of this part."""
    parser.add_argument("--streams", type=count, default=500)


if __name__ == "__main__":
    part_main(NAME, __doc__, measure, arguments, runs=1)
