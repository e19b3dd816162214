"""Runs one conversation through a client: source to service, events to a view and a timeline."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import Protocol

from voiceflow.client import DiarizationClient, Event, StreamConfig, Timeline
from voiceflow.client.audio import AudioSource
from voiceflow.client.pace import paced, until, watched
from voiceflow.report import AudioKeeper

_FILE_PIECE_SECONDS = 5.0
_LIVE_PIECE_SECONDS = 0.08


class View(Protocol):
    """Shows how a conversation comes along."""

    def sent(self, total_seconds: float) -> None:
        """So much audio has been given to the service."""

    def event(self, event: Event, timeline: Timeline) -> None:
        """An event came, and is already in the timeline."""

    def done(self, timeline: Timeline) -> None:
        """The conversation is over."""


class Views:
    """Several views as one."""

    def __init__(self, views: Sequence[View]) -> None:
        self._views = views

    def sent(self, total_seconds: float) -> None:
        """Told to each."""
        for view in self._views:
            view.sent(total_seconds)

    def event(self, event: Event, timeline: Timeline) -> None:
        """Told to each."""
        for view in self._views:
            view.event(event, timeline)

    def done(self, timeline: Timeline) -> None:
        """Told to each."""
        for view in self._views:
            view.done(timeline)


async def run_live(
    client: DiarizationClient,
    source: AudioSource,
    config: StreamConfig,
    view: View,
    timeline: Timeline,
    *,
    pace: bool,
    resume: bool,
    stop: asyncio.Event,
    keeper: AudioKeeper | None,
) -> None:
    """Streams a source and follows its events to the summary.

    Args:
        client: Connected.
        source: Where the audio comes from.
        config: In the source's format.
        view: Told of everything.
        timeline: Takes the events; holds what came before an error, too.
        pace: Send no faster than the audio plays; what is live already needs none.
        resume: Go on elsewhere when the stream is cut.
        stop: Ends the audio when set; the rest becomes final and the results are complete.
        keeper: Keeps the audio for the report.
    """
    pieces = source.pieces(_LIVE_PIECE_SECONDS)
    if pace:
        pieces = paced(pieces, source.audio_format)
    outgoing = _outgoing(until(pieces, stop), source, view, keeper)
    async with aclosing(client.diarize(outgoing, config, resume=resume)) as events:
        async for event in events:
            timeline.add(event)
            view.event(event, timeline)
    view.done(timeline)


async def run_file(
    client: DiarizationClient,
    source: AudioSource,
    config: StreamConfig,
    view: View,
    *,
    stop: asyncio.Event,
    keeper: AudioKeeper | None,
) -> Timeline:
    """Sends a recording as fast as the service takes it (DiarizeFile); the result comes at the end.

    Args: as `run_live`.
    """

    def open_audio() -> AsyncIterator[bytes]:
        if keeper is not None:
            keeper.restart()
        pieces = until(source.pieces(_FILE_PIECE_SECONDS), stop)
        return _outgoing(pieces, source, view, keeper)

    timeline = Timeline.of_file(await client.diarize_file(open_audio, config))
    view.done(timeline)
    return timeline


@contextmanager
def stop_on_interrupt() -> Iterator[asyncio.Event]:
    """Gives an event that the first Ctrl-C sets; the second cancels the running task."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    def interrupt() -> None:
        if stop.is_set() and task is not None:
            task.cancel()
        stop.set()

    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, interrupt)
    try:
        yield stop
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _outgoing(
    pieces: AsyncIterator[bytes], source: AudioSource, view: View, keeper: AudioKeeper | None
) -> AsyncIterator[bytes]:
    total_seconds = 0.0

    def look(piece: bytes) -> None:
        nonlocal total_seconds
        total_seconds += source.audio_format.seconds(len(piece))
        if keeper is not None:
            keeper.keep(piece)
        view.sent(total_seconds)

    return watched(pieces, look)
