"""The real service inside an event loop, following a rollout of models that are loaded already."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.fakes.service import Loaded, Only, in_process
from voiceflow.catalog.channels import RevertRules, Role, Rollout, VersionPin
from voiceflow.catalog.pods import Revert
from voiceflow.pipeline.model import BoundModel
from voiceflow_inference.app import App, Origin, build, secure
from voiceflow_inference.serving.alarms import Alarms
from voiceflow_inference.serving.assignment import role_of
from voiceflow_inference.serving.state import Wanted

PATIENCE_SECONDS = 60.0


class Following(Only):
    """A `Source` that wants what it is told to."""

    def __init__(self, first: Wanted) -> None:
        self._told: asyncio.Queue[Wanted] = asyncio.Queue()
        self.want(first)

    def want(self, wanted: Wanted) -> None:
        """From now on."""
        self._told.put_nowait(wanted)

    async def wanted(self) -> AsyncGenerator[Wanted, None]:
        """What it is told."""
        while True:
            yield await self._told.get()


@dataclass(frozen=True)
class Pod:
    """A service that runs."""

    app: App
    address: str
    source: Following

    async def serves(self, role: Role, pin: VersionPin) -> None:
        """Waits until a version has a role."""
        await self.until(lambda: self.roles().get(role) == pin.version)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Waits for what must come."""
        while not holds():  # noqa: ASYNC110 the manager tells nobody here
            await asyncio.sleep(0.01)

    def reverts(self) -> tuple[Revert, ...]:
        """What was left so far."""
        return tuple(self.app.manager.snapshot().reverts)

    def roles(self) -> dict[Role, str]:
        """The versions that have a role now."""
        views = self.app.manager.snapshot().assigned()
        return {role: view.pin.version for role, view in views.items()}


def pin(model: BoundModel) -> VersionPin:
    """Of a model without a registry."""
    return VersionPin(version=model.manifest.resource_name)


@asynccontextmanager
async def serving(
    models: Sequence[BoundModel],
    rollout: Rollout,
    rules: RevertRules,
    *,
    patience_seconds: float = PATIENCE_SECONDS,
    **settings: Any,
) -> AsyncIterator[Pod]:
    """A pod that follows a rollout, as soon as every role has its version.

    Args:
        models: Those that it may have to load.
        rollout: That it is to serve first.
        rules: When it leaves a version.
        patience_seconds: How long the block may take.
        settings: Of the service, other than the defaults of tests.
    """
    # Streams that come faster than anybody speaks are no overload here.
    admit_all = {"admission_lag_seconds": 1e6, "admission_real_time_factor": 1.0}
    room = {"streams": 1000, "streams_per_principal": 1000}
    complete = in_process(**admit_all | room | settings)
    source = Following(Wanted(1, rollout, rules))
    loader = partial(Loaded, {pin(model): model for model in models})
    app = await build(complete, secure(complete), Origin(source, Alarms()), make_loader=loader)
    pod = Pod(app, await app.start(), source)
    try:
        async with asyncio.timeout(patience_seconds):
            for role, wanted in rollout.pins().items():
                await pod.serves(role, wanted)
            yield pod
    finally:
        await app.stop()


def sessions(rollout: Rollout, role: Role) -> Iterator[str]:
    """Names of streams that are drawn for a role."""
    names = (f"stream-{number}" for number in itertools.count())
    return (name for name in names if role_of(name, rollout) is role)
