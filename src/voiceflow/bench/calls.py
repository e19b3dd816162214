"""Whole calls: each client sends some seconds of audio at once and waits for what becomes of them.

In a closed loop each client makes its next call when it has the answer to the last; paced, it makes
one whenever its time has come, and the time that a call had to wait for the one before counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from voiceflow.artifact import SAMPLE_RATE_HERTZ
from voiceflow.bench.figures import Answered, CallFigures, call_figures
from voiceflow.bench.live import Server
from voiceflow.bench.pacing import SAMPLE_BYTES, place_bytes, stagger_seconds
from voiceflow.bench.usage import Meter
from voiceflow.client import (
    NO_RETRY,
    AudioFormat,
    DiarizationClient,
    Encoding,
    StreamConfig,
    Summary,
)
from voiceflow.errors import VoiceFlowError

_CONFIG: Final = StreamConfig(AudioFormat(Encoding.PCM16, SAMPLE_RATE_HERTZ))
_PAUSE_AFTER_FAILURE_SECONDS: Final = 0.1


class Method(StrEnum):
    """Which call is made."""

    FILE = "file"
    """`DiarizeFile`."""
    STREAM = "stream"
    """`Diarize`, with all of the audio at once."""


@dataclass(frozen=True, slots=True)
class CallLoad:
    """What is asked of the service.

    Attributes:
        clients: At the same time, each on a connection of its own.
        seconds: For so long calls are begun.
        audio_seconds: In each call.
        method: Of each.
        every_seconds: So far apart each client's calls are; None: a closed loop.
    """

    clients: int
    seconds: float
    audio_seconds: float = 3.0
    method: Method = Method.FILE
    every_seconds: float | None = None


async def call(server: Server, load: CallLoad, audio: bytes) -> CallFigures:
    """Has all clients make their calls.

    Args:
        server: Whom to.
        load: How.
        audio: PCM16 at 16 kHz, at least as long as that of a call.

    Raises:
        VoiceFlowError: A client's first call, which opens its connection and is not counted, does
            not succeed.
    """
    length = round(load.audio_seconds * SAMPLE_RATE_HERTZ) * SAMPLE_BYTES
    async with AsyncExitStack() as stack:
        clients = []
        for number in range(load.clients):
            place = place_bytes(number, load.clients, len(audio), length)
            client = DiarizationClient(
                server.address, identity=server.identity, retry=NO_RETRY, ahead_seconds=3600.0
            )
            await stack.enter_async_context(client)
            clients.append(_Client(client, audio[place : place + length], load))
        for one in clients:
            await one.ask()
        meter = Meter(server.processes)
        start = asyncio.get_running_loop().time()
        await asyncio.gather(*(one.run(start, number) for number, one in enumerate(clients)))
        paced = load.every_seconds is not None
        return call_figures([one.answered for one in clients], meter.end(), paced=paced)


class _Client:
    """One client.

    Args:
        client: Connected.
        audio: Of each call.
        load: How.
    """

    def __init__(self, client: DiarizationClient, audio: bytes, load: CallLoad) -> None:
        self._client = client
        self._audio = audio
        self._load = load
        self.answered = Answered()

    async def run(self, start: float, number: int) -> None:
        """Makes calls from `start` on the event loop's clock, as the client of this number."""
        loop = asyncio.get_running_loop()
        every = self._load.every_seconds
        due = start + (stagger_seconds(number, self._load.clients, every) if every else 0.0)
        while due < start + self._load.seconds:
            await asyncio.sleep(max(0.0, due - loop.time()))
            try:
                await self.ask()
            except VoiceFlowError as error:
                self.answered.failures.append(error.reason)
                await asyncio.sleep(_PAUSE_AFTER_FAILURE_SECONDS)
            else:
                self.answered.latencies.append(loop.time() - due)
            due = due + every if every else loop.time()

    async def ask(self) -> None:
        """Makes one call.

        Raises:
            VoiceFlowError: It does not succeed.
        """
        if self._load.method is Method.FILE:
            await self._client.diarize_file(self._pieces, _CONFIG)
            return
        complete = False
        events = self._client.diarize(self._pieces(), _CONFIG, resume=False)
        async with aclosing(events):
            async for event in events:
                complete = complete or (isinstance(event, Summary) and event.complete)
        if not complete:
            raise VoiceFlowError("the stream was cut short", reason="NOT_COMPLETE")

    async def _pieces(self) -> AsyncIterator[bytes]:
        yield self._audio
