"""Gauges say what the process is doing, while it does it, to whichever thread asks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from tests.fakes.metrics import counted, histogram_count, told
from tests.unit.inference.serving.pods import pin
from voiceflow.artifact import LatencyMode
from voiceflow.catalog.channels import Canary, Role, Rollout
from voiceflow.catalog.names import ChannelName
from voiceflow.catalog.pods import GenerationState
from voiceflow_inference import gauges
from voiceflow_inference.admission import Admission, AdmissionLimits, StreamKind
from voiceflow_inference.batcher import EngineLoad
from voiceflow_inference.gauges import Gauges
from voiceflow_inference.observing import Observing, Tracing
from voiceflow_inference.serving.state import GenerationView, Snapshot, Wanted

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

    def gauges(self, observing: Observing, channel: ChannelName | None = None) -> Gauges:
        """Of this pod."""
        admission = Admission(LIMITS, lambda: self.load)
        return Gauges(lambda: self.snapshot, lambda: self.load, admission, observing, channel)


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


@asynccontextmanager
async def kept(pod: Pod, channel: ChannelName | None = None) -> AsyncIterator[None]:
    """The gauges of a pod are told while the block runs."""
    observing = Observing(Tracing(on=True, pod="", share=0.0, objective_seconds=1.0))
    keeping = asyncio.create_task(pod.gauges(observing, channel).run())
    await asyncio.sleep(0)
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def test_a_version_that_was_replaced_drains_only_while_it_has_streams() -> None:
    """After that it is kept, to be gone back to; and it is no primary in either case."""
    idle = replace(view(1, GenerationState.DRAINING), left_seconds=0.0)
    arriving, busy = replace(idle, arriving=1), replace(idle, streams=1)
    for one, state in ((idle, "kept"), (busy, "draining"), (arriving, "draining")):
        active = replace(view(2, GenerationState.ACTIVE, "2.0.0"), assigned=True)
        async with kept(Pod(Snapshot(0.0, generations=[one, active]))):
            of_old = {"version": VERSION, "state": state, "role": "none"}
            assert told("voiceflow.generation.state", **of_old) == [1]
            assert told("voiceflow.generation.state", role="primary") == [1]


async def test_versions_are_told_with_the_promotion_that_they_serve_by() -> None:
    """Each with its role; not those that are only loaded, and of a folder none."""
    rollout = Rollout(primary=pin("1.0.0"), canary=Canary(pin=pin("2.0.0"), percentage=5.0))
    generations = [view(3, GenerationState.ACTIVE, "3.0.0")]
    pod = Pod(Snapshot(0.0, in_force=Wanted(7, rollout), generations=generations))
    for channel, times in ((ChannelName("meeting", "stable"), 1), (None, 0)):
        async with kept(pod, channel):
            for version, role in (("1.0.0", "primary"), ("2.0.0", "canary")):
                labels = {"model": "meeting", "channel": "stable", "sequence": "7"}
                labels |= {"version": pin(version).version, "role": role}
                assert told("voiceflow.promotion.info", **labels) == [1] * times
            assert len(told("voiceflow.promotion.info")) == 2 * times


async def test_the_event_loop_tells_what_it_computes_and_how_late_it_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each time that the gauges are read: what is due waits for what the loop does before it."""
    monkeypatch.setattr(gauges, "_FRESH_SECONDS", 0.0)
    busy_seconds, lags = counted("voiceflow.loop.busy"), histogram_count("voiceflow.loop.lag")
    async with kept(Pod(Snapshot(0.0))), asyncio.timeout(30):
        while histogram_count("voiceflow.loop.lag") < lags + 3:  # noqa: ASYNC110 no event
            await asyncio.sleep(0)
    assert counted("voiceflow.loop.busy") > busy_seconds


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
