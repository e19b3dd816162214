"""One call of Diarize after it was admitted, read and sent side by side."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Iterable
from dataclasses import replace
from time import monotonic_ns
from typing import Any, TypeVar

import grpc

from voiceflow.client import wire
from voiceflow.client.events import Begin, Event, Timings, Update
from voiceflow.client.failures import is_cut
from voiceflow.client.fate import Fate
from voiceflow.client.latency import HopMeter, hop_latency
from voiceflow.client.tracing import tell_hop
from voiceflow.client.window import Window
from voiceflow.errors import Unavailable, VoiceFlowError
from voiceflow.rpc.status import from_rpc_error

StreamCall = grpc.aio.StreamStreamCall[bytes, bytes]
"""Of Diarize; requests and replies are serialised and parsed here, where that can be timed."""

_Request = TypeVar("_Request")


class Stream:
    """A live stream on one server.

    Args:
        call: Whose first reply was read.
        fate: Of the call.
        begin: That reply.
        window: How far its sending may run ahead.
        meter: Measures its hops; None: nobody asks.
    """

    def __init__(
        self,
        call: StreamCall,
        fate: Fate,
        begin: Begin,
        window: Window,
        meter: HopMeter | None = None,
    ) -> None:
        self.begin = begin
        self.window = window
        self._call = call
        self._fate = fate
        self._meter = meter
        self._sender: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[Event | None] | None = None
        self._put_back: deque[Event] = deque()

    def send(self, sending: Coroutine[Any, Any, None]) -> None:
        """Sends side by side with reading; what fails there ends the call; `read` raises it."""
        self._sender = asyncio.create_task(self._guarded(sending))

    async def write(self, **request: Any) -> bool:
        """Sends one request, by its field; False if the server has ended the call."""
        began_ns = monotonic_ns()
        data = wire.encoded(**request)
        if self._meter is not None:
            self._meter.sent(began_ns, monotonic_ns())
        return await write(self._call, data)

    async def done_writing(self) -> None:
        """Says that no request follows."""
        await done_writing(self._call)

    async def readable(self, *others: asyncio.Future[Any]) -> None:
        """Waits until `read` has a reply, or something else is done; takes nothing."""
        if self._put_back:
            return
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
        await asyncio.wait({self._reading, *others}, return_when=asyncio.FIRST_COMPLETED)

    def put_back(self, events: Iterable[Event]) -> None:
        """Has events that were read come again, before all others."""
        self._put_back.extendleft(reversed([*events]))

    async def read(self) -> Event | None:
        """The next event, of the kinds that this client knows; None at the end.

        Raises:
            VoiceFlowError: What the server says, or STREAM_CUT.
            Exception: What the sending has raised.
        """
        if self._put_back:
            return self._put_back.popleft()
        if self._reading is None:
            return await self._read()
        reading, self._reading = self._reading, None
        return await reading

    async def close(self) -> None:
        """Leaves the stream, whatever state it is in."""
        self._call.cancel()
        tasks = [task for task in (self._sender, self._reading) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self) -> Event | None:
        while (data := await self._receive()) is not None:
            read_ns = monotonic_ns()
            if (event := wire.parsed(data)) is not None:
                return event if self._meter is None else self._measured(event, self._meter, read_ns)
        return None

    def _measured(self, event: Event, meter: HopMeter, read_ns: int) -> Event:
        match event:
            case Update():
                meter.updated(read_ns, monotonic_ns())
            case Timings() if (clocks := meter.clocks_of(event)) is not None:
                tell_hop(self.begin.session, event, clocks)
                return replace(event, latency=hop_latency(event, clocks))
            case _:
                pass
        return event

    async def _receive(self) -> bytes | None:
        try:
            response = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise ended(self._fate.told(error)) from None
        except asyncio.CancelledError:
            sender = self._sender
            if sender is not None:
                await asyncio.wait([sender], timeout=0)
                if sender.done() and not sender.cancelled() and (failure := sender.exception()):
                    raise failure from None
            raise
        return response if isinstance(response, bytes) else None

    async def _guarded(self, sending: Coroutine[Any, Any, None]) -> None:
        try:
            await sending
        except Exception:
            self._call.cancel()
            raise


def ended(error: grpc.aio.AioRpcError) -> VoiceFlowError:
    """Why a call has ended, where the server could be reached."""
    if is_cut(error):
        return cut(f"the stream was reset on its way: {error.details()}")
    return from_rpc_error(error)


def cut(message: str) -> Unavailable:
    """The error for a stream that has ended before it was said to."""
    return Unavailable(message, reason="STREAM_CUT")


async def write(
    call: grpc.aio.StreamStreamCall[_Request, Any] | grpc.aio.StreamUnaryCall[_Request, Any],
    request: _Request,
) -> bool:
    """Sends one request; False if the server has ended the call (reading it says why)."""
    try:
        await call.write(request)
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        return False
    return True


async def done_writing(
    call: grpc.aio.StreamStreamCall[Any, Any] | grpc.aio.StreamUnaryCall[Any, Any],
) -> None:
    """Says that no request follows, unless the call has ended."""
    try:
        await call.done_writing()
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        return
