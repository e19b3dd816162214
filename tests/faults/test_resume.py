"""Servers are killed under a conversation, and replaced: no final turn and no label is lost."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest

from benchmarks.service import Service, running_service
from tests.fakes.client_identity import BY_CERTIFICATE, FOLDER, shown
from tests.fakes.cutting_proxy import cutting_proxy
from tests.fakes.models import Spoken, tones, write_stream_package
from tests.fakes.service import pcm16
from tests.faults.place import untroubled
from tests.faults.streams import WAIT_SECONDS
from voiceflow.client import (
    AudioFormat,
    Begin,
    DiarizationClient,
    Encoding,
    Event,
    GoAway,
    Region,
    Resumed,
    RetryPolicy,
    SpeakerMerged,
    SpeechEvent,
    StreamConfig,
    Summary,
    Timeline,
    Turn,
    Update,
    seconds,
)

CONFIG: Final = StreamConfig(AudioFormat(Encoding.PCM16, 16_000), session="call-7")
PATIENT: Final = RetryPolicy(5, 0.05, 0.5, resume_seconds=WAIT_SECONDS)
SAME_KEYS: Final = BY_CERTIFICATE | {"keys": FOLDER / "keys.json"}
PIECE_BYTES: Final = 3200
FIRST_FINAL_SECONDS: Final = 2.5
"""The revision horizon and a hop."""

MEETING: Final = pcm16(
    tones(
        *(Spoken((3,), 4.0), Spoken((), 0.7), Spoken((9,), 3.5), Spoken((9, 3), 1.5)),
        *(Spoken((3,), 3.2), Spoken((), 0.5), Spoken((12,), 4.0), Spoken((6,), 3.0)),
        *(Spoken((9,), 5.1), Spoken((), 1.2), Spoken((12,), 2.6), Spoken((3, 12), 1.8)),
        *(Spoken((6,), 4.4), Spoken((), 0.9), Spoken((3,), 6.0), Spoken((9,), 3.3)),
    )
)
"""Four voices; each comes back after others."""


@dataclass(frozen=True)
class Told:
    """All that a caller has been told for good."""

    regions: tuple[Region, ...]
    turns: tuple[Turn, ...]
    events: tuple[SpeechEvent | SpeakerMerged, ...]
    talk: dict[str, int]
    complete: bool


def told(events: Sequence[Event]) -> Told:
    """What the events say, as their timeline has it: that refuses every gap and overlap."""
    timeline = Timeline()
    for event in events:
        timeline.add(event)
    summary = events[-1]
    assert isinstance(summary, Summary)
    updates = [event for event in events if isinstance(event, Update)]
    return Told(
        timeline.regions(),
        tuple(
            replace(turn, confidence=round(turn.confidence, 2))
            for update in updates
            for turn in update.turns
        ),
        tuple(event for event in events if isinstance(event, SpeechEvent | SpeakerMerged)),
        {one.speaker: one.talk_samples for one in summary.speakers},
        summary.complete,
    )


class Meeting:
    """Audio that comes as far as it is let, so that a server can be lost at a place in it."""

    def __init__(self) -> None:
        self._until_bytes = 0
        self._let = asyncio.Event()

    def go_on_until(self, at_seconds: float) -> None:
        """Lets it come up to a place."""
        self._until_bytes = round(at_seconds * 32_000)
        self._let.set()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The audio."""
        for at in range(0, len(MEETING), PIECE_BYTES):
            while at >= self._until_bytes:
                self._let.clear()
                await self._let.wait()
            yield MEETING[at : at + PIECE_BYTES]


@contextmanager
def server(package: Path, **settings: Any) -> Iterator[Service]:
    """A service of the fleet."""
    with running_service(package, **SAME_KEYS, **settings) as service, untroubled(service):
        yield service


@pytest.fixture(scope="module")
def lasting(stream_package: Path) -> Iterator[Service]:
    """The server of the fleet that outlives all others."""
    with server(stream_package) as service:
        yield service


@pytest.fixture
async def whole(lasting: Service) -> Told:
    """The meeting as one server tells it that nothing happens to."""
    meeting = Meeting()
    meeting.go_on_until(1e9)
    async with connected(lasting.address) as client:
        return told([event async for event in client.diarize(meeting.pieces(), CONFIG)])


@asynccontextmanager
async def connected(target: str) -> AsyncIterator[DiarizationClient]:
    """A client that the fleet knows."""
    identity = shown("client", server_name="localhost")
    async with DiarizationClient(target, identity=identity, retry=PATIENT) as client:
        yield client


async def covered(events: AsyncIterator[Event], at_seconds: float, into: list[Event]) -> None:
    """Reads until so much has been computed."""
    async for event in events:
        into.append(event)
        if isinstance(event, Update) and seconds(event.covered_samples) >= at_seconds:
            return


@pytest.mark.parametrize("kills", [(1.5,), (9.3,), (14.2, 31.7)], ids=["early", "once", "twice"])
async def test_servers_that_are_killed_cost_no_final_turn_and_no_label(
    stream_package: Path, lasting: Service, whole: Told, kills: tuple[float, ...]
) -> None:
    """The client goes on with another process; all turns are those of an uninterrupted meeting.

    The first kill comes before any final region, so before any token.
    """
    async with asyncio.timeout(WAIT_SECONDS), cutting_proxy("") as (way, address):
        events: list[Event] = []
        meeting = Meeting()
        async with connected(address) as client:
            stream = None
            for at_seconds in kills:
                with server(stream_package) as victim:
                    way.upstream = victim.address
                    stream = stream or client.diarize(meeting.pieces(), CONFIG)
                    meeting.go_on_until(at_seconds)
                    await covered(stream, at_seconds - 0.6, events)
                    victim.process.kill()
            way.upstream = lasting.address
            meeting.go_on_until(1e9)
            assert stream is not None
            events += [event async for event in stream]
    assert told(events) == whole
    resumed = [event.begin for event in events if isinstance(event, Resumed)]
    assert len(resumed) == len(kills)
    assert all(begin.resumed_at_samples for begin in resumed) is (kills[0] > FIRST_FINAL_SECONDS)


async def test_a_server_that_is_killed_and_started_again_goes_on(
    stream_package: Path, whole: Told
) -> None:
    """At the same address, with the same keys: a crash that a supervisor mends."""
    events: list[Event] = []
    meeting = Meeting()
    async with asyncio.timeout(WAIT_SECONDS):
        with ExitStack() as fleet:
            first = fleet.enter_context(server(stream_package))
            async with connected(first.address) as client:
                stream = client.diarize(meeting.pieces(), CONFIG)
                meeting.go_on_until(20.0)
                await covered(stream, 19.0, events)
                first.process.kill()
                await asyncio.to_thread(first.process.wait)
                rest = asyncio.create_task(all_of(stream))
                meeting.go_on_until(1e9)
                again = server(stream_package, port=first.address.rpartition(":")[2])
                await asyncio.to_thread(fleet.enter_context, again)
                events += await rest
    assert told(events) == whole


async def all_of(stream: AsyncIterator[Event]) -> list[Event]:
    """The rest."""
    return [event async for event in stream]


async def test_a_rolling_restart_moves_everybody_on(
    tmp_path: Path, lasting: Service, whole: Told
) -> None:
    """Told to go by a server that stops, streams find the other one, and nobody waits for them."""
    older = write_stream_package(tmp_path / "older", "0.9.0")
    meetings = [Meeting() for _ in range(4)]
    heard: list[list[Event]] = [[] for _ in meetings]
    async with asyncio.timeout(WAIT_SECONDS):
        with server(older, grace_seconds=WAIT_SECONDS) as leaving:
            async with connected(f"ipv4:{leaving.address},{lasting.address}") as client:
                streams = [client.diarize(one.pieces(), CONFIG) for one in meetings]
                for one, stream, events in zip(meetings, streams, heard, strict=True):
                    one.go_on_until(17.0)
                    await covered(stream, 16.0, events)
                leaving.process.send_signal(signal.SIGTERM)
                leavers = [is_on(events, "0.9.0") for events in heard]
                for one, stream, events, leaves in zip(
                    meetings, streams, heard, leavers, strict=True
                ):
                    if leaves:
                        await resumed(stream, one, events)
                assert await asyncio.to_thread(leaving.process.wait, WAIT_SECONDS) == 0
                for one, stream, events in zip(meetings, streams, heard, strict=True):
                    one.go_on_until(1e9)
                    events.extend(await all_of(stream))
    assert [told(events) for events in heard] == [whole] * len(heard)
    assert set(leavers) == {True, False}
    told_to_go = [any(isinstance(event, GoAway) for event in events) for events in heard]
    assert told_to_go == leavers


def is_on(events: Sequence[Event], version: str) -> bool:
    """Whether a stream began with a version."""
    begin = events[0]
    assert isinstance(begin, Begin)
    return begin.model_version.endswith(version)


async def resumed(stream: AsyncIterator[Event], meeting: Meeting, into: list[Event]) -> None:
    """Goes on, a little at a time, until the stream is another one."""
    meeting.go_on_until(18.0)
    async for event in stream:
        into.append(event)
        if isinstance(event, Resumed):
            return
        if isinstance(event, Update):
            meeting.go_on_until(seconds(event.covered_samples) + 1.0)
