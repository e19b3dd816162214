"""`voiceflow serving-state`: what a server serves now."""

from __future__ import annotations

import asyncio
import dataclasses
import json

import click
from rich.table import Table

from voiceflow.cli.models.tables import standing
from voiceflow.cli.options import Target, server_option
from voiceflow.cli.printing import PlainConsole
from voiceflow.client import NO_RETRY, DiarizationClient, RoleSince, ServingState


@click.command("serving-state")
@server_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def serving_state(server: Target, as_json: bool) -> None:
    """Show the models that a server has loaded, its load and its settings."""
    state = asyncio.run(_ask(server))
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(state), indent=2, default=str))
    else:
        _print(state)


async def _ask(server: Target) -> ServingState:
    server.check()
    async with DiarizationClient(
        server.address, identity=server.identity, retry=NO_RETRY
    ) as client:
        return await client.serving_state()


def _print(state: ServingState) -> None:
    console = PlainConsole()
    models = Table()
    for heading in ("Generation", "Model", "Contract", "State", "Role", "Streams", "Digest"):
        models.add_column(heading, overflow="fold")
    for one in state.generations:
        role, stands = standing(one.role, one.state, one.streams)
        models.add_row(
            str(one.generation),
            one.model_version.removeprefix("models/").replace("/versions/", " "),
            one.contract,
            f"{stands} {one.message}".strip(),
            role if one.role_since is None else _role(role, one.role_since),
            str(one.streams),
            one.model_digest[:15],
        )
    console.print(models)
    load = Table.grid(padding=(0, 3))
    load.add_row("streams", f"{state.streams} of {state.capacity_streams}")
    load.add_row("files", str(state.files))
    load.add_row("real-time factor", f"{state.real_time_factor:.3f}")
    load.add_row("queue", f"{state.queue_hops} hops, oldest {state.queue_age_seconds * 1e3:.0f} ms")
    refusals = ", ".join(f"{reason} {count}" for reason, count in sorted(state.refusals.items()))
    load.add_row("refused", refusals or "none")
    moves = ", ".join(f"{how} {count}" for how, count in sorted(state.moves.items()) if count)
    load.add_row("moved", moves or "none")
    load.add_row("taking streams", "no, draining" if state.draining else "yes")
    load.add_row("started", str(state.started_at or "unknown"))
    load.add_row("software", state.software_version)
    if state.pod:
        load.add_row("reports as", state.pod.removeprefix("pods/"))
    if state.desired_sequence:
        load.add_row("serves", f"{state.serving_sequence}, should {state.desired_sequence}")
    for subject, alarm in sorted(state.alarms.items()):
        load.add_row(f"alarm: {subject}", alarm)
    console.print(load)
    settings = Table("Setting", "Value")
    for name, value in sorted(state.settings.items()):
        settings.add_row(name, value)
    console.print(settings)


def _role(role: str, since: RoleSince) -> str:
    least = " at least" if since.or_earlier else ""
    return f"{role}{least} since promotion {since.promotion}"
