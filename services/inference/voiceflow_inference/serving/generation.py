"""One loaded version: its model, its engine, the memory of its streams, and what it has done."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from voiceflow.artifact import LatencyMode, Manifest
from voiceflow.catalog.channels import VersionPin
from voiceflow.pipeline.model import BoundModel
from voiceflow_inference.batcher import Batcher
from voiceflow_inference.priority import run_behind
from voiceflow_inference.serving.memory import give_back
from voiceflow_inference.serving.tally import Tally
from voiceflow_inference.serving.warm import HopCost


@dataclass(eq=False)
class Generation:
    """A version that is loaded and warm.

    Attributes:
        number: Of this process, from 1.
        pin: The version, with the digest of its manifest.
        manifest: What is said of it.
        model: To be run beside its streams, by any thread; gone when it is closed.
        batcher: Its engine, which runs.
        costs: What a hop of each latency mode costs here.
        stream_costs: Places that a live stream of each latency mode takes.
        tally: What it has done.
    """

    number: int
    pin: VersionPin
    manifest: Manifest
    model: BoundModel
    batcher: Batcher
    costs: Mapping[LatencyMode, HopCost]
    stream_costs: Mapping[LatencyMode, float]
    tally: Tally

    @cached_property
    def name(self) -> str:
        """`models/{model}/versions/{semver}`."""
        return self.manifest.resource_name

    async def close(self) -> None:
        """Stops the engine and gives model and memory up; a second call does nothing."""
        await self.batcher.stop()
        with suppress(AttributeError):
            del self.model
        await run_behind(give_back)
