"""`voiceflow bench calls`: whole calls, in a closed loop or at a pace."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Final

import click

from voiceflow.bench.calls import CallLoad, Method, call
from voiceflow.bench.figures import CallFigures
from voiceflow.cli.bench.serving import sample_audio, server_options, serving
from voiceflow.cli.bench.tables import show_calls
from voiceflow.cli.options import Number, Target
from voiceflow.cli.printing import json_option, out, print_json

_MAXIMUM_CLIENTS: Final = 10_000
_MAXIMUM_AUDIO_SECONDS: Final = 30.0
"""A message holds no more."""
_AUDIO_SECONDS: Final = 60.0


@click.command("calls")
@server_options
@click.option(
    "--clients",
    type=click.IntRange(1, _MAXIMUM_CLIENTS),
    default=20,
    show_default=True,
    help="At the same time, each on a connection of its own.",
)
@click.option(
    "--seconds",
    type=Number(0.1, 86_400.0),
    default=30.0,
    show_default=True,
    help="For so long calls are begun.",
)
@click.option(
    "--audio-seconds",
    type=Number(0.1, _MAXIMUM_AUDIO_SECONDS),
    default=3.0,
    show_default=True,
    help="Audio in each call.",
)
@click.option(
    "--method",
    type=click.Choice([one.value for one in Method]),
    default=Method.FILE.value,
    show_default=True,
    help="DiarizeFile (file), or Diarize with all of the audio at once (stream).",
)
@click.option(
    "--every",
    type=Number(0.01, 3600.0),
    metavar="SECONDS",
    help="Each client makes a call so often [in a closed loop: when it has the last answer].",
)
@json_option
def calls(
    server: Target | None,
    model_dir: Path | None,
    clients: int,
    seconds: float,
    audio_seconds: float,
    method: str,
    every: float | None,
    as_json: bool,
) -> None:
    """Make whole calls, and say how many a second succeed and how late they are answered.

    Each client's first call opens its connection, and does not count. Of a paced call, latency
    counts from when it was due, also where the one before was not answered yet. `Had the clients
    cost nothing` is the throughput of a closed loop divided by the share of this machine's
    processor time that neither the clients nor other processes took: told of a server on this
    machine.

    Exit codes: 0 done, 1 a call failed, 2 usage, 3 the model or the request is not usable, 4 no
    server or too busy, 5 not served, 7 not allowed for this caller.
    """
    load = CallLoad(clients, seconds, audio_seconds, Method(method), every)
    audio = sample_audio(_AUDIO_SECONDS)
    room = str(2 * clients)
    names = ("--files", "--files-per-principal", "--streams", "--streams-per-principal")
    settings = [part for name in names for part in (name, room)]
    settings += ("--admission-lag-seconds", "1e6", "--admission-real-time-factor", "1.0")

    async def once() -> CallFigures:
        async with serving(server, model_dir, *settings) as target:
            return await call(target, load, audio)

    figures = asyncio.run(once())
    if as_json:
        print_json({"load": asdict(load), "figures": asdict(figures)})
    else:
        show_calls(out(), figures)
    if figures.calls > figures.succeeded:
        raise click.exceptions.Exit(1)
