"""`voiceflow fleet`: what the servers of a channel serve, and whether that is what they should."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from voiceflow.catalog.channels import Promotion, PromotionKind
from voiceflow.catalog.names import ChannelName
from voiceflow.catalog.pods import PodGeneration
from voiceflow.catalog.queries import PodFilter
from voiceflow.cli.fleet_state import Fleet, Member, Standing, fleet
from voiceflow.cli.models.names import CHANNEL, short, version_of
from voiceflow.cli.models.session import registry_client, registry_option
from voiceflow.cli.models.tables import moment, standing, table
from voiceflow.cli.options import Target, as_seconds
from voiceflow.cli.printing import as_data, out, plain, print_json, print_json_line
from voiceflow.client.registry import RegistryClient
from voiceflow.errors import VoiceFlowError

_LOOK_EVERY_SECONDS = 1.0
_COLOURS = {
    Standing.CONVERGED: "green",
    Standing.UNDER_WAY: "yellow",
    Standing.REVERTED: "red",
    Standing.LOST: "dim",
}


@dataclass(frozen=True, slots=True)
class _Wish:
    """When the command ends.

    Attributes:
        wait: When all servers have converged, or one cannot.
        watch: With Ctrl-C.
        timeout_seconds: Of waiting; None: no limit.
    """

    wait: bool
    watch: bool
    timeout_seconds: float | None


@click.command("fleet")
@click.argument("channel", type=CHANNEL)
@click.option(
    "--wait",
    is_flag=True,
    help="End when every server serves the newest promotion; exit code 1 if one has reverted.",
)
@click.option("--watch", is_flag=True, help="Show every change until Ctrl-C.")
@click.option(
    "--timeout",
    "timeout_seconds",
    type=as_seconds,
    metavar="SPAN",
    help="With --wait: at most so long (30s, 5m); then exit code 4.",
)
@registry_option
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON; with --wait or --watch a line a change."
)
def fleet_command(
    channel: ChannelName,
    wait: bool,
    watch: bool,
    timeout_seconds: float | None,
    registry: Target,
    as_json: bool,
) -> None:
    """Show what every server that follows CHANNEL should and does serve, and its live streams.

    A server that is lost, since it reports no more, is shown and not waited for.
    """
    if wait and watch:
        raise click.UsageError("give either --wait or --watch")
    if timeout_seconds is not None and not wait:
        raise click.UsageError("--timeout: only with --wait")
    wish = _Wish(wait, watch, timeout_seconds)
    show = _shower(as_json, lines=wait or watch)
    try:
        asyncio.run(_follow(registry, channel, wish, show))
    except KeyboardInterrupt:
        if not watch:
            raise


async def _follow(
    registry: Target, channel: ChannelName, wish: _Wish, show: Callable[[Fleet], None]
) -> None:
    async with registry_client(registry) as client:
        found = await _look(client, channel)
        began_with = found.newest.sequence
        show(found)
        try:
            async with asyncio.timeout(wish.timeout_seconds):
                while wish.watch or (wish.wait and not found.has_ended(began_with)):
                    await asyncio.sleep(_LOOK_EVERY_SECONDS)
                    before, found = found, await _look(client, channel)
                    if _without_times(found) != _without_times(before):
                        show(found)
        except TimeoutError:
            raise VoiceFlowError(
                f"{short(str(channel))} has not converged after {wish.timeout_seconds:g} s: "
                + "; ".join(found.reasons()),
                reason="DEADLINE_EXCEEDED",
            ) from None


async def _look(client: RegistryClient, channel: ChannelName) -> Fleet:
    where = PodFilter(channel=str(channel), include_lost=True)
    newest = await _newest(client, channel)
    pods = [pod async for pod in client.list_pods(where)]
    reverts = [one async for one in client.list_reverts(channel, sequence=newest.sequence)]
    return fleet(newest, pods, reverts)


async def _newest(client: RegistryClient, channel: ChannelName) -> Promotion:
    async with aclosing(client.history(channel)) as promotions:
        return await anext(promotions)  # a channel that has none is not found


def _without_times(found: Fleet) -> Any:
    """All that is told but when each server last reported, which changes all the time."""
    pods = [pod | {"report_time": None} for pod in _data(found)["pods"]]
    return found.newest, found.verdict, pods


def _shower(as_json: bool, *, lines: bool) -> Callable[[Fleet], None]:
    if as_json:
        return lambda found: (print_json_line if lines else print_json)(_data(found))
    return _print


def _data(found: Fleet) -> dict[str, Any]:
    return {
        "newest": as_data(found.newest),
        "verdict": found.verdict.value,
        "reasons": found.reasons(),
        "pods": [
            as_data(member.pod)
            | {
                "standing": member.standing.value,
                "revert": None if member.revert is None else as_data(member.revert),
            }
            for member in found.members
        ],
    }


def _print(found: Fleet) -> None:
    newest = found.newest
    how = "" if newest.kind is PromotionKind.PROMOTE else f" ({newest.kind.replace('_', ' ')})"
    channel = newest.name.partition("/promotions/")[0]
    out().print(
        f"{short(channel)}: {newest.sequence}, {newest.rollout.in_short}{how}: {found.verdict}",
        highlight=False,
    )
    if found.members:
        out().print(_table(found))
    for reason in found.reasons():
        out().print(f"  {reason}", highlight=False, soft_wrap=True)


def _table(found: Fleet) -> Table:
    made = table("Pod", "Serves>", "Should>", "Versions", "Streams>", "Labels", "Reported", "")
    for member in found.members:
        pod = member.pod
        made.add_row(
            short(pod.name),
            str(pod.serving_sequence),
            str(pod.desired_sequence),
            _lines(_generation(one) for one in pod.generations),
            _lines(str(one.streams) for one in pod.generations),
            " ".join(f"{name}={value}" for name, value in sorted(pod.labels.items())),
            moment(pod.report_time),
            _remarks(member),
        )
    return made


def _lines(texts: Iterable[str]) -> Text:
    return Text("\n").join(Text(plain(text)) for text in texts)


def _generation(one: PodGeneration) -> str:
    role, state = standing(one.role, one.state, one.streams)
    words = [version_of(one.version.version), role, state, one.reason]
    return " ".join(word for word in words if word)


def _remarks(member: Member) -> Text:
    text = Text(member.standing.value, _COLOURS[member.standing])
    if member.pod.draining:
        text.append(", draining")
    if member.pod.watch_lost_time is not None:
        text.append(f", out of touch with the registry since {moment(member.pod.watch_lost_time)}")
    return text
