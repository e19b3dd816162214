"""`voiceflow bench streams`: live streams at real pace, and the most that a server carries."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click

from voiceflow.artifact import LatencyMode
from voiceflow.bench.figures import MAXIMUM_LAG_GROWTH_MILLISECONDS, StreamFigures
from voiceflow.bench.live import Load, Server, speak
from voiceflow.bench.search import Search
from voiceflow.cli.bench.serving import sample_audio, server_options, serving
from voiceflow.cli.bench.tables import largest_line, show_streams
from voiceflow.cli.options import Number, Target, as_seconds, mode_option
from voiceflow.cli.printing import json_option, out, print_json, tell

_MAXIMUM_STREAMS: Final = 10_000
_MAXIMUM_SECONDS: Final = 86_400.0
_AUDIO_SECONDS: Final = 600.0


@click.command("streams")
@server_options
@click.option(
    "--streams",
    type=click.IntRange(1, _MAXIMUM_STREAMS),
    default=20,
    show_default=True,
    help="At the same time, each on a connection of its own; with --find, at first.",
)
@click.option(
    "--seconds",
    type=Number(1.0, _MAXIMUM_SECONDS),
    default=30.0,
    show_default=True,
    help="Audio in each, at real pace; with --find, in each trial.",
)
@mode_option
@click.option(
    "--message-ms",
    type=click.IntRange(10, 10_000),
    default=80,
    show_default=True,
    help="Audio in a message.",
)
@click.option(
    "--find",
    is_flag=True,
    help="Look for the most streams with P99 under --bound-ms, no growing lag, none refused and"
    " none failed.",
)
@click.option(
    "--bound-ms",
    type=Number(1.0, 60_000.0),
    default=100.0,
    show_default=True,
    help="With --find: of compute latency, P99.",
)
@click.option(
    "--growth-ms",
    type=Number(0.1, 60_000.0),
    default=MAXIMUM_LAG_GROWTH_MILLISECONDS,
    show_default=True,
    help="With --find: a lag that grows by so much, grows.",
)
@click.option(
    "--most",
    type=click.IntRange(1, _MAXIMUM_STREAMS),
    default=2000,
    show_default=True,
    help="With --find: more streams are not tried.",
)
@click.option(
    "--trials",
    type=click.IntRange(1, 100),
    default=16,
    show_default=True,
    help="With --find: at most; what does not hold is tried twice.",
)
@click.option(
    "--within",
    type=as_seconds,
    default="30m",
    show_default=True,
    metavar="SPAN",
    help="With --find: no trial is begun after this.",
)
@json_option
def streams(
    server: Target | None,
    model_dir: Path | None,
    streams: int,
    seconds: float,
    mode: str,
    message_ms: int,
    find: bool,
    bound_ms: float,
    growth_ms: float,
    most: int,
    trials: int,
    within: float,
    as_json: bool,
) -> None:
    """Let live streams speak at real pace, and say how late they are answered.

    The streams are spread evenly over a hop. Compute latency is the time from sending the last byte
    that a hop needs to receiving the Update that covers it; lag growth is what its median has more
    in the last third of the run than in the first. Processor time and memory are told of a
    server on this machine. A service that is started for this admits all streams, whatever it
    believes that it can carry.

    Exit codes: 0 done, with --find: some load holds; 1 a stream was refused or failed, with --find:
    none holds; 2 usage, 3 the model is not usable, 4 no server or too busy, 5 not served, 7 not
    allowed for this caller.
    """
    if message_ms > 1000 * seconds:
        raise click.UsageError("--message-ms: longer than all of the audio (--seconds)")
    load = Load(streams, seconds, LatencyMode(mode), message_ms)
    audio = sample_audio(max(_AUDIO_SECONDS, seconds))
    room = str(2 * max(streams, most if find else 0))
    settings = (
        *("--streams", room, "--streams-per-principal", room),
        # Its own estimate of what this machine can carry is set aside: that is what is to be seen.
        *("--admission-lag-seconds", "1e6", "--admission-real-time-factor", "1.0"),
    )

    bounds = (bound_ms, growth_ms)

    async def once() -> StreamFigures:
        async with serving(server, model_dir, *settings) as target:
            return await speak(target, load, audio)

    async def search() -> tuple[Search, list[StreamFigures]]:
        async with serving(server, model_dir, *settings) as target:
            looking = Search(streams, most, trials)
            return looking, await _searched(target, load, audio, looking, bounds, within)

    if find:
        _tell_search(*asyncio.run(search()), load, bound_ms, as_json=as_json)
    else:
        _tell(asyncio.run(once()), load, as_json=as_json)


async def _searched(
    server: Server,
    load: Load,
    audio: bytes,
    search: Search,
    bounds: tuple[float, float],
    within_seconds: float,
) -> list[StreamFigures]:
    """Tries loads until the search is over, or its time."""
    found: list[StreamFigures] = []
    deadline = time.monotonic() + within_seconds
    while (size := search.next()) is not None and time.monotonic() < deadline:
        trial = Load(size, load.seconds, load.mode, load.message_milliseconds)
        figures = await speak(server, trial, audio)
        held = figures.holds(*bounds)
        search.tell(size, held=held)
        found.append(figures)
        tell(_trial_line(figures, held=held), err=True)
    return found


def _trial_line(figures: StreamFigures, *, held: bool) -> str:
    p99 = "-" if figures.latency is None else f"{figures.latency.p99_milliseconds:g} ms"
    growth = figures.lag_growth_milliseconds
    lag = "" if growth is None else f", lag growth {growth:g} ms"
    ended = f", {figures.refused} refused, {figures.failed} failed"
    outcome = "holds" if held else "does not hold"
    return f"{figures.streams} streams: P99 {p99}{lag}{ended}: {outcome}"


def _tell(figures: StreamFigures, load: Load, *, as_json: bool) -> None:
    if as_json:
        print_json({"load": asdict(load), "figures": asdict(figures)})
    else:
        show_streams(out(), figures)
    if figures.refused or figures.failed:
        raise click.exceptions.Exit(1)


def _tell_search(
    search: Search,
    found: list[StreamFigures],
    load: Load,
    bound_milliseconds: float,
    *,
    as_json: bool,
) -> None:
    best: dict[int, StreamFigures] = {one.streams: one for one in found}
    if as_json:
        told: dict[str, Any] = {
            "load": asdict(load),
            "bound_milliseconds": bound_milliseconds,
            "largest": search.largest,
            "smallest_not": search.smallest_not,
            "trials": [
                {"held": trial.held, "figures": asdict(one)}
                for trial, one in zip(search.tried, found, strict=True)
            ],
        }
        print_json(told)
    else:
        if search.largest:
            show_streams(out(), best[search.largest])
        out().print(largest_line(search, bound_milliseconds))
    if not search.largest:
        raise click.exceptions.Exit(1)
