"""One rollout from the look at what stands to its end, or to where it stopped."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import click

from voiceflow.cli.printing import tell
from voiceflow.cli.rollout.place import Place
from voiceflow.cli.rollout.telling import Told, ToPeople, ToPrograms, in_short
from voiceflow.errors import Forbidden, InvalidInput, Unauthenticated, VoiceFlowError
from voiceflow.rollout.carrying import Carrier, Patience, look
from voiceflow.rollout.cluster import Cluster, Pods
from voiceflow.rollout.state import Colour, Situation
from voiceflow.rollout.steps import Step
from voiceflow.rollout.writing import try_out

_LAST_LOOK_SECONDS: Final = 20.0
_REFUSALS: Final = (Forbidden, InvalidInput, Unauthenticated)


@dataclass(frozen=True, slots=True)
class Course:
    """How a rollout is gone through.

    Attributes:
        patience: How long to wait.
        yes: Nobody is asked.
        dry_run: Nothing is changed.
        as_json: It is told to programs.
    """

    patience: Patience
    yes: bool
    dry_run: bool
    as_json: bool


def go(
    place: Place,
    course: Course,
    plan: Callable[[Situation], Sequence[Step]],
    to: Colour,
    command: str,
) -> None:
    """Looks, plans, asks, and does it.

    Args:
        place: Where.
        course: How.
        plan: Gives the steps.
        to: The side.
        command: That would go on with it.

    Raises:
        VoiceFlowError: It stopped; what stands then has been told.
    """
    asyncio.run(_go(place, course, plan, to, command))


async def _go(
    place: Place,
    course: Course,
    plan: Callable[[Situation], Sequence[Step]],
    to: Colour,
    command: str,
) -> None:
    told: Told = ToPrograms() if course.as_json else ToPeople()
    async with place.enter() as (cluster, pods):
        began, silent = await look(cluster, pods)
        told.stands(began)
        steps = plan(began)
        told.plan(steps)
        if not steps:
            told.ended("nothing to do: it is so")
            return
        if course.dry_run:
            checked = await try_out(steps, cluster, began)
            told.ended(f"dry run: the API server takes {len(checked)} changes; nothing was changed")
            return
        _check_answers(began, silent)
        _ask(yes=course.yes)
        progress = _Progress(told)
        carrier = Carrier(cluster, pods, began, course.patience, progress)
        try:
            await carrier.carry_out(steps)
        except (VoiceFlowError, asyncio.CancelledError):
            back = f"voiceflow rollout blue-green --to {to.other}{place.options()}"
            await _tell_where_it_stopped(progress, steps, cluster, pods, command, back)
            raise
        told.ended(f"done: {await _in_short(cluster, pods)}")


def _check_answers(began: Situation, silent: Sequence[VoiceFlowError]) -> None:
    """Better known before the switch than after it; a pod that hangs is what one switches from.

    Raises:
        VoiceFlowError: Pods refuse to be asked, or none answers.
    """
    refused = [error for error in silent if isinstance(error, _REFUSALS)]
    answered = any(pod.serving for side in (began.blue, began.green) for pod in side.pods)
    if refused or (silent and not answered):
        raise (refused or silent)[0]


def _ask(*, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("there is nobody to ask: look at it with --dry-run, and say --yes")
    click.confirm("Go on?", abort=True, err=True)


class _Progress:
    """Remembers how far it has come, and passes it on."""

    def __init__(self, told: Told) -> None:
        self.steps_done = 0
        self.begins = told.begins
        self.waits = told.waits
        self._told = told

    def done(self, number: int, step: Step) -> None:
        """A step is done."""
        self.steps_done = number
        self._told.done(number, step)


async def _tell_where_it_stopped(
    progress: _Progress,
    steps: Sequence[Step],
    cluster: Cluster,
    pods: Pods,
    command: str,
    back: str,
) -> None:
    done = progress.steps_done
    tell(f"stopped in step {done + 1} of {len(steps)}: {steps[done]}", err=True)
    tell(f"done: {f'steps 1 to {done}' if done else 'nothing'}", err=True)
    tell(f"now: {await _in_short(cluster, pods)}", err=True)
    tell(f"to go on: {command}", err=True)
    tell(f"to go back: {back}", err=True)


async def _in_short(cluster: Cluster, pods: Pods) -> str:
    try:
        async with asyncio.timeout(_LAST_LOOK_SECONDS):
            now, _ = await look(cluster, pods)
    except (VoiceFlowError, TimeoutError) as error:
        return f"unknown, since the cluster cannot be looked at: {error}"
    return in_short(now)
