"""Writes a step into the cluster: never over what somebody else has changed meanwhile.

What the step was planned from is read anew and compared. Where the object has changed in other
respects, as a Deployment does with every pod that becomes ready, its new state is written on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar

from voiceflow.errors import Conflict, Unavailable
from voiceflow.rollout.cluster import Cluster, Seen
from voiceflow.rollout.state import Autoscaler, Selection, Situation
from voiceflow.rollout.steps import Forget, HoldSize, ReleaseSize, Resize, Select, Step

WritingStep = HoldSize | ReleaseSize | Resize | Select | Forget

_ATTEMPTS: Final = 5
_FIRST_PAUSE_SECONDS: Final = 0.2

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class _Change(Generic[_Value]):
    """How one step changes one object.

    Attributes:
        read: Gives its state.
        decide: Gives what to write; None: it is so already. Raises `Conflict`.
        write: Writes it.
    """

    read: Callable[[], Awaitable[Seen[_Value]]]
    decide: Callable[[_Value], _Value | None]
    write: Callable[[_Value, str], Awaitable[None]]

    async def make(self) -> None:
        """Makes it, unless it is made; a refusal or a lost reply is looked into and tried again.

        Raises:
            Conflict: Somebody has changed what the step was planned from.
            VoiceFlowError: The cluster refuses, or is away.
        """
        for attempt in range(_ATTEMPTS):
            try:
                seen = await self.read()
                wanted = self.decide(seen.value)
                if wanted is not None:
                    await self.write(wanted, seen.resource_version)
            except (_Overtaken, Unavailable) as error:
                if attempt == _ATTEMPTS - 1:
                    raise error.conflict if isinstance(error, _Overtaken) else error from None
                await asyncio.sleep(_FIRST_PAUSE_SECONDS * 2**attempt)
            else:
                return


class _Overtaken(Exception):
    """The API server has refused the write: the object has changed since it was read."""

    def __init__(self, conflict: Conflict) -> None:
        super().__init__(conflict.message)
        self.conflict = conflict


async def write(
    step: WritingStep, cluster: Cluster, began: Situation, *, dry_run: bool = False
) -> None:
    """Takes a step that changes an object; one that was taken already changes nothing.

    Args:
        step: The step.
        cluster: Where.
        began: What the plan was made from.
        dry_run: Let the API server check it, and keep nothing.

    Raises:
        Conflict: REPLICAS_CHANGED, AUTOSCALER_CHANGED, SELECTION_CHANGED: somebody has changed
            what the step was planned from. CLUSTER_OBJECT_CHANGED: it changes too often.
        VoiceFlowError: The cluster refuses, or is away.
    """
    if isinstance(step, Resize):
        name = began.side(step.colour).deployment
        await _Change(
            lambda: cluster.replicas(name),
            lambda now: _resized(now, step, name),
            lambda to, at: _telling(cluster.set_replicas(name, to, at, dry_run=dry_run)),
        ).make()
    elif isinstance(step, Select | Forget):
        await _Change(
            cluster.selection,
            lambda now: _selected(now, step) if isinstance(step, Select) else _forgot(now, step),
            lambda to, at: _telling(cluster.select(to, at, dry_run=dry_run)),
        ).make()
    else:
        await _Change(
            lambda: cluster.autoscaler(step.autoscaler),
            lambda now: _held(now, step) if isinstance(step, HoldSize) else _released(now, step),
            lambda to, at: _telling(cluster.set_autoscaler(to, at, dry_run=dry_run)),
        ).make()


async def try_out(steps: Iterable[Step], cluster: Cluster, began: Situation) -> list[Step]:
    """Lets the API server check what would change, from where it stands, and keeps nothing.

    Of several changes of one object the first alone can be checked: the others begin where it ends.

    Returns:
        The steps that were checked.

    Raises:
        VoiceFlowError: As `write`.
    """
    checked: dict[str, Step] = {}
    for step in steps:
        if isinstance(step, WritingStep) and _object(step) not in checked:
            await write(step, cluster, began, dry_run=True)
            checked[_object(step)] = step
    return list(checked.values())


def _object(step: WritingStep) -> str:
    if isinstance(step, Resize):
        return f"Deployment {step.colour}"
    if isinstance(step, Select | Forget):
        return f"Service {step.service}"
    return f"HorizontalPodAutoscaler {step.autoscaler}"


async def _telling(writing: Awaitable[None]) -> None:
    """Tells a refusal by the API server from one by the rules below."""
    try:
        await writing
    except Conflict as error:
        raise _Overtaken(error) from error


def _resized(now: int, step: Resize, name: str) -> int | None:
    done = now == step.to
    if step.autoscaled:
        done = now >= step.to if step.to > step.before else now <= step.to
    if done:
        return None
    if now != step.before and not step.autoscaled:
        raise Conflict(
            f"somebody has scaled {name} to {now} pods, since it was seen with {step.before}",
            reason="REPLICAS_CHANGED",
        )
    return step.to


def _held(now: Autoscaler, step: HoldSize) -> Autoscaler | None:
    if now.minimum >= step.to:
        return None
    _check_minimum(now, step.before)
    return replace(now, minimum=step.to, minimum_before=now.standing)


def _released(now: Autoscaler, step: ReleaseSize) -> Autoscaler | None:
    if now.minimum_before is None:
        return None
    _check_minimum(now, step.before)
    return replace(now, minimum=step.to, minimum_before=None)


def _check_minimum(now: Autoscaler, expected: int) -> None:
    if now.minimum != expected:
        raise Conflict(
            f"somebody has set minReplicas of {now.name} to {now.minimum}; it was {expected}",
            reason="AUTOSCALER_CHANGED",
        )


def _selected(now: Selection, step: Select) -> Selection | None:
    if now.colour is step.to:
        return None
    if now.colour is not step.before:
        raise Conflict(
            f"somebody has pointed Service {step.service} to {now.words}",
            reason="SELECTION_CHANGED",
        )
    return replace(now, colour=step.to, left=None if step.to is None else step.to.other)


def _forgot(now: Selection, step: Forget) -> Selection | None:
    if now.left is None:
        return None
    if now.colour is not step.colour.other:
        raise Conflict(
            f"somebody has pointed Service {step.service} to {now.words}",
            reason="SELECTION_CHANGED",
        )
    return replace(now, left=None)
