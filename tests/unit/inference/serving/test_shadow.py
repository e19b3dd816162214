"""A shadow hears what its stream hears, says how far it differs, and is the first to go."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import numpy as np
import pytest

from tests.fakes.metrics import counted
from tests.fakes.models import Spoken, tones, write_stream_package
from voiceflow.artifact import LatencyMode
from voiceflow.catalog.channels import Role, VersionPin
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow.pipeline.model import BoundModel, FloatArray, Frames, State
from voiceflow.pipeline.offline import diarize
from voiceflow.pipeline.turns import HopResult, Region
from voiceflow_inference.backend import SlotBackend
from voiceflow_inference.batcher import Batcher
from voiceflow_inference.serving.generation import Generation
from voiceflow_inference.serving.shadow import Shadow
from voiceflow_inference.serving.tally import Tally

HOP = 1280
TALK = tones(Spoken((2,), 4), Spoken((9,), 4), Spoken((), 1), Spoken((2,), 3))
NAME = "models/tones/versions/1.0.0"


class Planted:
    """A model that can be held, fails when told, and may hear nobody."""

    def __init__(self, model: BoundModel) -> None:
        self._model = model
        self.manifest = model.manifest
        self.state_shapes: Mapping[str, tuple[int, ...]] = model.state_shapes
        self.go = threading.Event()
        self.go.set()
        self.held = threading.Event()
        self.fails = False
        self.deaf = False

    def run(self, audio: FloatArray, state: State) -> tuple[Frames, dict[str, FloatArray]]:
        """As the model, but for what is planted."""
        self.held.set()
        self.go.wait()
        if self.fails:
            raise RuntimeError("planted")
        return self._model.run(np.zeros_like(audio) if self.deaf else audio, state)

    def terminate(self) -> None:
        """Ends the wait."""
        self.go.set()


@pytest.fixture(scope="module")
def tone_model(tmp_path_factory: pytest.TempPathFactory) -> BoundModel:
    """The model that hears tones."""
    return bind(load_package(write_stream_package(tmp_path_factory.mktemp("model"))))


@pytest.fixture
def model(tone_model: BoundModel) -> Planted:
    """The shadow's."""
    return Planted(tone_model)


@pytest.fixture
async def generation(model: Planted) -> AsyncIterator[Generation]:
    """The shadow's, with room for two streams."""
    tally = Tally()
    backend = SlotBackend(model, 2)
    batcher = Batcher(backend, batch_limit=4, on_batch=tally.add_batch)
    batcher.start()
    pin = VersionPin(version=NAME)
    generation = Generation(7, pin, model.manifest, model, batcher, {}, {}, tally)
    yield generation
    model.go.set()
    await batcher.stop()


@pytest.fixture(scope="module")
def results(tone_model: BoundModel) -> list[HopResult]:
    """What the stream's client is told, hop by hop."""
    return diarize(tone_model, TALK, mode=LatencyMode.AGENT)


def shadow(generation: Generation, *, lag_seconds: float = 1.0, start_samples: int = 0) -> Shadow:
    """A shadow of a stream in agent mode."""
    return Shadow(
        generation,
        LatencyMode.AGENT,
        lag_seconds=lag_seconds,
        minimum_speakers=0,
        maximum_speakers=20,
        horizon_seconds=2.0,
        start_samples=start_samples,
    )


def hops() -> list[FloatArray]:
    """The talk, cut as the stream is."""
    return [TALK[start : start + HOP] for start in range(0, len(TALK) - HOP + 1, HOP)]


async def until(holds: Callable[[], bool]) -> None:
    """Waits for what must come."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 an engine thread tells nobody here
            await asyncio.sleep(0)


async def live(shadow: Shadow, generation: Generation, results: list[HopResult]) -> None:
    """A whole stream at the pace of the shadow."""
    for number, (hop, result) in enumerate(zip(hops(), results, strict=False), 1):
        shadow.hear(hop)
        shadow.told(result)
        await until(lambda done=number: generation.tally.counts.hops == done)  # type: ignore[misc]


@pytest.fixture
def listening(
    generation: Generation, results: list[HopResult]
) -> Callable[[Shadow], Awaitable[None]]:
    """Lets a shadow hear the whole talk."""
    return lambda heard: live(heard, generation, results)


async def test_a_version_that_hears_the_same_does_not_differ(
    generation: Generation, listening: Callable[[Shadow], Awaitable[None]]
) -> None:
    """All that became final is compared, and what the shadow did counts as its own."""
    compared = counted("voiceflow.shadow.frames", version=NAME)
    one = shadow(generation)
    await listening(one)
    one.close()
    told = generation.tally.outcomes(NAME, Role.SHADOW)
    assert told.compared_frames > 200
    assert told.differing_frames == 0
    assert (told.streams, told.failed_streams, told.speakers) == (1, 0, 2)
    assert told.speech_seconds > 8
    assert counted("voiceflow.shadow.frames", version=NAME) - compared == told.compared_frames


async def test_a_version_that_hears_others_differs(
    generation: Generation, model: Planted, listening: Callable[[Shadow], Awaitable[None]]
) -> None:
    """Told as outcomes and as a metric."""
    differing = counted("voiceflow.shadow.disagreement", version=NAME)
    model.deaf = True
    one = shadow(generation)
    await listening(one)
    told = generation.tally.outcomes(NAME, Role.SHADOW)
    assert told.differing_frames > 0.8 * told.compared_frames > 160
    grown = counted("voiceflow.shadow.disagreement", version=NAME) - differing
    assert grown == told.differing_frames
    one.close()


async def test_a_stream_that_began_elsewhere_is_compared_at_its_place(
    generation: Generation, results: list[HopResult]
) -> None:
    """A resumed one: its first hop lies where it went on."""
    start = 40 * HOP
    one = shadow(generation, start_samples=start)
    for number, hop in enumerate(hops(), 1):
        one.hear(hop)
        await until(lambda done=number: generation.tally.counts.hops == done)  # type: ignore[misc]
    one.told(HopResult((Region(0, start, ()),), (), (), (), 0, 0))
    assert generation.tally.counts.compared_frames == 0
    for result in results:
        moved = [
            Region(r.start_samples + start, r.end_samples + start, r.speakers)
            for r in result.final_regions
        ]
        one.told(HopResult(tuple(moved), (), (), (), 0, 0))
    assert generation.tally.counts.compared_frames > 200
    assert generation.tally.counts.differing_frames == 0
    one.close()


async def test_what_falls_behind_is_dropped_and_its_place_is_free(
    generation: Generation, model: Planted
) -> None:
    """A second of audio behind: it hears no more, and the stream notices nothing."""
    shed = counted("voiceflow.shadow.shed", version=NAME)
    model.go.clear()
    one = shadow(generation)
    states = []
    for hop in hops()[:13]:
        one.hear(hop)
        await asyncio.sleep(0)
        await asyncio.to_thread(model.held.wait)
        states.append(one.dropped)
    assert states == [False] * 12 + [True]
    assert counted("voiceflow.shadow.shed", version=NAME) - shed == 1
    for hop, result in zip(hops(), [HopResult((), (), (), (), 0, 0)] * 100, strict=False):
        one.hear(hop)
        one.told(result)
    model.go.set()
    await until(lambda: generation.tally.counts.hops == 1)
    others = [shadow(generation) for _ in range(2)]
    assert not any(other.dropped for other in others)
    for other in others:
        other.close()


async def test_a_failing_model_ends_the_shadow_alone(
    generation: Generation, model: Planted, caplog: pytest.LogCaptureFixture
) -> None:
    """The hop counts as failed; nothing is raised where the stream lives."""
    model.fails = True
    one = shadow(generation)
    one.hear(hops()[0])
    await until(lambda: one.dropped)
    one.hear(hops()[1])
    assert generation.tally.counts.failed_hops == 1
    assert generation.tally.counts.failed_streams == 0
    assert "a shadow of models/tones/versions/1.0.0 failed" not in caplog.text
    one.close()


async def test_a_fault_of_the_comparison_ends_the_shadow_alone(
    generation: Generation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it is: the stream that it belongs to is the wrong place to raise it."""
    one = shadow(generation)
    monkeypatch.setattr(one._agreement, "compare", lambda *_: 1 // 0)
    one.told(HopResult((Region(0, 640, ()),), (), (), (), 0, 0))
    assert one.dropped
    assert "a shadow of models/tones/versions/1.0.0 failed" in caplog.text
    two = shadow(generation)
    monkeypatch.setattr(two._diarizer, "push", lambda _: 1 // 0)
    two.hear(hops()[0])
    await until(lambda: two.dropped)


async def test_where_there_is_no_room_there_is_no_shadow(
    generation: Generation, results: list[HopResult]
) -> None:
    """Every slot taken, or the version unloaded: the stream begins all the same."""
    taken = [generation.batcher.open_lane() for _ in range(2)]
    one = shadow(generation)
    assert one.dropped
    one.hear(hops()[0])
    one.told(results[0])
    one.close()
    assert generation.tally.counts.streams == 0
    for lane in taken:
        lane.close()
    await generation.batcher.stop()
    assert shadow(generation).dropped


async def test_a_shadow_whose_version_is_unloaded_lets_go_of_it(generation: Generation) -> None:
    """Its stream may live for hours; the model must not."""
    one = shadow(generation)
    one.hear(hops()[0])
    await until(lambda: generation.tally.counts.hops == 1)
    await generation.batcher.stop()
    one.hear(hops()[1])
    await until(lambda: one.dropped)


async def test_closing_frees_the_slot_whatever_waits(
    generation: Generation, model: Planted, caplog: pytest.LogCaptureFixture
) -> None:
    """A stream that ends waits for nobody; a second call does nothing."""
    model.go.clear()
    ones = [shadow(generation) for _ in range(2)]
    for one in ones:
        one.hear(hops()[0])
    await asyncio.sleep(0)
    await asyncio.to_thread(model.held.wait)
    for one in ones:
        one.close()
        one.close()
    model.go.set()
    await generation.batcher.stop()
    await until(lambda: len(asyncio.all_tasks()) == 1)
    assert not caplog.text
    assert generation.tally.counts.compared_frames == 0
