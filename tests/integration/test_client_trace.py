"""What a client asks of a server belongs to the trace in which it asks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from tests.fakes.scripted import BEGIN, SUMMARY, Script
from voiceflow.client import AudioFormat, DiarizationClient, Encoding, StreamConfig
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.diarization.v1 import diarization_pb2_grpc as pb_grpc

CONFIG = StreamConfig(AudioFormat(Encoding.PCM16, 16_000))
SPAN = SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
TRACE_PARENT = f"00-{0xABC:032x}-{0xDEF:016x}-01"


class Noting(grpc.aio.ServerInterceptor):
    """Notes which trace each method is asked in."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Goes on."""
        name = handler_call_details.method.rpartition("/")[2]
        self.asked[name] = dict(handler_call_details.invocation_metadata).get("traceparent")
        return await continuation(handler_call_details)


@pytest.fixture
async def noting() -> AsyncIterator[tuple[Noting, str]]:
    """A server that answers everything, and what it notes."""

    async def answer(requests: AsyncIterator[Any], context: Any) -> Any:
        first = await anext(aiter(requests))
        if isinstance(first, pb.DiarizeFileRequest):
            return pb.DiarizeFileResponse()
        await context.write(BEGIN)
        await context.write(SUMMARY)
        return None

    notes = Noting()
    server = grpc.aio.server(interceptors=[notes])
    pb_grpc.add_DiarizationServicer_to_server(Script([answer]), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield notes, f"127.0.0.1:{port}"
    await server.stop(grace=0)


async def nothing() -> AsyncIterator[bytes]:
    """No audio."""
    pieces: list[bytes] = []
    for piece in pieces:
        yield piece


async def stream(client: DiarizationClient) -> None:
    """A live stream."""
    async for _ in client.diarize(nothing(), CONFIG):
        pass


ASKING: list[tuple[str, Callable[[DiarizationClient], Awaitable[object]]]] = [
    ("Diarize", stream),
    ("DiarizeFile", lambda client: client.diarize_file(nothing, CONFIG)),
    ("GetServingState", lambda client: client.serving_state()),
    ("SetDraining", lambda client: client.set_draining(draining=True)),
]


@pytest.mark.parametrize(("method", "ask"), ASKING)
async def test_every_call_goes_on_with_the_current_trace(
    noting: tuple[Noting, str],
    method: str,
    ask: Callable[[DiarizationClient], Awaitable[object]],
) -> None:
    """W3C Trace Context in its metadata; nothing, where there is none."""
    notes, address = noting
    async with DiarizationClient(address) as client:
        with trace.use_span(NonRecordingSpan(SPAN)):
            await ask(client)
        assert notes.asked == {method: TRACE_PARENT}
        await ask(client)
        assert notes.asked == {method: None}
