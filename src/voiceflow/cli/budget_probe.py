"""Measures the hops of live streams: what they tell of themselves, and streams that ask for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Final

from voiceflow.artifact import LatencyMode
from voiceflow.budget import MeasuredHop
from voiceflow.client import (
    Begin,
    DiarizationClient,
    Event,
    Moved,
    Resumed,
    StreamConfig,
    Timeline,
    Timings,
)
from voiceflow.client.audio import AudioSource
from voiceflow.client.pace import paced, until

_PIECE_SECONDS: Final = 0.08
_HOP_SECONDS: Final = {LatencyMode.DENSITY: 0.48, LatencyMode.AGENT: 0.08}


class HopCollector:
    """Collects the hops of one stream; a `View`.

    Attributes:
        hops: So far.
    """

    def __init__(self) -> None:
        self.hops: list[MeasuredHop] = []
        self._version = ""

    def sent(self, total_seconds: float) -> None:
        """Says nothing of hops."""

    def event(self, event: Event, timeline: Timeline) -> None:  # noqa: ARG002 - a view
        """An event came."""
        match event:
            case Begin():
                self._version = event.model_version
            case Moved():
                self._version = event.model_version
            case Resumed():
                self._version = event.begin.model_version
            case Timings() if event.latency is not None:
                latency = event.latency
                self.hops.append(
                    MeasuredHop(self._version, dict(latency.stages), latency.end_to_end_seconds)
                )
            case _:
                pass

    def done(self, timeline: Timeline) -> None:
        """The conversation is over."""


async def probe(
    client: DiarizationClient,
    source: AudioSource,
    mode: LatencyMode,
    *,
    seconds: float,
    streams: int,
    stop: asyncio.Event,
) -> list[MeasuredHop]:
    """Opens streams at real pace and measures their hops.

    Args:
        client: Connected.
        source: Repeatable; it begins again where it is shorter than that.
        mode: Of all streams.
        seconds: Of audio, in each.
        streams: How many; they begin one after the other within a hop, as callers would.
        stop: Ends them all when set.

    Raises:
        VoiceFlowError: A stream failed.
    """
    config = StreamConfig(source.audio_format, mode, send_timings=True)
    collectors = [HopCollector() for _ in range(streams)]

    async def one(index: int) -> None:
        await asyncio.sleep(_HOP_SECONDS[mode] * index / streams)
        pieces = until(paced(_again(source, seconds), source.audio_format), stop)
        async with aclosing(client.diarize(pieces, config, resume=False)) as events:
            timeline = Timeline()
            async for event in events:
                collectors[index].event(event, timeline)

    try:
        async with asyncio.TaskGroup() as tasks:
            for index in range(streams):
                tasks.create_task(one(index))
    except BaseExceptionGroup as group:  # one that fails ends the others; the first tells why
        raise group.exceptions[0] from None
    return [hop for collector in collectors for hop in collector.hops]


async def _again(source: AudioSource, seconds: float) -> AsyncIterator[bytes]:
    """The audio, from its beginning again and again, for so long."""
    given = 0.0
    while given < seconds:
        before = given
        async for piece in source.pieces(_PIECE_SECONDS):
            given += source.audio_format.seconds(len(piece))
            yield piece
            if given >= seconds:
                return
        if given == before:
            return
