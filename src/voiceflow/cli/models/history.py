"""`voiceflow models history`, `watch`: what a channel has served, and what it comes to serve."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import datetime
from itertools import count

import click

from voiceflow.catalog.channels import (
    ChannelCursor,
    ChannelPolicy,
    Heartbeat,
    Promotion,
    WatchEvent,
)
from voiceflow.catalog.names import ChannelName, VersionName
from voiceflow.cli.models.names import CHANNEL, VERSION, short
from voiceflow.cli.models.session import call, registry_client, registry_option
from voiceflow.cli.models.tables import moment, promotions_table
from voiceflow.cli.options import MAXIMUM_INT64, Target, as_moment
from voiceflow.cli.printing import (
    as_data,
    json_lines_option,
    json_option,
    out,
    print_json,
    print_json_line,
    tell,
)
from voiceflow.client.registry import RegistryClient


@click.command()
@click.argument("channel", type=CHANNEL)
@click.option("--at", "time", type=as_moment, metavar="TIME", help="Only what served at this time.")
@click.option("--version", "version", type=VERSION, help="Only promotions that name this version.")
@click.option("--limit", type=click.IntRange(1), help="At most so many.")
@registry_option
@json_option
def history(
    channel: ChannelName,
    time: datetime | None,
    version: VersionName | None,
    limit: int | None,
    registry: Target,
    as_json: bool,
) -> None:
    """List the promotions of CHANNEL, newest first; with --at, what served at a time."""

    async def act(client: RegistryClient) -> list[Promotion]:
        if time is not None:
            found = await client.at_time(channel, time)
            return [] if found is None else [found]
        promotions: list[Promotion] = []
        async with aclosing(client.history(channel, version=version or "")) as entries:
            async for one in entries:
                promotions.append(one)
                if len(promotions) == limit:
                    break
        return promotions

    promotions = call(registry, act)
    if as_json:
        print_json({"promotions": [as_data(one) for one in promotions]})
    elif promotions:
        out().print(promotions_table(promotions))
    else:
        out().print("nothing served then" if time else "no promotions")


@click.command()
@click.argument("channels", type=CHANNEL, nargs=-1, required=True)
@click.option(
    "--after",
    type=click.IntRange(0, MAXIMUM_INT64),
    metavar="SEQUENCE",
    help="Begin after this promotion; 0: with the first. [the newest]",
)
@click.option("--count", "wanted", type=click.IntRange(1), help="End after so many promotions.")
@registry_option
@json_lines_option
def watch(
    channels: tuple[ChannelName, ...],
    after: int | None,
    wanted: int | None,
    registry: Target,
    as_json: bool,
) -> None:
    """Tell of every promotion of CHANNELS as it comes, each once, until Ctrl-C.

    Ctrl-C is its normal end: exit code 0. Outages of the registry are outlasted. With --json also
    policies and heartbeats are told.
    """
    cursors = [ChannelCursor(channel=str(one), after_sequence=after) for one in channels]
    try:
        asyncio.run(_watch(registry, cursors, wanted, as_json=as_json))
    except KeyboardInterrupt:
        return


async def _watch(
    registry: Target, cursors: list[ChannelCursor], wanted: int | None, *, as_json: bool
) -> None:
    numbers = count(1)
    async with registry_client(registry) as client, aclosing(client.watch(cursors)) as events:
        async for event in events:
            if as_json:
                print_json_line(_event_data(event))
            elif isinstance(event, Promotion):
                where = short(event.name)
                how = event.kind.value.replace("_", " ")
                text = event.rollout.in_short
                tell(f"{moment(event.commit_time)}  {where}  {event.sequence}  {how}  {text}")
            if isinstance(event, Promotion) and next(numbers) == wanted:
                return


def _event_data(event: WatchEvent) -> dict[str, object]:
    match event:
        case Promotion():
            return {"promotion": as_data(event)}
        case ChannelPolicy():
            return {"policy": as_data(event)}
        case Heartbeat():
            return {"heartbeat": as_data(event)}
