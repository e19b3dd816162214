"""Every call that has an end is observed, in all four kinds of methods and however it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from tests.fakes import echo
from tests.fakes.metrics import histogram_count
from tests.fakes.spans import Recorded, recorded
from voiceflow.rpc import tracing
from voiceflow.rpc.access import ACCESS, ANYBODY
from voiceflow.rpc.server import RpcServer, Service
from voiceflow.telemetry.context import trace_parent

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = (("traceparent", f"00-{TRACE}-{PARENT}-01"),)
PLAYED = "test.Played"


async def ended(spans: Recorded, name: str) -> ReadableSpan:
    """The one span of a name, once it has ended; a client may know of the end before."""
    async with asyncio.timeout(30):
        while not (found := spans.named(name)):  # noqa: ASYNC110 the span's end tells nobody
            await asyncio.sleep(0.001)
    (span,) = found
    return span


@pytest.mark.parametrize("kind", echo.KINDS)
async def test_a_call_is_a_child_of_what_its_client_does(kind: str) -> None:
    """Its span has the client's as parent, and says what was called and what came of it."""
    before = histogram_count("voiceflow.rpc.duration", method=kind, status="OK")
    data = echo.Text(value="hello").SerializeToString()
    async with (
        echo.echoing(table=echo.OPEN) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        with recorded() as spans:
            await echo.call(channel, kind, data, metadata=SAMPLED)
            span = await ended(spans, f"test.Echo/{kind}")
    assert span.kind is SpanKind.SERVER
    assert span.parent is not None
    assert (span.parent.trace_id, span.parent.span_id) == (int(TRACE, 16), int(PARENT, 16))
    assert dict(span.attributes or {}) == {
        "rpc.system.name": "grpc",
        "rpc.method": f"test.Echo/{kind}",
        "rpc.response.status_code": "OK",
    }
    assert span.status.status_code is StatusCode.UNSET
    assert histogram_count("voiceflow.rpc.duration", method=kind, status="OK") == before + 1


@pytest.mark.parametrize("kind", echo.KINDS)
@pytest.mark.parametrize(
    ("asked", "status", "fault"),
    [("missing", "NOT_FOUND", StatusCode.UNSET), ("crash", "INTERNAL", StatusCode.ERROR)],
)
async def test_a_call_that_fails_says_how(
    kind: str, asked: str, status: str, fault: StatusCode
) -> None:
    """The status is the one that the client gets; errors of the span are the server's own."""
    data = echo.Text(value=asked).SerializeToString()
    async with (
        echo.echoing(table=echo.OPEN) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        with recorded() as spans:
            await echo.failure(channel, kind, data)
            span = await ended(spans, f"test.Echo/{kind}")
    assert (span.attributes or {})["rpc.response.status_code"] == status
    assert span.status.status_code is fault
    assert not span.events  # no text of an error, which may hold anything


async def test_a_call_that_is_refused_is_observed() -> None:
    """Who may not call is refused inside the span, with the status that it gets."""
    async with (
        echo.echoing(table=ACCESS) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        with recorded() as spans:
            await echo.failure(channel, "unary_unary", b"")
            span = await ended(spans, "test.Echo/unary_unary")
    assert (span.attributes or {})["rpc.response.status_code"] == "PERMISSION_DENIED"


@pytest.mark.parametrize("kind", echo.KINDS)
async def test_what_a_method_does_belongs_to_its_call(kind: str) -> None:
    """Spans that it begins are children of the call's, in a generator, too."""
    async with (
        serving(telling_its_trace) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        with recorded() as spans:
            call = getattr(channel, kind)(f"/{PLAYED}/{kind}")
            started = call(iter([b""]) if kind.startswith("stream") else b"")
            data = await (anext(aiter(started)) if kind.endswith("stream") else started)
            span = await ended(spans, f"{PLAYED}/{kind}")
    context = span.get_span_context()
    assert context is not None
    told = echo.Text.FromString(data).value
    assert told.split("-")[1:3] == [f"{context.trace_id:032x}", f"{context.span_id:016x}"]


@pytest.mark.parametrize("kind", echo.KINDS)
async def test_a_call_that_is_cancelled_ends_its_span(kind: str) -> None:
    """Wherever the method waits, its span ends with it, as cancelled."""
    async with waiting() as (server, entered), grpc.aio.insecure_channel(server.address) as channel:
        with recorded() as spans:
            started = call_waiting(channel, kind)
            await asyncio.wait_for(entered.wait(), 30)
            started.cancel()
            span = await ended(spans, f"{PLAYED}/{kind}")
            assert spans.unended() == []
    assert (span.attributes or {})["rpc.response.status_code"] == "CANCELLED"


@pytest.mark.parametrize("kind", echo.KINDS)
async def test_a_call_ends_its_span_when_the_server_stops(kind: str) -> None:
    """What still runs when the grace is over is cut, and its span ends."""
    async with waiting() as (server, entered), grpc.aio.insecure_channel(server.address) as channel:
        with recorded() as spans:
            started = call_waiting(channel, kind)
            await asyncio.wait_for(entered.wait(), 30)
            await server.stop()
            await ended(spans, f"{PLAYED}/{kind}")
            assert spans.unended() == []
        started.cancel()


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "00",
        f"00-{'0' * 32}-{PARENT}-01",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
        "x" * 4000,
    ],
)
async def test_what_is_no_context_is_as_if_it_had_not_come(parent: str) -> None:
    """A malformed or hostile traceparent neither fails the call nor becomes a parent."""
    async with (
        echo.echoing(table=echo.OPEN) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        with recorded() as spans:
            sent = (("traceparent", parent),)
            await echo.call(channel, "unary_unary", b"", metadata=sent)
            span = await ended(spans, "test.Echo/unary_unary")
    assert span.parent is None


async def test_what_the_client_does_not_keep_is_not_kept() -> None:
    """A caller whose own trace is left out leaves out what belongs to it."""
    async with (
        echo.echoing(table=echo.OPEN) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        with recorded() as spans:
            sent = (("traceparent", f"00-{TRACE}-{PARENT}-00"),)
            await echo.call(channel, "unary_unary", b"", metadata=sent)
            await echo.call(channel, "unary_stream", b"", metadata=SAMPLED)
            await ended(spans, "test.Echo/unary_stream")
    assert [span.name for span in spans.begun] == ["test.Echo/unary_stream"]


async def test_probes_have_no_spans() -> None:
    """There would be more of them than of anything else."""
    async with (
        echo.echoing(table=echo.OPEN) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        with recorded() as spans:
            health = health_pb2_grpc.HealthStub(channel)
            await health.Check(health_pb2.HealthCheckRequest())
            await echo.call(channel, "unary_unary", b"")
            await ended(spans, "test.Echo/unary_unary")
    assert [span.name for span in spans.begun] == ["test.Echo/unary_unary"]


def test_the_calls_without_a_span_exist() -> None:
    """Each is a method that is served, as the table of access has them all."""
    assert ACCESS.keys() >= tracing.ENDLESS | tracing.PROBES


def telling_its_trace(kind: str) -> Callable[..., Any]:
    """A method of a kind that answers with where its trace goes on."""

    def told() -> echo.Text:
        return echo.Text(value=trace_parent())

    async def unary(*_: Any) -> echo.Text:
        return told()

    async def generator(*_: Any) -> AsyncIterator[echo.Text]:
        yield told()

    async def writing(_requests: Any, context: Any) -> None:
        await context.write(told())

    methods: dict[str, Callable[..., Any]] = {"unary_stream": generator, "stream_stream": writing}
    return methods.get(kind, unary)


@asynccontextmanager
async def waiting() -> AsyncIterator[tuple[RpcServer, asyncio.Event]]:
    """A server whose methods wait for ever; the event says that one has begun to."""
    entered = asyncio.Event()

    async def wait(*_: Any) -> None:
        entered.set()
        await asyncio.Event().wait()

    async def wait_after_a_reply(*_: Any) -> AsyncIterator[echo.Text]:
        yield echo.Text()
        await wait()

    async with serving(
        lambda kind: wait_after_a_reply if kind == "unary_stream" else wait
    ) as server:
        yield server, entered


@asynccontextmanager
async def serving(method: Callable[[str], Callable[..., Any]]) -> AsyncIterator[RpcServer]:
    """A server of one method of each kind."""

    def register(server: grpc.aio.Server) -> None:
        handlers = {
            kind: getattr(grpc, f"{kind}_rpc_method_handler")(
                method(kind),
                request_deserializer=echo.Text.FromString,
                response_serializer=echo.Text.SerializeToString,
            )
            for kind in echo.KINDS
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(PLAYED, handlers),))

    table = {f"/{PLAYED}/{kind}": ANYBODY for kind in echo.KINDS}
    server = RpcServer([Service(PLAYED, register)], access=table, grace_seconds=0.1)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def call_waiting(channel: grpc.aio.Channel, kind: str) -> Any:
    """Begins a call that waits."""
    multi = getattr(channel, kind)(f"/{PLAYED}/{kind}")
    return multi(iter([b""]) if kind.startswith("stream") else b"")
