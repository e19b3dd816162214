"""What the server adds to a hop's model call, by hop and by stage.

    python -m benchmarks.overhead [--window-model FOLDER] [--json PATH]

Live streams that ask for the timings of their hops, one alone and 20 together, on each model.
Overhead is all of the server's stages but `infer`: receive, decode, queue, gather, scatter,
identity, turns, serialise and send. Of 20 streams it holds waiting for the model calls of others;
what it is without `queue` is told beside it. The stages are those of docs/latency.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import asdict
from typing import Final

from benchmarks.parts import Run, Setup, part_main
from voiceflow.artifact import SAMPLE_RATE_HERTZ, LatencyMode
from voiceflow.bench.figures import percentiles
from voiceflow.bench.live import Server
from voiceflow.budget import STAGES, MeasuredHop, budgets
from voiceflow.cli.budget_probe import probe
from voiceflow.client import DiarizationClient
from voiceflow.client.audio import AudioSource
from voiceflow.client.config import AudioFormat, Encoding

NAME: Final = "overhead"
STREAMS: Final = (1, 20)
SERVER_STAGES: Final = tuple(
    one for one in STAGES if one not in {"client encode", "network", "client parse"}
)

_SECONDS: Final = 60.0


def measure(setup: Setup) -> Run:
    """One run."""
    found: Run = {}
    for told, path in setup.models.items():
        with setup.service(path, 2 * max(STREAMS)) as server:
            found[told] = {
                str(streams): told_of(asyncio.run(_probed(setup, server, streams)))
                for streams in STREAMS
            }
    return found


def told_of(hops: Sequence[MeasuredHop]) -> Run:
    """What hops come to."""
    (budget,) = budgets(hops)
    without = ("infer", "queue")
    return {
        "hops": len(hops),
        "adding_up": budget.adding_up,
        "stages": [asdict(row) for row in budget.stages],
        "end_to_end": asdict(budget.end_to_end),
        "overhead": _percentiles(_sums(hops, without[:1])),
        "overhead_without_queue": _percentiles(_sums(hops, without)),
    }


def _sums(hops: Iterable[MeasuredHop], without: Sequence[str]) -> list[float]:
    """Of each hop, its server's stages but these."""
    stages = [one for one in SERVER_STAGES if one not in without]
    return [sum(hop.stages.get(one, 0.0) for one in stages) for hop in hops]


def _percentiles(seconds: Iterable[float]) -> dict[str, float] | None:
    found = percentiles(seconds)
    return None if found is None else asdict(found)


async def _probed(setup: Setup, server: Server, streams: int) -> list[MeasuredHop]:
    seconds = setup.seconds(_SECONDS, least=1.0)
    data = setup.audio

    async def pieces(piece_seconds: float) -> AsyncIterator[bytes]:
        size = round(piece_seconds * SAMPLE_RATE_HERTZ) * 2
        for at in range(0, len(data), size):
            yield data[at : at + size]

    audio_format = AudioFormat(Encoding.PCM16, SAMPLE_RATE_HERTZ)
    source = AudioSource("talk", audio_format, pieces, None, repeatable=True)
    async with DiarizationClient(server.address) as client:
        return await probe(
            client,
            source,
            LatencyMode.DENSITY,
            seconds=seconds,
            streams=streams,
            stop=asyncio.Event(),
        )


if __name__ == "__main__":
    part_main(NAME, __doc__, measure)
