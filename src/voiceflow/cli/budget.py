"""`voiceflow budget`: which stage of a hop is slow, on which version, since which promotion."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table

from voiceflow.artifact import LatencyMode
from voiceflow.budget import TOLERANCE_SECONDS, TOLERANCE_SHARE, Budget, Row, budgets
from voiceflow.budget_spans import Recorded, Since, read_spans
from voiceflow.cli.budget_probe import probe
from voiceflow.cli.options import Target, mode_option, server_option
from voiceflow.cli.printing import json_option, out, print_json, tell
from voiceflow.cli.run import stop_on_interrupt
from voiceflow.cli.tracing import traced
from voiceflow.client import DiarizationClient
from voiceflow.client.audio import AudioSource, open_recording
from voiceflow.errors import Forbidden, NotFound, Unauthenticated

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
        recorded = _recorded(spans)
        _show_or_print(budgets(recorded.hops), recorded.since, as_json=as_json)
        if recorded.left_out:
            tell(f"{recorded.left_out} hops left out: kept for being slow alone", err=True)
        return
    server.check()
    with tempfile.TemporaryDirectory() as folder, traced("voiceflow.budget", telemetry_file):
        source = open_recording(audio or _sample(Path(folder)))
        made, since = asyncio.run(_measured(server, source, LatencyMode(mode), seconds, streams))
    _show_or_print(made, since, as_json=as_json)


def show(
    console: Console, made: Sequence[Budget], since: Mapping[str, Since] | Mapping[str, int]
) -> None:
    """Shows the budget of each version, and by which promotion it serves."""
    for one in made:
        _show(console, one, since.get(one.version))


async def promotions(client: DiarizationClient) -> dict[str, int]:
    """By which promotion a server serves its versions; nothing, where it does not say."""
    try:
        state = await client.serving_state()
    except (Forbidden, Unauthenticated):
        return {}
    if not state.pod:  # it serves a folder, and nobody promoted that
        return {}
    return {one.model_version: state.serving_sequence for one in state.generations}


def _show_or_print(
    made: Sequence[Budget], since: Mapping[str, Since] | Mapping[str, int], *, as_json: bool
) -> None:
    if not made:
        raise NotFound("no hop of a live stream was measured", reason="HOPS_MISSING")
    if as_json:
        print_json({"budgets": [_data(one, since.get(one.version)) for one in made]})
    else:
        show(out(), made, since)


def _recorded(paths: Sequence[Path]) -> Recorded:
    lines: list[str] = []
    for path in paths:
        lines += path.read_text(encoding="utf-8", errors="replace").splitlines()
    return read_spans(lines)


def _sample(folder: Path) -> Path:
    from voiceflow.sample import write_sample  # noqa: PLC0415 - scipy is slow to import

    path = folder / "synthetic.wav"
    write_sample(path)
    return path


async def _measured(
    server: Target, source: AudioSource, mode: LatencyMode, seconds: float, streams: int
) -> tuple[list[Budget], dict[str, int]]:
    with stop_on_interrupt() as stop:
        async with DiarizationClient(server.address, identity=server.identity) as client:
            hops = await probe(client, source, mode, seconds=seconds, streams=streams, stop=stop)
            return budgets(hops), await promotions(client)


def _show(console: Console, budget: Budget, since: Since | int | None) -> None:
    name = budget.version.removeprefix("models/").replace("/versions/", " ")
    console.print(f"{name}{_since(since)}: {budget.hops} hops")
    table = Table("Stage")
    for heading in ("Median ms", "P95 ms", "P99 ms", "Share"):
        table.add_column(heading, justify="right")
    for row in budget.stages:
        table.add_row(*_cells(row), style="bold" if row is budget.slowest else None)
    table.add_section()
    for row in (budget.total, budget.end_to_end):
        table.add_row(*_cells(row))
    console.print(table)
    console.print(f"Most of the time goes to {budget.slowest.name}: {budget.slowest.share:.0%}.")
    console.print(
        f"{budget.adding_up:.1%} of the hops add up to their own end to end, within"
        f" {TOLERANCE_SHARE:.0%} or {TOLERANCE_SECONDS * 1e3:g} ms."
    )


def _cells(row: Row) -> tuple[str, ...]:
    times = (row.median_seconds, row.p95_seconds, row.p99_seconds)
    return (row.name, *(f"{seconds * 1e3:.2f}" for seconds in times), f"{row.share:.1%}")


def _since(since: Since | int | None) -> str:
    match since:
        case None:
            return ""
        case int():
            return f", by promotion {since}"
        case _:
            return f", since promotion {since.sequence} ({since.at:%Y-%m-%d %H:%M:%S} UTC)"


def _data(budget: Budget, since: Since | int | None) -> dict[str, Any]:
    promotion = since.sequence if isinstance(since, Since) else since
    at = since.at.isoformat() if isinstance(since, Since) else None
    return {
        **asdict(budget),
        "slowest": budget.slowest.name,
        "promotion": promotion,
        "since": at,
    }
