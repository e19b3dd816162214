"""The latency budget names the stage in which a delay was planted, whichever that is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.fakes.cutting_proxy import CuttingProxy, cutting_proxy
from tests.fakes.models import write_stream_package
from tests.fakes.service import running
from voiceflow.artifact import LatencyMode
from voiceflow.budget import STAGES, Budget, MeasuredHop, budgets, differences
from voiceflow.cli.budget_probe import HopCollector
from voiceflow.client import (
    AudioFormat,
    DiarizationClient,
    Encoding,
    StreamConfig,
    Timeline,
    Timings,
    Update,
    wire,
)
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow.pipeline.diarizer import StreamDiarizer
from voiceflow_inference import conversation as conversations
from voiceflow_inference import messages
from voiceflow_inference.audio import AudioDecoder
from voiceflow_inference.backend import SlotBackend
from voiceflow_inference.batcher import Batcher
from voiceflow_inference.outbox import Outbox

DELAY_SECONDS: Final = 0.05
HOP_BYTES: Final = 2 * 1280
HOPS: Final = 6
STREAMS: Final = 4
CONFIG: Final = StreamConfig(
    AudioFormat(Encoding.PCM16, 16_000), LatencyMode.AGENT, send_timings=True
)

Plant = Callable[[pytest.MonkeyPatch, CuttingProxy], None]


def before(owner: Any, name: str) -> Plant:
    """Whatever it does, it takes its time first."""
    return around(owner, name, lambda: time.sleep(DELAY_SECONDS), lambda: None)


def after(owner: Any, name: str) -> Plant:
    """And then."""
    return around(owner, name, lambda: None, lambda: time.sleep(DELAY_SECONDS))


def around(owner: Any, name: str, first: Callable[[], None], then: Callable[[], None]) -> Plant:
    """Replaces a function by one that does something first, and then."""

    def plant(patch: pytest.MonkeyPatch, _proxy: CuttingProxy) -> None:
        original = getattr(owner, name)

        def slow(*arguments: Any, **fields: Any) -> Any:
            first()
            result = original(*arguments, **fields)
            then()
            return result

        patch.setattr(owner, name, slow)

    return plant


def slow_network(patch: pytest.MonkeyPatch, proxy: CuttingProxy) -> None:
    """On the way there, and on the way back."""
    patch.setattr(proxy, "delay_seconds", DELAY_SECONDS)


def slow_reader(patch: pytest.MonkeyPatch, _proxy: CuttingProxy) -> None:
    """The transport takes a reply late."""
    send = Outbox._send

    async def slow(outbox: Outbox, message: bytes, put_at: float) -> None:
        await asyncio.sleep(DELAY_SECONDS)
        await send(outbox, message, put_at)

    patch.setattr(Outbox, "_send", slow)


def slow_parser(patch: pytest.MonkeyPatch, _proxy: CuttingProxy) -> None:
    """Of Updates alone: not everything that comes is a hop's last reply."""
    parsed = wire.parsed

    def slow(data: bytes) -> Any:
        event = parsed(data)
        if isinstance(event, Update):
            time.sleep(DELAY_SECONDS)
        return event

    patch.setattr(wire, "parsed", slow)


PLANTS: Final[dict[str, Plant]] = {
    "client encode": before(wire, "encoded"),
    "network": slow_network,
    "receive": before(conversations, "check_audio_bytes"),
    "decode": before(AudioDecoder, "push"),
    "queue": after(Batcher, "_take"),  # an engine that comes to it late
    "gather": before(SlotBackend, "_gather"),
    "infer": before(SlotBackend, "_call"),
    "scatter": before(SlotBackend, "_scatter"),
    "identity": before(StreamDiarizer, "hear"),
    "turns": before(StreamDiarizer, "tell"),
    "serialise": before(messages, "replies"),
    "send": slow_reader,
    "client parse": slow_parser,
}


async def budget(address: str) -> Budget:
    """Of one stream."""
    (made,) = budgets(await hops_of(address))
    return made


async def hops_of(address: str) -> list[MeasuredHop]:
    """Of a stream that sends the next hop when it has heard of the last."""
    heard = asyncio.Semaphore(1)
    collector = HopCollector()

    async def audio() -> AsyncIterator[bytes]:
        for _ in range(HOPS):
            await heard.acquire()
            yield bytes(HOP_BYTES)

    async with DiarizationClient(address) as client, asyncio.timeout(60):
        async for event in client.diarize(audio(), CONFIG):
            collector.event(event, Timeline())
            if isinstance(event, Timings):
                heard.release()
    return collector.hops


async def test_a_planted_delay_is_named(
    stream_package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """50 ms in each stage in turn; and every hop adds up to its own end to end."""
    assert [*PLANTS] == [*STAGES]
    named = {}
    async with (
        running(bind(load_package(stream_package))) as (_, service),
        cutting_proxy(service) as (proxy, address),
    ):
        usual = await budget(address)
        assert [row.name for row in usual.stages] == [*STAGES]
        for stage, plant in PLANTS.items():
            with monkeypatch.context() as patch:
                plant(patch, proxy)
                made = await budget(address)
            named[stage] = made.slowest.name
            assert made.adding_up >= 0.99, stage
            assert made.slowest.median_seconds > 0.9 * DELAY_SECONDS, stage
    assert named == {stage: stage for stage in STAGES}


async def test_what_sets_a_version_apart_is_named_though_others_may_wait_for_it(
    stream_package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several streams at once: a hop may wait, in other stages, for the slow one of the others."""
    hops = []
    newer = write_stream_package(tmp_path / "1.2.0", "1.2.0")
    for package, plant in ((stream_package, None), (newer, PLANTS["identity"])):
        async with (
            running(bind(load_package(package))) as (_, service),
            cutting_proxy(service) as (proxy, address),
        ):
            with monkeypatch.context() as patch:
                if plant is not None:
                    plant(patch, proxy)
                together = await asyncio.gather(*(hops_of(address) for _ in range(STREAMS)))
        hops += [hop for of_one in together for hop in of_one]
    (difference,) = differences(hops)
    assert difference.version == "models/tones/versions/1.2.0"
    assert difference.working is not None
    assert difference.working.stage == "identity"
    assert difference.working.size_seconds > 0.9 * DELAY_SECONDS
