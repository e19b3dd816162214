"""`voiceflow budget`: which stage of a hop is slow, on which version, since which promotion."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

import click

from voiceflow.artifact import LatencyMode
from voiceflow.budget import Change, MeasuredHop, Period, budgets, differences
from voiceflow.budget_spans import Left, Recorded, read_spans
from voiceflow.cli.budget_probe import probe
from voiceflow.cli.budget_tables import budget_data, hop_data, left_data, show, show_slowest
from voiceflow.cli.options import Target, mode_option, server_option
from voiceflow.cli.printing import json_option, out, print_json, tell
from voiceflow.cli.run import stop_on_interrupt
from voiceflow.cli.tracing import traced
from voiceflow.client import DiarizationClient
from voiceflow.client.audio import AudioSource, open_recording
from voiceflow.errors import Forbidden, NotFound, Unauthenticated
from voiceflow.otlp_json import SpanFile

_MAXIMUM_STREAMS: Final = 1000


@click.command("budget")
@click.argument("audio", required=False, type=click.Path(path_type=Path))
@server_option
@click.option(
    "--spans",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Read what services and clients have recorded with --telemetry-file; once for each file.",
)
@click.option(
    "--slowest",
    type=click.IntRange(min=1),
    metavar="N",
    help="Of --spans, list the N slowest hops instead, those kept for being slow among them, each"
    " with its trace.",
)
@click.option(
    "--streams",
    type=click.IntRange(1, _MAXIMUM_STREAMS),
    default=1,
    show_default=True,
    help="How many to open at once.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=1.0),
    default=20.0,
    show_default=True,
    help="Audio in each; a shorter recording begins again.",
)
@mode_option
@click.option(
    "--telemetry-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Add this client's spans of its hops to a file, for --spans.",
)
@json_option
def budget_command(
    audio: Path | None,
    server: Target,
    spans: tuple[Path, ...],
    slowest: int | None,
    streams: int,
    seconds: float,
    mode: str,
    telemetry_file: Path | None,
    as_json: bool,
) -> None:
    """Print where the time of hops goes, from a client's request to its parsed reply.

    Opens streams at real pace, of AUDIO or of a synthetic conversation, that ask for the timings of
    their hops. With --spans, reads recorded spans instead: of services, whose hops begin and end
    there; or of services and clients, as `voiceflow budget --telemetry-file` is one.

    Exit codes: 0 done, 1 a stream failed, 2 usage, 3 the audio or the spans are not usable, 4 no
    server or too busy, 5 not served, 7 not allowed for this caller.
    """
    if spans:
        if audio is not None:
            raise click.UsageError("give either AUDIO or --spans")
        _print_recorded(_recorded(spans), slowest, as_json=as_json)
        return
    if slowest is not None:
        raise click.UsageError("--slowest needs --spans")
    server.check()
    with tempfile.TemporaryDirectory() as folder, traced("voiceflow.budget", telemetry_file):
        source = open_recording(audio or _sample(Path(folder)))
        hops = asyncio.run(_measured(server, source, LatencyMode(mode), seconds, streams))
    _print(hops, as_json=as_json)


async def periods(client: DiarizationClient) -> dict[str, Period]:
    """Since when a server's versions have their roles; nothing, where it does not say."""
    try:
        state = await client.serving_state()
    except (Forbidden, Unauthenticated):
        return {}
    return {
        one.model_version: Period(
            one.role,
            Change(one.role_since.promotion, one.role_since.kind, one.role_since.commit_time),
            one.role_since.or_earlier,
        )
        for one in state.generations
        if one.role_since is not None
    }


def served_in(hops: Iterable[MeasuredHop], known: Mapping[str, Period]) -> list[MeasuredHop]:
    """Hops that were just measured, with the periods that a server tells of."""
    return [replace(hop, period=known.get(hop.version)) for hop in hops]


def _print_recorded(recorded: Recorded, slowest: int | None, *, as_json: bool) -> None:
    for notice in recorded.notices:
        tell(notice, err=True)
    if slowest is not None:
        ranked = sorted(recorded.traced, key=lambda one: -one.hop.end_to_end_seconds)[:slowest]
        if not ranked:
            raise _no_hops()
        if as_json:
            print_json({"slowest": [hop_data(one) for one in ranked]})
        else:
            show_slowest(out(), ranked)
        return
    _print(recorded.hops, recorded.left, as_json=as_json)
    if recorded.left_out:
        tell(f"{recorded.left_out} hops left out: kept for being slow alone", err=True)


def _print(hops: Sequence[MeasuredHop], left: Sequence[Left] = (), *, as_json: bool) -> None:
    made, differ = budgets(hops), differences(hops)
    if not made:
        raise _no_hops()
    if not as_json:
        show(out(), made, differ, left)
        return
    print_json(
        {
            "budgets": [budget_data(one) for one in made],
            "differences": [asdict(one) for one in differ],
            "left": [left_data(one) for one in left],
        }
    )


def _no_hops() -> NotFound:
    return NotFound("no hop of a live stream was measured", reason="HOPS_MISSING")


def _recorded(paths: Sequence[Path]) -> Recorded:
    with ExitStack() as stack:
        return read_spans(
            SpanFile(
                str(path),
                # No other character ends a line: what a client calls a session may hold any.
                stack.enter_context(path.open(encoding="utf-8", errors="replace", newline="\n")),
            )
            for path in paths
        )


def _sample(folder: Path) -> Path:
    from voiceflow.sample import write_sample  # noqa: PLC0415 - scipy is slow to import

    path = folder / "synthetic.wav"
    write_sample(path)
    return path


async def _measured(
    server: Target, source: AudioSource, mode: LatencyMode, seconds: float, streams: int
) -> list[MeasuredHop]:
    with stop_on_interrupt() as stop:
        async with DiarizationClient(server.address, identity=server.identity) as client:
            hops = await probe(client, source, mode, seconds=seconds, streams=streams, stop=stop)
            return served_in(hops, await periods(client))
