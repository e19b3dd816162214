"""Gauges say what the process is doing, while it does it, to whichever thread asks."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field

from tests.fakes.metrics import told
from tests.unit.inference.serving.pods import pin
from voiceflow.artifact import LatencyMode
from voiceflow.catalog.channels import Role
from voiceflow.catalog.pods import GenerationState
from voiceflow_inference.admission import Admission, AdmissionLimits, StreamKind
from voiceflow_inference.batcher import EngineLoad
from voiceflow_inference.gauges import Gauges
from voiceflow_inference.observing import Observing, Tracing
from voiceflow_inference.serving.state import GenerationView, Snapshot

VERSION = pin("1.0.0").version
LIMITS = AdmissionLimits(
    streams=12,
    streams_per_principal=12,
    files=1,
    files_per_principal=1,
    lag_seconds=1.0,
    real_time_factor=1.0,
)


@dataclass
class Pod:
    """What gauges look at."""

    snapshot: Snapshot
    load: EngineLoad = field(default_factory=lambda: EngineLoad(3, 0.25, 0.5, 0.0))

    def gauges(self, observing: Observing) -> Gauges:
        """Of this pod."""
        admission = Admission(LIMITS, lambda: self.load)
        return Gauges(lambda: self.snapshot, lambda: self.load, admission, observing)


def view(number: int, state: GenerationState, version: str = "1.0.0") -> GenerationView:
    """A generation."""
    return GenerationView(number, pin(version), state, Role.PRIMARY)


async def test_gauges_say_what_is_so_while_they_are_kept() -> None:
    """Every one has a value while the process serves, and none afterwards."""
    active = view(1, GenerationState.ACTIVE)
    snapshot = Snapshot(0.0, generations=[active], desired_sequence=8, serving_sequence=7)
    observing = Observing(Tracing(on=True, pod="", share=0.0, objective_seconds=1.0))
    keeping = asyncio.create_task(Pod(snapshot).gauges(observing).run())
    with observing.call(StreamKind.STREAM, ()) as observer:
        observer.begun("s", LatencyMode.DENSITY, VERSION, 1)
        await asyncio.sleep(0)
        said = {
            name: told(f"voiceflow.{name}")
            for name in (
                "streams",
                "capacity.streams",
                "queue.hops",
                "queue.age",
                "engine.real_time_factor",
                "serving.sequence",
                "desired.sequence",
            )
        }
        states = told("voiceflow.generation.state", version=VERSION, state="active", role="primary")
        live = told("voiceflow.streams", version=VERSION, kind="stream")
    assert said == {
        "streams": [1],
        "capacity.streams": [12],
        "queue.hops": [3],
        "queue.age": [0.25],
        "engine.real_time_factor": [0.5],
        "serving.sequence": [7],
        "desired.sequence": [8],
    }
    assert states == live == [1]
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    assert told("voiceflow.streams") == told("voiceflow.queue.hops") == []


async def test_gauges_follow() -> None:
    """A version that is gone leaves nothing behind, and threads that ask get an answer at once."""
    pod = Pod(Snapshot(0.0, generations=[view(1, GenerationState.ACTIVE)]))
    observing = Observing(Tracing(on=True, pod="", share=0.0, objective_seconds=1.0))
    keeping = asyncio.create_task(pod.gauges(observing).run())
    await asyncio.sleep(0)
    assert told("voiceflow.generation.state", version=VERSION) == [1]
    pod.snapshot = Snapshot(0.0, generations=[view(2, GenerationState.WARMING, "2.0.0")])
    async with asyncio.timeout(30):
        while told("voiceflow.generation.state", version=VERSION):  # noqa: ASYNC110 no event
            await asyncio.sleep(0.01)
    answers: list[list[float]] = []
    asking = threading.Thread(
        target=lambda: answers.append(told("voiceflow.generation.state", state="warming"))
    )
    asking.start()
    asking.join()  # while the event loop waits
    assert answers == [[1]]
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
