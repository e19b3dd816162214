"""A registry in the hands of an attacker, and pods that ask it.

In the manner of the tests of python-tuf: the registry is honest but for one attack. Every test of
an attack also shows that the same registry without it is accepted: by another pod at the same time,
and by the attacked ones once it is over. Pods are attacked when they start, and while they run.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.simulated_registry import (
    MODEL,
    Answer,
    Attack,
    Pod,
    Running,
    SimulatedRegistry,
)
from voiceflow.errors import VoiceFlowError

OLD, NEW = "1.0.0", "2.0.0"
MONTH = timedelta(days=30)


@dataclass
class World:
    """A registry, and the pods that ask it.

    Attributes:
        registry: Has promoted the old version, and then the new one.
        address: Of the registry.
        warm: A pod that serves the old version.
        disk: Where pods have their folders.
    """

    registry: SimulatedRegistry
    address: str
    warm: Pod
    disk: Path

    def pod(self, **more: Any) -> Pod:
        """A pod that has never started."""
        fresh = self.disk / str(len(list(self.disk.iterdir())))
        fresh.mkdir()
        return Pod(fresh, self.address, **more)

    async def check_refused(self, attack: Attack, reason: str) -> None:
        """Checks that an attack moves nobody, and that without it everybody moves."""
        assert await self.pod().start() == NEW
        cold = self.pod()
        async with self.running(attack) as (running, over):
            await check_starts_not(cold, reason)
            await check_stays(self.warm, reason)
            await check_goes_on(running, reason)
            over.close()
            await check_moves(running)
        for pod in (cold, self.warm):
            assert await pod.start() == NEW
            assert pod.alarms.raised == {}

    @asynccontextmanager
    async def running(self, attack: Attack) -> AsyncIterator[tuple[Running, ExitStack]]:
        """A pod that serves the old version when an attack begins, and what ends the attack.

        It has not been told of the new one yet.
        """
        with ExitStack() as before, ExitStack() as over:
            before.enter_context(self.registry.attacked(lambda honest: honest.history.pop()))
            async with self.pod().running() as running:
                assert running.serves == OLD
                before.close()
                over.enter_context(self.registry.attacked(attack))
                yield running, over


async def check_goes_on(running: Running, reason: str, serving: str = OLD) -> None:
    """Checks that a pod that runs goes on with what it serves, and sounds an alarm."""
    await running.until(lambda: reason in running.reasons.values())
    assert running.serves == serving


async def check_moves(running: Running, serving: str = NEW) -> None:
    """Checks that it moves, and is all right."""
    await running.until(lambda: running.serves == serving and not running.reasons)


async def check_starts_not(pod: Pod, reason: str) -> None:
    """Checks that a pod that holds nothing does not start, and keeps nothing that it could load."""
    with pytest.raises(VoiceFlowError) as caught:
        await pod.start()
    assert caught.value.reason == reason, caught.value
    assert [path.name for path in pod.fetched() if path.name == "manifest.json"] == []


async def check_stays(pod: Pod, reason: str, serving: str = OLD) -> None:
    """Checks that a pod goes on with what it held, and sounds an alarm."""
    held = pod.remembers().held
    assert await pod.start() == serving
    assert pod.alarms.raised["registry"].reason == reason, pod.alarms.raised
    assert pod.remembers().held == held


def reasons(pod: Pod) -> dict[str, str]:
    """The alarms that stand, by subject."""
    return {subject: alarm.reason for subject, alarm in pod.alarms.raised.items()}


def answering(answer: Any) -> Answer:
    """A method that always answers this."""

    async def method(_request: Any, _context: Any) -> Any:
        return answer

    return method


def name_of(version: str) -> str:
    """Of a version."""
    return f"models/{MODEL}/versions/{version}"
