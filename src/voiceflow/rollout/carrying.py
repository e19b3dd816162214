"""Takes the steps of a plan, one after another, and waits where they wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Protocol

from voiceflow.errors import Unavailable, VoiceFlowError
from voiceflow.rollout.awaited import not_empty, not_serving
from voiceflow.rollout.cluster import Cluster, Pods
from voiceflow.rollout.state import Colour, Pod, Side, Situation
from voiceflow.rollout.steps import (
    AwaitEmpty,
    AwaitServing,
    Drain,
    Resize,
    Settle,
    Step,
    TakeIntoService,
)
from voiceflow.rollout.writing import write

_LOOK_EVERY_SECONDS = 2.0
_ASKED_AT_ONCE: Final = 8


class Teller(Protocol):
    """Is told how it goes."""

    def begins(self, number: int, step: Step) -> None:
        """A step begins; numbers begin with 1."""

    def waits(self, reasons: Sequence[str]) -> None:
        """What is waited for has changed."""

    def done(self, number: int, step: Step) -> None:
        """A step is done."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait at most.

    Attributes:
        serving_seconds: For pods that are to serve, or to go.
        empty_seconds: For live streams to end; None: for ever.
    """

    serving_seconds: float
    empty_seconds: float | None


async def look(cluster: Cluster, pods: Pods) -> tuple[Situation, list[VoiceFlowError]]:
    """What stands, with what every pod says of itself, and why some do not."""
    now = await cluster.look()
    blue, why_blue = await asked(now.blue, pods)
    green, why_green = await asked(now.green, pods)
    return replace(now, blue=blue, green=green), why_blue + why_green


async def asked(side: Side, pods: Pods) -> tuple[Side, list[VoiceFlowError]]:
    """A side whose pods that can answer were asked, and why some did not."""
    errors: list[VoiceFlowError] = []
    places = asyncio.Semaphore(_ASKED_AT_ONCE)

    async def ask(pod: Pod) -> Pod:
        if not pod.started:
            return pod
        async with places:
            try:
                return replace(pod, serving=await pods.ask(pod.name))
            except VoiceFlowError as error:
                if not pod.ending:
                    errors.append(error)
                return replace(pod, silence=f"{error.message} ({error.reason})")

    answers = await asyncio.gather(*(ask(pod) for pod in side.pods))
    return replace(side, pods=tuple(answers)), errors


class Carrier:
    """Takes steps.

    Args:
        cluster: Where.
        pods: Those in it.
        began: What the plan was made from.
        patience: How long to wait.
        teller: Is told.
    """

    def __init__(
        self, cluster: Cluster, pods: Pods, began: Situation, patience: Patience, teller: Teller
    ) -> None:
        self._cluster = cluster
        self._pods = pods
        self._began = began
        self._patience = patience
        self._teller = teller
        self._drained: set[tuple[str, datetime | None]] = set()
        self._deadline_seconds: float | None = None

    async def carry_out(self, steps: Iterable[Step]) -> None:
        """Takes all of them.

        Raises:
            VoiceFlowError: One could not be taken; those before it were, and those after it were
                not begun.
        """
        for number, step in enumerate(steps, start=1):
            self._teller.begins(number, step)
            await self._take(step)
            self._teller.done(number, step)

    async def _take(self, step: Step) -> None:
        if isinstance(step, AwaitServing):
            await self._until_serving(step)
        elif isinstance(step, Settle):
            await asyncio.sleep(step.seconds)
        elif isinstance(step, Drain):
            self._deadline_seconds = step.deadline_seconds
            await self._each(step.colour, self._drain)
        elif isinstance(step, AwaitEmpty):
            await self._until_empty(step)
        elif isinstance(step, TakeIntoService):
            await self._each(step.colour, self._undrain)
        else:
            await write(step, self._cluster, self._began)
            if isinstance(step, Resize) and step.to < step.before:
                await self._until_gone(step)

    async def _until_serving(self, step: AwaitServing) -> None:
        async def reasons() -> list[str]:
            return not_serving(await self._asked(step.colour), step.pods)

        await self._wait(reasons, self._patience.serving_seconds, f"{step.colour} does not serve")

    async def _until_gone(self, step: Resize) -> None:
        async def reasons() -> list[str]:
            left = len((await self._cluster.look()).side(step.colour).staying)
            return [] if left <= step.to else [f"{left} pods of {step.colour} are there"]

        await self._wait(reasons, self._patience.serving_seconds, f"{step.colour} stays as it is")

    async def _until_empty(self, step: AwaitEmpty) -> None:
        async def reasons() -> list[str]:
            side = await self._asked(step.colour)
            for pod in side.staying:
                if pod.serving is not None and not pod.serving.draining:
                    await self._drain_newcomer(pod)
            return not_empty(side)

        await self._wait(reasons, self._patience.empty_seconds, f"{step.colour} is not empty")

    async def _drain_newcomer(self, pod: Pod) -> None:
        """One that came, or began anew, after the others were told to drain."""
        if pod.serving is not None and (pod.name, pod.serving.started_at) in self._drained:
            raise VoiceFlowError(f"{pod.name} takes streams again", reason="DRAIN_UNDONE")
        await self._drain(pod)

    async def _asked(self, colour: Colour) -> Side:
        side, _ = await asked((await self._cluster.look()).side(colour), self._pods)
        return side

    async def _drain(self, pod: Pod) -> None:
        said = pod.serving or await self._pods.ask(pod.name)
        await self._pods.set_draining(
            pod.name, draining=True, deadline_seconds=self._deadline_seconds
        )
        self._drained.add((pod.name, said.started_at))

    async def _undrain(self, pod: Pod) -> None:
        await self._pods.set_draining(pod.name, draining=False)

    async def _each(self, colour: Colour, act: Callable[[Pod], Awaitable[None]]) -> None:
        """Does it to every pod that can answer; one that has gone meanwhile needs nothing."""
        places = asyncio.Semaphore(_ASKED_AT_ONCE)
        failed: dict[str, VoiceFlowError] = {}

        async def one(pod: Pod) -> None:
            async with places:
                try:
                    await act(pod)
                except VoiceFlowError as error:
                    failed[pod.name] = error

        side = (await self._cluster.look()).side(colour)
        await asyncio.gather(*(one(pod) for pod in side.staying if pod.started))
        if failed:
            there = {pod.name for pod in (await self._cluster.look()).side(colour).staying}
            for name, error in failed.items():
                if name in there:
                    raise error

    async def _wait(
        self, look: Callable[[], Awaitable[list[str]]], seconds: float | None, what: str
    ) -> None:
        """Until nothing stands in the way; a cluster that is away is waited for like all else."""
        told: list[str] = []
        try:
            async with asyncio.timeout(seconds):
                while True:
                    try:
                        reasons = await look()
                    except Unavailable as error:
                        reasons = [f"{error.message} ({error.reason})"]
                    if not reasons:
                        return
                    if reasons != told:
                        self._teller.waits(reasons)
                        told = reasons
                    await asyncio.sleep(_LOOK_EVERY_SECONDS)
        except TimeoutError:
            raise VoiceFlowError(
                f"{what} after {seconds:g} s: {'; '.join(told)}", reason="DEADLINE_EXCEEDED"
            ) from None
