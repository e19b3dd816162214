"""A registry is asked for as much of a history as tells of roles, and nobody waits for that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any, cast

import pytest

from tests.unit.inference.serving.test_since import CHANNEL, HISTORY, since
from voiceflow.catalog.channels import Promotion, Role
from voiceflow.client.registry import RegistryClient
from voiceflow.errors import Unavailable
from voiceflow_inference.serving import download
from voiceflow_inference.serving.belief import Belief
from voiceflow_inference.serving.download import Steps, newest_steps


class Registry:
    """Tells of promotions, the newest first; then it does something else.

    Attributes:
        told: How many it has told.
    """

    def __init__(self, newest: int, oldest: int, then: Exception | None = None) -> None:
        self.told = 0
        self._history = HISTORY[oldest - 1 : newest][::-1]
        self._then = then

    async def history(self, channel: str) -> AsyncGenerator[Promotion, None]:
        """See `RegistryClient`."""
        assert channel == CHANNEL
        for promotion in self._history:
            self.told += 1
            yield promotion
        if isinstance(self._then, TimeoutError):
            await asyncio.Event().wait()
        if self._then is not None:
            raise self._then


class Newest:
    """Believes the newest of so many promotions; a part of a `Belief`."""

    channel = CHANNEL

    def __init__(self, needed: int) -> None:
        self._needed = needed

    def suffice(self, steps: Sequence[Promotion]) -> bool:
        """See `Belief`."""
        return len(steps) >= self._needed


async def steps_of(registry: Registry, needed: int = 1) -> Steps:
    """What a pod learns."""
    belief: Any = Newest(needed)
    return await newest_steps(cast("RegistryClient", registry), cast("Belief", belief), 60.0)


async def test_the_history_is_read_until_every_role_is_clear() -> None:
    """What is believed is no more for that, and nothing older is asked for."""
    registry = Registry(5, 1)
    steps = await steps_of(registry)
    assert [one.sequence for one in steps.promotions] == [5]
    assert steps.since == {Role.PRIMARY: since(3), Role.CANARY: since(4)}
    assert registry.told == 4


async def test_what_is_believed_may_say_it_all() -> None:
    """Steps that a pod has missed are a part of the history."""
    registry = Registry(5, 1)
    steps = await steps_of(registry, 4)
    assert [one.sequence for one in steps.promotions] == [2, 3, 4, 5]
    assert steps.since == {Role.PRIMARY: since(3), Role.CANARY: since(4)}
    assert registry.told == 4


@pytest.mark.parametrize("then", [Unavailable("away", reason="UNAVAILABLE"), TimeoutError(), None])
async def test_a_registry_that_tells_no_more_holds_nobody_up(
    then: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails, it does not answer, or there is no more: a pod begins with what it was told."""
    monkeypatch.setattr(download, "_LOOK_BACK_SECONDS", 0.01)
    steps = await steps_of(Registry(5, 4, then))
    assert [one.sequence for one in steps.promotions] == [5]
    assert steps.since == {
        Role.PRIMARY: since(4, or_earlier=True),
        Role.CANARY: since(4, or_earlier=True),
    }


async def test_no_more_is_read_than_one_answer_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a version has its role."""
    monkeypatch.setattr(download, "LOOK_BACK", 2)
    registry = Registry(5, 1)
    assert (await steps_of(registry)).since[Role.CANARY] == since(4, or_earlier=True)
    assert registry.told == 2
