"""A Diarization server that is told by the audio itself who speaks, and goes wrong as a test says.

Each frame of 10 ms begins with a sample that names its speakers, so that what any server must say
of any part of a conversation can be written down. Tokens are plain: where final regions end, which
turns are open, and what has been noticed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
import numpy as np
from google.protobuf.duration_pb2 import Duration

from tests.fakes.scripted import scripted
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.errors import InvalidInput
from voiceflow.rpc.status import abort_arguments

FRAME = 160
"""Samples."""

FRAME_BYTES = 2 * FRAME
HOP = 8
HORIZON = 25
CONTEXT = 48
TOKEN_EVERY = 40
"""Frames."""

WHO: Sequence[tuple[str, ...]] = ((), ("S1",), ("S2",), ("S1", "S2"), ("UNKNOWN",), ("S3",))


def spoken(*parts: tuple[int, int]) -> bytes:
    """A conversation: who speaks, as an index of `WHO`, and for how many frames."""
    frames = [np.full(FRAME, who, "<i2") for who, count in parts for _ in range(count)]
    return b"".join(frame.tobytes() for frame in frames)


def duration(frame: int) -> Duration:
    """An offset."""
    result = Duration()
    result.FromNanoseconds(frame * FRAME * 62_500)
    return result


class Simulation:
    """What a stream says, hop by hop.

    Args:
        token: Of the stream that it goes on with; empty: none.
        who: Speakers by what a frame says; another model may have other labels for them.
    """

    def __init__(self, token: bytes = b"", who: Sequence[tuple[str, ...]] = WHO) -> None:
        state = json.loads(token) if token else {}
        self.at = self.final = int(state.get("final", 0))
        self.start = -(-max(0, self.at - CONTEXT) // HOP) * HOP
        self.heard = self.computed = self.start
        self.who = who
        self.frames: list[int] = []
        self.rest = b""
        self.open: dict[str, int] = dict(state.get("open", {}))
        self.active: dict[str, bool] = state.get("active", {"SPEECH": False, "OVERLAP": False})
        self.noticed = int(state.get("noticed", 0))
        self.last_token = self.at
        self.tokens = True

    def token(self) -> bytes:
        """Goes on from the end of what is final."""
        state = {
            "final": self.final,
            "open": self.open,
            "active": self.active,
            "noticed": self.noticed,
        }
        return json.dumps(state).encode()

    def hear(self, audio: bytes) -> list[pb.DiarizeResponse]:
        """Takes the next bytes."""
        audio = self.rest + audio
        whole = len(audio) // FRAME_BYTES * FRAME_BYTES
        self.rest = audio[whole:]
        self.frames += [int(frame) for frame in np.frombuffer(audio[:whole], "<i2")[::FRAME]]
        self.heard = self.start + len(self.frames)
        told = []
        while self.heard - self.computed >= HOP:
            self.computed += HOP
            told += self._tell(self.computed - HORIZON)
        return told

    def flush(self) -> list[pb.DiarizeResponse]:
        """Computes and makes final what came."""
        self.computed = self.heard
        return self._tell(self.heard)

    def finish(self, *, complete: bool) -> list[pb.DiarizeResponse]:
        """Ends everything."""
        told = self.flush()
        events = [self._edge(family, self.computed, rising=False) for family in self._active()]
        turns = [self._turn(name, start, self.final) for name, start in self.open.items()]
        self.open = {}
        told[-1].update.turns.extend(turns)
        summary = pb.Summary(audio_covered=duration(self.final), complete=complete)
        for name in sorted({name for who in self.who for name in who}):
            summary.speakers.add(speaker=name)
        return [*told[:-1], *events, told[-1], pb.DiarizeResponse(summary=summary)]

    def _tell(self, final: int) -> list[pb.DiarizeResponse]:
        events = self._events()
        update = pb.Update(
            audio_covered=duration(max(self.computed, self.at)),
            generation=1,
        )
        self.noticed = max(self.noticed, self.computed)
        for frame in range(self.final, max(self.final, final)):
            names = self._names(frame)
            for name in [name for name in self.open if name not in names]:
                update.turns.append(self._turn(name, self.open.pop(name), frame))
            for name in names:
                self.open.setdefault(name, frame)
            regions = update.final_regions
            if not regions or tuple(regions[-1].speakers) != names:
                regions.add(start=duration(frame), speakers=names)
            regions[-1].end.CopyFrom(duration(frame + 1))
        self.final = max(self.final, final)
        update.final_until.CopyFrom(duration(self.final))
        if self.tokens and self.final > 0 and self.final - self.last_token >= TOKEN_EVERY:
            self.last_token = self.final
            update.resume_token = self.token()
        return [*events, pb.DiarizeResponse(update=update)]

    def _events(self) -> list[pb.DiarizeResponse]:
        events = []
        for frame in range(max(self.noticed, self.start), self.computed):
            names = self._names(frame)
            for family, now in (("SPEECH", bool(names)), ("OVERLAP", len(names) > 1)):
                if now != self.active[family]:
                    events.append(self._edge(family, frame, rising=now))
        return events

    def _active(self) -> list[str]:
        return [family for family, active in self.active.items() if active]

    def _edge(self, family: str, frame: int, *, rising: bool) -> pb.DiarizeResponse:
        self.active[family] = rising
        kind = f"KIND_{family}_{'STARTED' if rising else 'ENDED'}"
        event = pb.SpeechEvent(kind=kind, at=duration(frame), noticed_at=duration(self.computed))
        return pb.DiarizeResponse(speech_event=event)

    def _names(self, frame: int) -> tuple[str, ...]:
        return tuple(self.who[self.frames[frame - self.start]])

    def _turn(self, name: str, start: int, end: int) -> pb.Turn:
        return pb.Turn(
            speaker=name, start=duration(start), end=duration(end), confidence=0.5, final=True
        )


@dataclass
class Call:
    """How one stream goes. Places are frames of the conversation that were computed.

    Attributes:
        refuse: Instead of a stream.
        mute: Says nothing, instead of a stream.
        heeds_after: What is waited for between Begin and the first audio.
        ignores_token: Begins as if there were none.
        cut_at: The stream is gone there; 0: as soon as it has begun.
        cut_after: What is waited for before.
        cut_by: What it ends with then; None: with OK, and no summary.
        go_away_at: It is told to go there; 0: as soon as it has begun.
        go_away_token: Whether with a token.
        go_away_reason: Why.
        end_at: It ends there as if the client had half-closed.
        tokens: Whether it gives any.
        needs_from: Where it wants audio from, in place of what its token says.
        context: Frames before the end of what is final that a client is to keep.
        who: See `Simulation`.
        heard: The audio that came.
        flushes: Where flushes came, in frames of the conversation.
        config: That came.
        finish: That came.
        over: Set when it is.
    """

    refuse: Exception | None = None
    mute: bool = False
    heeds_after: asyncio.Event | None = None
    ignores_token: bool = False
    cut_at: int | None = None
    cut_after: asyncio.Event | None = None
    cut_by: tuple[grpc.StatusCode, str] | None = (grpc.StatusCode.UNAVAILABLE, "Socket closed")
    go_away_at: int | None = None
    go_away_token: bool = True
    go_away_reason: str = "DRAINING"
    end_at: int | None = None
    tokens: bool = True
    needs_from: int | None = None
    context: int = CONTEXT
    who: Sequence[tuple[str, ...]] = WHO
    heard: bytearray = field(default_factory=bytearray)
    flushes: list[int] = field(default_factory=list)
    config: pb.StreamConfig = field(default_factory=pb.StreamConfig)
    finish: pb.Finish | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)


class SimulatedServer:
    """Serves calls as they are written down; the last one is how all later ones go.

    Attributes:
        calls: In order of their coming.
    """

    def __init__(self, script: Sequence[Call]) -> None:
        self._script = script
        self._changed = asyncio.Condition()
        self.calls: list[Call] = []

    async def called(self, times: int) -> None:
        """Waits until so many calls have come."""
        async with self._changed, asyncio.timeout(60):
            await self._changed.wait_for(lambda: len(self.calls) >= times)

    async def serve(self, requests: AsyncIterator[pb.DiarizeRequest], context: Any) -> None:
        """One stream."""
        call = self._next_call()
        async with self._changed:
            self._changed.notify_all()
        try:
            await self._stream(call, requests, context)
        finally:
            call.over.set()

    async def _stream(
        self, call: Call, requests: AsyncIterator[pb.DiarizeRequest], context: Any
    ) -> None:
        call.config = (await anext(aiter(requests))).config
        if call.refuse is not None:
            await context.abort(*abort_arguments(call.refuse))
        if call.mute:
            await asyncio.Event().wait()
        if call.ignores_token:
            call.config.resume_token = b""
        stream = Simulation(call.config.resume_token, call.who)
        stream.tokens = call.tokens
        await context.write(_begin(call, stream))
        if call.cut_at == 0 and call.cut_by is not None:
            await context.abort(*call.cut_by)
        if call.go_away_at == 0:
            await self._tell_to_go(call, stream, context)
        if call.heeds_after is not None:
            await call.heeds_after.wait()
        async for request in requests:
            match request.WhichOneof("request"):
                case "audio":
                    call.heard += request.audio
                    told = stream.hear(request.audio)
                case "flush":
                    call.flushes.append(stream.heard)
                    told = stream.flush()
                case _:
                    call.finish = request.finish
                    told = stream.finish(complete=True)
            if await self._say(call, stream, told, context):
                return

    def _next_call(self) -> Call:
        at = len(self.calls)
        call = self._script[at] if at < len(self._script) else _again(self._script[-1])
        self.calls.append(call)
        return call

    async def _say(
        self, call: Call, stream: Simulation, told: Sequence[pb.DiarizeResponse], context: Any
    ) -> bool:
        """Whether the stream is over."""
        for response in told:
            covered = response.update.audio_covered.ToNanoseconds() // (FRAME * 62_500)
            await context.write(response)
            if call.cut_at is not None and covered >= call.cut_at:
                if call.cut_after is not None:
                    await call.cut_after.wait()
                if call.cut_by is not None:
                    await context.abort(*call.cut_by)
                return True
        if call.go_away_at is not None and stream.computed >= call.go_away_at:
            await self._tell_to_go(call, stream, context)
        if call.end_at is not None and stream.computed >= call.end_at:
            for response in stream.finish(complete=False):
                await context.write(response)
            return True
        return bool(told) and told[-1].HasField("summary")

    async def _tell_to_go(self, call: Call, stream: Simulation, context: Any) -> None:
        call.go_away_at = None
        token = stream.token() if call.go_away_token else b""
        away = pb.GoAway(time_left=Duration(seconds=1), resume_token=token)
        away.reason = call.go_away_reason
        await context.write(pb.DiarizeResponse(go_away=away))


@asynccontextmanager
async def simulated(*script: Call) -> AsyncIterator[tuple[SimulatedServer, str]]:
    """Serves on a free port; yields the server and its address."""
    server = SimulatedServer(script)
    async with scripted(server.serve) as (_, address):
        yield server, address


def refused(reason: str) -> InvalidInput:
    """What a server says to a token that it does not take."""
    return InvalidInput("the token is not for you", reason=reason, field="config.resume_token")


def _begin(call: Call, stream: Simulation) -> pb.DiarizeResponse:
    begin = pb.Begin(session=call.config.session or "simulated", frame=duration(1))
    begin.hop.CopyFrom(duration(HOP))
    begin.model_version = "models/simulated/versions/1.0.0"
    if call.tokens:
        begin.resume_context.CopyFrom(duration(call.context))
    if call.config.resume_token:
        start = stream.start if call.needs_from is None else call.needs_from
        begin.resumed_at.CopyFrom(duration(stream.at))
        begin.audio_start.CopyFrom(duration(start))
    return pb.DiarizeResponse(begin=begin)


def _again(call: Call) -> Call:
    return replace(
        call,
        heard=bytearray(),
        flushes=[],
        config=pb.StreamConfig(),
        finish=None,
        over=asyncio.Event(),
    )
