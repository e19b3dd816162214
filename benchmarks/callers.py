"""Callers who speak at the pace of speech through the client library, and note what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import count

from benchmarks.goldens import GoneOn, Step, joined
from voiceflow.artifact import SAMPLE_RATE_HERTZ
from voiceflow.client import (
    AudioFormat,
    Begin,
    DiarizationClient,
    Encoding,
    Event,
    GoAway,
    Moved,
    Region,
    Resumed,
    StreamConfig,
    Summary,
    Update,
)
from voiceflow.errors import VoiceFlowError

MESSAGE_SECONDS = 0.08
_MESSAGE_SAMPLES = round(MESSAGE_SECONDS * SAMPLE_RATE_HERTZ)
_MESSAGE_BYTES = 2 * _MESSAGE_SAMPLES


@dataclass(frozen=True, slots=True)
class Hop:
    """One hop's result, on the event loop's clock.

    Attributes:
        heard_at: When the Update that covers it came.
        latency_seconds: Since its last sample was spoken.
    """

    heard_at: float
    latency_seconds: float


@dataclass(slots=True)
class Call:
    """What a caller has noted of one conversation.

    Attributes:
        audio: PCM16 at 16 kHz.
        asked_at: When it was begun, on the event loop's clock.
        begun_at: When the first stream was admitted; None: none was.
        first_version: On which it began: `models/{model}/versions/{semver}`.
        way: How it moved from there.
        openings: When each stream began, and on which version.
        hops: Of all of it, in order.
        regions: Told as final.
        complete: Whether it ended with a Summary that is complete.
        failure: Reason and message of the error that ended it; empty: none.
    """

    audio: bytes
    asked_at: float = 0.0
    begun_at: float | None = None
    first_version: str = ""
    way: list[Step] = field(default_factory=list)
    openings: list[tuple[float, str]] = field(default_factory=list)
    hops: list[Hop] = field(default_factory=list)
    regions: list[Region] = field(default_factory=list)
    complete: bool = False
    failure: str = "UNFINISHED"

    def lost_samples(self) -> int:
        """Audio that no final region tells of, and audio that two do."""
        until = lost = 0
        for region in self.regions:
            lost += abs(region.start_samples - until)
            until = region.end_samples
        return lost + abs(len(self.audio) // 2 - until)

    def partition(self) -> tuple[Region, ...]:
        """Final regions; neighbours differ in their speakers."""
        return joined(self.regions)


async def hold(client: DiarizationClient, call: Call, session: str = "") -> None:
    """Holds a conversation at the pace of speech, and notes it in `call`.

    Args:
        client: Connected.
        call: Has the audio.
        session: Its name; empty: the server makes one.
    """
    loop = asyncio.get_running_loop()
    call.asked_at = loop.time()
    notes = _Notes(call, loop.time)

    async def speak() -> AsyncIterator[bytes]:
        notes.start = loop.time()  # the stream is admitted: now the caller begins to speak
        for number in range(0, len(call.audio), _MESSAGE_BYTES):
            due = notes.start + (number // _MESSAGE_BYTES + 1) * MESSAGE_SECONDS
            await asyncio.sleep(max(0.0, due - loop.time()))
            yield call.audio[number : number + _MESSAGE_BYTES]

    config = StreamConfig(AudioFormat(Encoding.PCM16, SAMPLE_RATE_HERTZ), session=session)
    try:
        async with aclosing(client.diarize(speak(), config)) as events:
            async for event in events:
                notes.take(event)
        call.failure = "" if call.complete else "NOT_COMPLETE"
    except VoiceFlowError as error:
        call.failure = f"{error.reason}: {error.message}"


async def hold_on(
    client: DiarizationClient,
    audio: Callable[[int], bytes],
    calls: list[Call],
    ending: asyncio.Event,
) -> None:
    """Holds one conversation after another, and adds each to `calls`.

    Args:
        client: Connected.
        audio: Of a conversation, by its number from 0.
        calls: Where to.
        ending: Set: no new one begins.
    """
    for number in count():
        if ending.is_set():
            return
        call = Call(audio(number))
        calls.append(call)
        await hold(client, call)


class _Notes:
    """Takes a conversation's events.

    Args:
        call: Where to.
        clock: The event loop's.

    Attributes:
        start: When the caller began to speak.
    """

    def __init__(self, call: Call, clock: Callable[[], float]) -> None:
        self.start = clock()
        self._call = call
        self._clock = clock
        self._covered = 0
        self._final = 0
        # By the end of the final regions that a token goes on from: how far was computed then.
        self._tokens: dict[int, int] = {}

    def take(self, event: Event) -> None:
        """Takes the next one."""
        call, now = self._call, self._clock()
        match event:
            case Begin():
                call.begun_at, call.first_version = now, event.model_version
                call.openings.append((now, event.model_version))
            case Update():
                call.regions += event.final_regions
                self._final = event.final_until_samples
                if event.covered_samples > self._covered:
                    self._covered = event.covered_samples
                    spoken = self.start + _messages(self._covered) * MESSAGE_SECONDS
                    call.hops.append(Hop(now, now - spoken))
                if event.resume_token:
                    self._tokens[self._final] = event.covered_samples
            case GoAway():
                self._tokens[self._final] = self._covered
            case Moved():
                call.way.append(event)
            case Resumed():
                call.openings.append((now, event.begin.model_version))
                self._go_on(event)
            case Summary():
                call.complete = event.complete
            case _:
                pass

    def _go_on(self, event: Resumed) -> None:
        version, at = event.begin.model_version, event.begin.resumed_at_samples
        if at is None:  # from its beginning, in another stream
            self._call.first_version, self._call.way = version, []
        else:
            computed = self._tokens.get(at, at)
            ended = self._final == self._covered == event.at_samples
            self._call.way.append(GoneOn(version, at, event.at_samples, computed, ended))


def _messages(covered_samples: int) -> int:
    """How many messages hold so much audio."""
    return -(-covered_samples // _MESSAGE_SAMPLES)


def latencies_between(calls: Sequence[Call], start: float, end: float) -> list[float]:
    """Of every hop that was heard in a stretch of the event loop's time, in seconds."""
    return [
        hop.latency_seconds for call in calls for hop in call.hops if start <= hop.heard_at < end
    ]
