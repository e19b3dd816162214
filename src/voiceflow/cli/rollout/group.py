"""The commands of `voiceflow rollout`."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any, Final

import click

from voiceflow.cli.options import Command, Number, as_seconds
from voiceflow.cli.printing import json_lines_option, json_option, print_json
from voiceflow.cli.rollout.going import Course, go
from voiceflow.cli.rollout.place import Place, place_options
from voiceflow.cli.rollout.telling import ToPeople, as_data
from voiceflow.rollout.carrying import Patience, look
from voiceflow.rollout.planning import Wish, plan_blue_green, plan_canary
from voiceflow.rollout.state import Colour, Situation

_COLOUR: Final = click.Choice([colour.value for colour in Colour])


@click.group()
def rollout() -> None:
    """Switch between the Deployments blue and green in a Kubernetes cluster.

    What is done is planned from what stands there: a rollout that was interrupted goes on, or back,
    by being asked for again. Needs voiceflow[kubernetes]. The pods are asked, and told to drain,
    through the API server, as `kubectl port-forward` does; where they know their callers, by an
    operator: --cert and --key, or --token-file.
    """


@rollout.command()
@place_options
@json_option
def status(place: Place, as_json: bool) -> None:
    """Show both sides beside each other: pods, streams, refusals, load, versions, images."""
    asyncio.run(_status(place, as_json=as_json))


async def _status(place: Place, *, as_json: bool) -> None:
    async with place.enter() as (cluster, pods):
        now, _ = await look(cluster, pods)
    if as_json:
        print_json(as_data(now))
    else:
        ToPeople().stands(now)


def _course_options(command: Command) -> Command:
    """What both kinds of rollout may be told; the command's argument `course` is a `Course`."""

    @functools.wraps(command)
    def with_course(**options: Any) -> Any:
        as_json, yes, dry_run = (options.pop(name) for name in ("as_json", "yes", "dry_run"))
        if as_json and not (yes or dry_run):
            raise click.UsageError("--json: only with --yes or --dry-run; nobody can be asked")
        serving_seconds = options.pop("serving_seconds")
        patience = Patience(serving_seconds, options.pop("empty_seconds", None))
        return command(course=Course(patience, yes, dry_run, as_json), **options)

    decorated: Command = with_course
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return place_options(decorated)


def _span(name: str, field: str, default: str | None, what: str) -> Callable[[Command], Command]:
    return click.option(
        name,
        field,
        type=as_seconds,
        default=default,
        show_default=default is not None,
        metavar="SPAN",
        help=what,
    )


_OPTIONS: Final = (
    click.option("--to", required=True, type=_COLOUR, help="The side."),
    click.option(
        "--pods",
        "pods",
        type=click.IntRange(min=1),
        metavar="N",
        help="That it is to have.  [see above]",
    ),
    _span("--ready-timeout", "serving_seconds", "15m", "How long its pods may take to serve."),
    click.option("--dry-run", is_flag=True, help="Let the API server check it; change nothing."),
    click.option("--yes", is_flag=True, help="Do not ask."),
    json_lines_option,
)


@rollout.command("blue-green")
@_course_options
@click.option(
    "--standing",
    type=click.IntRange(min=0),
    metavar="N",
    help="Pods that the other side keeps.  [its autoscaler's minimum, else 1]",
)
@_span(
    "--drain-deadline",
    "deadline_seconds",
    None,
    "Tell live streams of the other side to go after so long. [they go on to their end]",
)
@_span("--settle", "settle_seconds", "15s", "From the switch until the other side is drained.")
@_span(
    "--empty-timeout", "empty_seconds", "1h", "How long the other side's streams may take to end."
)
def blue_green(
    place: Place,
    course: Course,
    to: str,
    pods: int | None,
    standing: int | None,
    deadline_seconds: float | None,
    settle_seconds: float,
) -> None:
    """Send everything new to one side, and empty the other one.

    The side grows to the size of the other one (or --pods), serves, gets all new connections; then
    the other one is drained, and keeps its standing size to go back to. To go back, ask for the
    other side.
    """
    wish = Wish(pods, standing, deadline_seconds, settle_seconds)

    def plan(now: Situation) -> Any:
        return plan_blue_green(now, Colour(to), wish)

    go(place, course, plan, Colour(to), _words("blue-green", place, to))


@rollout.command()
@_course_options
@click.option(
    "--percent",
    type=Number(0, 100, min_open=True, max_open=True),
    default=10.0,
    show_default=True,
    help="Of the pods behind the Service.",
)
def canary(place: Place, course: Course, to: str, pods: int | None, percent: float) -> None:
    """Send a share of what is new to one side: its share of the pods.

    For other software; versions of models have canaries of their own (voiceflow models promote
    --canary). The side grows to --percent of the pods (or --pods), serves, and the Service selects
    both. Look at both with `status`; then `blue-green` goes on, or back.
    """

    def plan(now: Situation) -> Any:
        return plan_canary(now, Colour(to), percent, Wish(pods))

    go(place, course, plan, Colour(to), _words("canary", place, to))


def _words(command: str, place: Place, to: str) -> str:
    return f"voiceflow rollout {command} --to {to}{place.options()}"
