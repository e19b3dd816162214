"""The server's life and the interceptor, on a real server at a free port."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.fakes.echo import (
    KINDS,
    NAME,
    OPEN,
    Text,
    call,
    echoing,
    failure,
    has_been_told_to_go,
    register,
    who_calls,
)
from tests.fakes.goaway import told_to_close
from tests.fakes.identity import development_identity, pair
from tests.fakes.tls import tls_channel
from voiceflow.errors import InvalidInput, NotAllowedNow, NotFound, Violation
from voiceflow.rpc.server import RpcServer, Service, Transport, check_exposure


@pytest.fixture
async def server() -> AsyncIterator[RpcServer]:
    """A started server."""
    async with echoing(table=OPEN) as server:
        yield server


@pytest.fixture
async def channel(server: RpcServer) -> AsyncIterator[grpc.aio.Channel]:
    """A connection to it."""
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield channel


@pytest.mark.parametrize("kind", KINDS)
async def test_all_four_kinds_answer(channel: grpc.aio.Channel, kind: str) -> None:
    """The interceptor changes nothing where nothing is wrong."""
    assert (await call(channel, kind, Text(value="x").SerializeToString())).value == "x"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_method_may_serialise_by_itself(channel: grpc.aio.Channel, kind: str) -> None:
    """What it replies with as bytes goes out as it is."""
    data = Text(value="bytes").SerializeToString()
    assert (await call(channel, kind, data)).value == "bytes"


@pytest.mark.parametrize("kind", KINDS)
async def test_errors_of_the_tree_reach_the_client(channel: grpc.aio.Channel, kind: str) -> None:
    """Class, reason and field are the ones that the method raised."""
    seen = await failure(channel, kind, Text(value="missing").SerializeToString())
    assert (type(seen), seen.reason, seen.field) == (NotFound, "THING_MISSING", "value")


@pytest.mark.parametrize("kind", KINDS)
async def test_crashes_are_internal_without_text(channel: grpc.aio.Channel, kind: str) -> None:
    """What crashed is in the log, not in the status."""
    seen = await failure(channel, kind, Text(value="crash").SerializeToString())
    assert seen.reason == "INTERNAL"
    assert "secret" not in seen.message


@pytest.mark.parametrize("kind", KINDS)
async def test_verbose_errors_reach_the_client(channel: grpc.aio.Channel, kind: str) -> None:
    """More than a client's limit on metadata is cut; the status stays, and says what is missing."""
    seen = await failure(channel, kind, Text(value="verbose").SerializeToString())
    assert isinstance(seen, NotAllowedNow)
    assert (seen.reason, seen.field) == ("FULL_OF_FAULTS", "x")
    assert seen.message.startswith("öö")
    assert seen.violations[0].kind == "rule.broken"
    assert seen.violations[-1] == Violation("VIOLATIONS_OMITTED", "", "99 more")


@pytest.mark.parametrize("kind", KINDS)
async def test_undecodable_messages_are_invalid(channel: grpc.aio.Channel, kind: str) -> None:
    """I9: bytes that are no message are INVALID_ARGUMENT with a reason."""
    seen = await failure(channel, kind, b"\x0a\xff")
    assert (type(seen), seen.reason) == (InvalidInput, "MESSAGE_UNDECODABLE")


async def test_metadata_over_the_limit_is_refused(channel: grpc.aio.Channel) -> None:
    """I10: 64 KiB of metadata is RESOURCE_EXHAUSTED, and the server goes on."""
    multi: Any = channel.unary_unary(f"/{NAME}/unary_unary")
    with pytest.raises(grpc.RpcError) as caught:
        await multi(b"", metadata=(("x-big", "a" * 65536),))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (await call(channel, "unary_unary", b"")).value == ""


async def health_of(channel: grpc.aio.Channel, service: str) -> int:
    """What the health service says."""
    stub = health_pb2_grpc.HealthStub(channel)
    reply = await stub.Check(health_pb2.HealthCheckRequest(service=service))
    return int(reply.status)


async def test_health_and_reflection_are_served(channel: grpc.aio.Channel) -> None:
    """Health answers overall and by name; reflection lists the service."""
    serving = health_pb2.HealthCheckResponse.SERVING
    assert await health_of(channel, "") == serving
    assert await health_of(channel, NAME) == serving
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    replies = [reply async for reply in stub.ServerReflectionInfo(iter([request]))]
    names = [service.name for service in replies[0].list_services_response.service]
    assert {NAME, "grpc.health.v1.Health"} <= set(names)


async def test_sigterm_drains_before_it_stops() -> None:
    """While the drain runs, health says NOT_SERVING and calls are answered; then it ends."""
    ready = asyncio.get_running_loop().create_future()
    seen: list[int] = []

    async def drain(left: float) -> None:
        assert left == 5.0
        # Else a second one would not end the first process of a container.
        assert callable(signal.getsignal(signal.SIGTERM))
        async with grpc.aio.insecure_channel(await ready) as channel:
            seen.append(await health_of(channel, NAME))
            await call(channel, "unary_unary", b"")

    server = RpcServer(
        [Service(NAME, register)],
        access=OPEN,
        grace_seconds=5.0,
        on_ready=ready.set_result,
        on_drain=drain,
    )
    running = asyncio.create_task(server.run())
    await ready
    os.kill(os.getpid(), signal.SIGTERM)
    await running
    assert seen == [health_pb2.HealthCheckResponse.NOT_SERVING]


async def test_it_can_be_ended_without_a_signal() -> None:
    """Also before it serves, and again: it drains once."""
    drains: list[float] = []

    async def drain(grace_seconds: float) -> None:
        drains.append(grace_seconds)

    server = RpcServer([Service(NAME, register)], access=OPEN, grace_seconds=5.0, on_drain=drain)
    server.end()
    server.end()
    await server.run()
    assert drains == [5.0]


async def test_a_taken_port_is_refused(server: RpcServer) -> None:
    """Two servers never share a port in silence."""
    second = RpcServer([], port=int(server.address.rpartition(":")[2]))
    with pytest.raises(OSError, match="cannot listen"):
        await second.start()


async def test_servers_that_share_ports_have_one() -> None:
    """Each says that it does; what a client asks for comes from one of them."""
    shared = Transport(shares_port=True)
    first = RpcServer([Service(NAME, register)], access=OPEN, transport=shared)
    await first.start()
    second = replace(first, port=int(first.address.rpartition(":")[2]))
    await second.start()
    assert first.address == second.address
    async with grpc.aio.insecure_channel(first.address) as channel:
        assert (await call(channel, "unary_unary", b"")).value == ""
    await asyncio.gather(first.stop(), second.stop())


async def test_one_that_drains_leaves_a_shared_port_to_the_others() -> None:
    """Of both ports; what it has begun goes on."""
    shared = Transport(shares_port=True)
    first = RpcServer([Service(NAME, register)], access=OPEN, health_port=0, transport=shared)
    await first.start()
    ports = [int(address.rpartition(":")[2]) for address in (first.address, first.health_address)]
    async with grpc.aio.insecure_channel(first.address) as channel:
        stream: Any = channel.stream_stream(f"/{NAME}/stream_stream")
        opened = stream()
        await opened.write(Text(value="before").SerializeToString())
        assert Text.FromString(await opened.read()).value == "before"
        await first.drain()
        for port in ports:
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
        await opened.write(Text(value="after").SerializeToString())
        assert Text.FromString(await opened.read()).value == "after"
        await opened.done_writing()
        assert await opened.read() is grpc.aio.EOF
    await first.stop()


async def test_connections_are_renewed_and_calls_go_on(
    server: RpcServer, channel: grpc.aio.Channel
) -> None:
    """Also again: each open call ends as it would have, new calls find the same port."""
    opened = []
    address = server.address
    stream: Any = channel.stream_stream(f"/{NAME}/stream_stream")
    for name in ("first", "second", "third"):
        opened.append(stream())
        await opened[-1].write(Text(value=name).SerializeToString())
        assert Text.FromString(await opened[-1].read()).value == name
        await server.renew_connections()
        assert server.address == address
        await has_been_told_to_go(channel)
    for running in opened:
        await running.write(Text(value="goes on").SerializeToString())
        assert Text.FromString(await running.read()).value == "goes on"
        await running.done_writing()
        assert await running.read() is grpc.aio.EOF
    assert (await call(channel, "unary_unary", b"")).value == ""


async def test_a_renewal_tells_every_connection_to_close(server: RpcServer) -> None:
    """Also those on which nothing is asked: their next call goes elsewhere."""
    async with asyncio.timeout(30):
        closing = [asyncio.create_task(told_to_close(server.address)) for _ in range(3)]
        async with grpc.aio.insecure_channel(server.address) as channel:
            await call(channel, "unary_unary", b"")
        assert not any(task.done() for task in closing)
        await server.renew_connections()
        await asyncio.gather(*closing)


async def test_connections_to_a_server_that_leaves_are_short(server: RpcServer) -> None:
    """Whoever comes back too soon is told to go again, while what it asked is answered."""
    async with asyncio.timeout(30):
        await server.renew_connections(age_seconds=0.1)
        await told_to_close(server.address)
        await told_to_close(server.address)


@pytest.mark.parametrize("turns", range(4))
async def test_a_renewal_outlives_who_asked_for_it(server: RpcServer, turns: int) -> None:
    """The server has a listener again, though nobody waits for it any more."""
    renewal = asyncio.create_task(server.renew_connections())
    for _ in range(turns):
        await asyncio.sleep(0)
    renewal.cancel()
    await asyncio.wait([renewal])
    async with asyncio.timeout(30), grpc.aio.insecure_channel(server.address) as channel:
        await channel.channel_ready()
        assert (await call(channel, "unary_unary", b"")).value == ""


async def test_renewals_follow_one_another(server: RpcServer) -> None:
    """However many are asked for at once."""
    async with asyncio.timeout(30), grpc.aio.insecure_channel(server.address) as channel:
        await asyncio.gather(*(server.renew_connections() for _ in range(3)))
        assert (await call(channel, "unary_unary", b"")).value == ""


async def test_a_server_that_ends_tells_its_connections_to_close(server: RpcServer) -> None:
    """So that clients look for another one while it waits for what still runs."""
    async with asyncio.timeout(30):
        closing = asyncio.create_task(told_to_close(server.address))
        async with grpc.aio.insecure_channel(server.address) as channel:
            await call(channel, "unary_unary", b"")
        await server.drain()
        await closing


async def test_a_port_that_was_taken_meanwhile_keeps_no_server_from_ending(
    server: RpcServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server waits for it, and stops when it is told to."""

    def taken(*_arguments: Any) -> Any:
        raise OSError("cannot listen")

    monkeypatch.setattr(server, "_open", taken)
    monkeypatch.setattr("voiceflow.rpc.server._RENEWAL_SECONDS", 0.01)
    await server.drain()
    await server.stop()


@pytest.mark.parametrize("host", ["10.0.0.1", "::", "192.0.2.1", "example.org"])
def test_plain_text_stays_on_loopback(host: str) -> None:
    """Listening beyond loopback without TLS has to be said out loud."""
    with pytest.raises(InvalidInput, match="--insecure"):
        check_exposure(host, insecure=False)
    check_exposure(host, insecure=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_loopback_needs_no_leave(host: str) -> None:
    """Local development just works."""
    check_exposure(host, insecure=False)


SECURED: dict[str, Any] = {
    "tls_cert": pair("server").certificate,
    "tls_key": pair("server").key,
    "client_ca": pair("server").ca,
    "access": development_identity() / "access.yaml",
}


async def test_a_server_in_plain_text_does_not_start_beyond_loopback() -> None:
    """Whoever builds it; with TLS it does."""
    with pytest.raises(InvalidInput) as caught:
        await RpcServer([], host="0.0.0.0").start()  # noqa: S104 that is what is tried
    assert caught.value.reason == "INSECURE_ADDRESS"
    async with echoing(host="0.0.0.0", **SECURED) as server:  # noqa: S104 as above
        port = server.address.rpartition(":")[2]
        async with tls_channel(f"127.0.0.1:{port}", pair("client")) as channel:
            assert (await who_calls(channel)).peer.startswith("127.0.0.1:")


async def test_health_may_be_asked_for_at_a_port_of_its_own() -> None:
    """In plain text beside a server that demands certificates; nothing else is answered there."""
    async with (
        echoing(health_port=0, **SECURED) as server,
        grpc.aio.insecure_channel(server.health_address) as channel,
    ):
        assert await health_of(channel, NAME) == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, "unary_unary", b"")
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        await server.drain()
        assert await health_of(channel, NAME) == health_pb2.HealthCheckResponse.NOT_SERVING
        assert await health_of(channel, "") == health_pb2.HealthCheckResponse.NOT_SERVING


async def test_a_taken_health_port_is_refused(server: RpcServer) -> None:
    """As that of the server is."""
    second = RpcServer([], health_port=int(server.address.rpartition(":")[2]))
    with pytest.raises(OSError, match="cannot listen"):
        await second.start()


async def test_a_server_that_has_stopped_looks_at_no_files() -> None:
    """What it kept fresh is left alone."""
    before = asyncio.all_tasks()
    async with echoing(**SECURED):
        assert len(asyncio.all_tasks()) > len(before)
    assert asyncio.all_tasks() == before
