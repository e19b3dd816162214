"""Live streams at real pace, as microphones speak.

A message goes out when its last sample has been spoken; the streams are spread evenly over one hop,
each on a connection of its own and at its own place in the audio. Compute latency is the time from
sending the last byte that a hop needs to receiving the Update that covers the hop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import grpc

from voiceflow.artifact import SAMPLE_RATE_HERTZ, LatencyMode
from voiceflow.bench.figures import Heard, StreamFigures, Usage, stream_figures
from voiceflow.bench.pacing import (
    SAMPLE_BYTES,
    completing_message,
    due_seconds,
    message_samples,
    place_bytes,
    stagger_seconds,
)
from voiceflow.bench.usage import Meter, processes_at
from voiceflow.client import AudioFormat, Begin, Encoding, StreamConfig, Summary, Update, wire
from voiceflow.client.diarization import SERVICE_NAME
from voiceflow.client.failures import is_no_connection, no_connection
from voiceflow.client.identity import ClientIdentity, open_channel
from voiceflow.errors import Unavailable, VoiceFlowError
from voiceflow.rpc.status import from_rpc_error

_OPEN_AT_ONCE = 20
_LOOK_SECONDS = 1.0
_LEAD_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of the service.

    Attributes:
        streams: At the same time.
        seconds: Of audio in each.
        mode: Of each.
        message_milliseconds: Audio in a message.
    """

    streams: int
    seconds: float
    mode: LatencyMode = LatencyMode.DENSITY
    message_milliseconds: int = 80


@dataclass(frozen=True, slots=True)
class Server:
    """Whom a load is for.

    Attributes:
        address: `host:port`, or any target that gRPC knows.
        identity: Who dials it; None: plain text.
        processes: Its own on this machine; none: it is elsewhere.
    """

    address: str
    identity: ClientIdentity | None = None
    processes: tuple[int, ...] = ()

    @classmethod
    def at(cls, address: str, identity: ClientIdentity | None = None) -> Server:
        """One that listens already; its processes are looked for on this machine."""
        return cls(address, identity, processes_at(address))


async def speak(server: Server, load: Load, audio: bytes) -> StreamFigures:
    """Opens all streams, then lets them speak.

    Args:
        server: Whom to.
        load: How.
        audio: PCM16 at 16 kHz, at least as long as a stream.

    Raises:
        VoiceFlowError: No stream was let in: why the first was not.
    """
    heard, usage = await noted(server, load, audio)
    return stream_figures(heard, load.seconds, usage)


async def noted(server: Server, load: Load, audio: bytes) -> tuple[list[Heard], Usage]:
    """As `speak`, with what each stream has seen."""
    meter = Meter(server.processes)
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [open_channel(server.address, server.identity, options) for _ in range(load.streams)]
    try:
        length = int(load.seconds * SAMPLE_RATE_HERTZ) * SAMPLE_BYTES
        streams = []
        whole = memoryview(audio)  # hours of many streams are not copied
        for number, channel in enumerate(channels):
            place = place_bytes(number, load.streams, len(audio), length)
            piece = whole[place : place + length]
            streams.append(_LiveStream(channel, server, piece, load))
        for first in range(0, load.streams, _OPEN_AT_ONCE):
            await asyncio.gather(*(s.open() for s in streams[first : first + _OPEN_AT_ONCE]))
        usage = await _let_speak(streams, meter)
    finally:
        await asyncio.gather(*(channel.close() for channel in channels))
    return [stream.heard for stream in streams], usage


async def _let_speak(streams: Sequence[_LiveStream], meter: Meter) -> Usage:
    begun = [stream.hop_samples for stream in streams if stream.heard.admitted]
    if not begun:
        raise next(stream.refused for stream in streams if stream.refused is not None)
    meter.start()
    start = asyncio.get_running_loop().time() + _LEAD_SECONDS
    hop_seconds = begun[0] / SAMPLE_RATE_HERTZ
    speaking = asyncio.gather(
        *(
            stream.live(start + stagger_seconds(number, len(streams), hop_seconds))
            for number, stream in enumerate(streams)
        )
    )
    try:
        while not speaking.done():
            meter.look()
            await asyncio.wait([speaking], timeout=_LOOK_SECONDS)
        await speaking
    finally:
        speaking.cancel()
    return meter.end()


class _LiveStream:
    """One paced stream.

    Args:
        channel: Its connection.
        server: That it leads to.
        audio: All that it will send.
        load: How.
    """

    def __init__(
        self, channel: grpc.aio.Channel, server: Server, audio: memoryview, load: Load
    ) -> None:
        diarize: grpc.aio.StreamStreamMultiCallable[bytes, bytes]
        diarize = channel.stream_stream(f"/{SERVICE_NAME}/Diarize")
        self._call = diarize()
        self._server = server
        self._audio = audio
        self._load = load
        self.heard = Heard()
        self.hop_samples = 0
        self.refused: VoiceFlowError | None = None

    async def open(self) -> None:
        """Asks to be let in."""
        config = StreamConfig(AudioFormat(Encoding.PCM16, SAMPLE_RATE_HERTZ), self._load.mode)
        try:
            await self._call.write(wire.encoded(config=wire.config_message(config)))
            reply = await self._call.read()
        except grpc.aio.AioRpcError as error:
            self._refuse(self._error_of(error))
            return
        begin = wire.parsed(reply) if isinstance(reply, bytes) else None
        if isinstance(begin, Begin):
            self.hop_samples = begin.hop_samples
            self.heard.admitted = True
        else:
            what = f"the server at {self._server.address} did not begin the stream"
            self._refuse(Unavailable(what, reason="BEGIN_MISSING"))

    async def live(self, start: float) -> None:
        """Speaks in real time from `start` on the event loop's clock, and listens."""
        if not self.heard.admitted:
            return
        speaking = asyncio.create_task(self._speak(start))
        try:
            await self._listen()
            await speaking
        except grpc.aio.AioRpcError as error:
            self.heard.failure = from_rpc_error(error).reason
        except asyncio.InvalidStateError:  # sent to a call that had ended
            self.heard.failure = "CUT"
        finally:
            speaking.cancel()
            await asyncio.gather(speaking, return_exceptions=True)
            self._call.cancel()

    def _refuse(self, error: VoiceFlowError) -> None:
        self.refused = error
        self.heard.failure = error.reason

    def _error_of(self, error: grpc.aio.AioRpcError) -> VoiceFlowError:
        target, identity = self._server.address, self._server.identity
        if is_no_connection(error):
            return no_connection(error, f"the server at {target}", target, identity)
        return from_rpc_error(error)

    async def _speak(self, start: float) -> None:
        loop = asyncio.get_running_loop()
        size = message_samples(self._load.message_milliseconds) * SAMPLE_BYTES
        for number, at in enumerate(range(0, len(self._audio) - size + 1, size)):
            due = start + due_seconds(number, self._load.message_milliseconds)
            await asyncio.sleep(max(0.0, due - loop.time()))
            now = loop.time()
            self.heard.sent.append(now)
            self.heard.late.append(now - due)
            await self._call.write(wire.encoded(audio=bytes(self._audio[at : at + size])))
        await self._call.write(wire.encoded(finish={}))
        await self._call.done_writing()

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        samples = message_samples(self._load.message_milliseconds)
        covered = 0
        while isinstance(reply := await self._call.read(), bytes):
            now = loop.time()
            match wire.parsed(reply):
                case Summary() as summary:
                    self.heard.failure = "" if summary.complete else "NOT_COMPLETE"
                # The last Update, after finish, covers nothing new.
                case Update() as update if update.covered_samples > covered:
                    covered = update.covered_samples
                    message = completing_message(covered, samples, len(self.heard.sent))
                    self.heard.latencies.append(now - self.heard.sent[message])
                case _:
                    pass
