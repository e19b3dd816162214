"""The streams that a budget is measured with, and what is collected of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, cast

import pytest

from tests.fakes.simulated_streams import Call, simulated
from voiceflow.artifact import LatencyMode
from voiceflow.cli.budget import periods
from voiceflow.cli.budget_probe import HopCollector, probe
from voiceflow.client import (
    NO_RETRY,
    AudioFormat,
    Begin,
    DiarizationClient,
    Encoding,
    HopLatency,
    Moved,
    Resumed,
    StreamLimits,
    Timeline,
    Timings,
)
from voiceflow.client.audio import AudioSource
from voiceflow.errors import Forbidden, InvalidInput, VoiceFlowError

PLAIN = AudioFormat(Encoding.PCM16, 16_000)
BEGIN = Begin("s", "models/m/versions/1.0.0", 1, 0, 0, 0, 1, StreamLimits(0, 0, 0, 0, 0))
TIMINGS = Timings(1280, (), 1, HopLatency(1280, (("infer", 0.5),), 1.0))


def source(data: bytes) -> AudioSource:
    """A recording in one piece."""

    async def pieces(_seconds: float) -> AsyncIterator[bytes]:
        if data:
            yield data

    return AudioSource("r", PLAIN, pieces, None, repeatable=True)


async def probed(address: str, audio: AudioSource, streams: int = 1) -> int:
    """How many hops are measured in a second of audio."""
    async with DiarizationClient(address, retry=NO_RETRY) as client, asyncio.timeout(60):
        stop = asyncio.Event()
        mode = LatencyMode.AGENT
        return len(await probe(client, audio, mode, seconds=1.0, streams=streams, stop=stop))


def test_hops_are_of_the_version_that_computed_them() -> None:
    """Where the stream has moved to, or gone on elsewhere."""
    collector, timeline = HopCollector(), Timeline()
    other = replace(BEGIN, model_version="models/m/versions/3.0.0")
    moved = Moved(0, 2, "models/m/versions/2.0.0", "carried", 0)
    for event in (BEGIN, TIMINGS, moved, TIMINGS, TIMINGS, Resumed(other, 0), TIMINGS):
        collector.event(event, timeline)
    assert [hop.version[-5:] for hop in collector.hops] == ["1.0.0", "2.0.0", "2.0.0", "3.0.0"]
    assert collector.hops[0].stages == {"infer": 0.5}
    assert collector.hops[0].end_to_end_seconds == 1.0


def test_hops_whose_way_is_not_known_are_left_out() -> None:
    """The server did not say which request completed them."""
    collector = HopCollector()
    collector.event(replace(TIMINGS, latency=None), Timeline())
    assert collector.hops == []


async def test_a_short_recording_begins_again() -> None:
    """Until there was as much audio as asked for."""
    async with simulated(Call()) as (server, address):
        assert await probed(address, source(bytes(2 * 6400))) == 0  # it tells no timings
    (call,) = server.calls
    assert call.config.send_timings
    assert call.config.latency_mode == 2
    assert len(call.heard) == 3 * 2 * 6400


async def test_a_recording_without_audio_ends() -> None:
    """There is nothing to begin again with."""
    async with simulated(Call()) as (server, address):
        assert await probed(address, source(b"")) == 0
    assert server.calls[0].heard == b""


async def test_a_stream_that_fails_ends_the_others() -> None:
    """And its error is the one that is told."""
    refusal = InvalidInput("no", reason="SESSION_INVALID")
    async with simulated(Call(), Call(refuse=refusal)) as (_, address):
        with pytest.raises(VoiceFlowError) as caught:
            await probed(address, source(bytes(3200)), streams=2)
    assert caught.value.reason == "SESSION_INVALID"


async def test_who_may_not_see_what_is_served_gets_the_budget_all_the_same() -> None:
    """Without its promotion."""

    class Refusing:
        async def serving_state(self) -> Any:
            raise Forbidden("operators only", reason="ROLE_MISSING")

    assert await periods(cast("DiarizationClient", Refusing())) == {}
