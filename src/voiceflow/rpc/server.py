"""The life of a gRPC server: start, say it is ready, serve, drain, stop.

Both services run on this. Health (``grpc.health.v1``, overall and for each service) and reflection
come with it and stand outside any admission that a service has. Every call passes the errors' table
first, is observed, passes the table of access, and only then is its message looked at.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Final

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from voiceflow.errors import InvalidInput
from voiceflow.rpc.access import ACCESS, Access, AccessInterceptor, OnRefused
from voiceflow.rpc.freshness import keep_fresh
from voiceflow.rpc.health import Health
from voiceflow.rpc.interceptor import DecodingInterceptor, ErrorInterceptor
from voiceflow.rpc.security import Security
from voiceflow.rpc.tracing import TracingInterceptor

_LOG = logging.getLogger(__name__)

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True)
class Service:
    """A service to be served.

    Attributes:
        name: Full proto name, for health and reflection.
        register: Adds the servicer; ``partial(add_XServicer_to_server, servicer)``.
    """

    name: str
    register: Callable[[grpc.aio.Server], None]


@dataclass(frozen=True)
class Transport:
    """Limits of the transport; a connection that passes them is closed by gRPC itself.

    Attributes:
        maximum_message_bytes: Larger requests are RESOURCE_EXHAUSTED.
        maximum_metadata_bytes: Requests with more metadata are RESOURCE_EXHAUSTED.
        keepalive_seconds: Silence after which the server asks whether the client is still there.
        keepalive_timeout_seconds: How long it waits for the answer; then every stream of that
            connection is cancelled. A vanished client is gone after the sum of both. A server that
            itself stands still for longer loses all of its streams.
        minimum_ping_interval_seconds: A client that pings more often is disconnected.
        streams_per_connection: Calls at once on one connection; more wait on the client's side.
        connection_age_seconds: Age at which a connection takes no more calls, give or take a tenth;
            clients make another and are looked at anew, by the client CAs of then. What runs on the
            old one goes on to its end.
        shares_port: Other processes listen on the port as well, and the system spreads connections
            over them (SO_REUSEPORT); else a second server on one port is an error.
    """

    maximum_message_bytes: int = 4 * 1024 * 1024
    maximum_metadata_bytes: int = 16 * 1024
    keepalive_seconds: float = 3.0
    keepalive_timeout_seconds: float = 7.0
    minimum_ping_interval_seconds: float = 5.0
    streams_per_connection: int = 1024
    connection_age_seconds: float = 1500.0
    shares_port: bool = False


@dataclass
class RpcServer:
    """One gRPC server over its whole life.

    ``run`` is all that a service calls; ``start``, ``drain`` and ``stop`` are its parts, for tests
    that live inside one event loop. `set_serving` and `renew_connections` take it out of
    service, and back, while it runs.

    Attributes:
        services: What is served.
        host: Address to listen on. Anything but loopback needs TLS, or ``insecure``.
        port: 0 takes a free one.
        security: Encrypts, and tells who calls; its files are looked at again while this serves.
        insecure: Accept that there is no TLS on an address that others can reach.
        health_host: Address to answer health checks on in plain text, and nothing else.
        health_port: 0 takes a free one; None: none.
        access: Who may call what.
        on_refused: Hears of calls that were refused to callers who are known.
        grace_seconds: From the signal to the end of the process.
        on_ready: Called once with the bound ``host:port``, when requests are answered.
        on_drain: Called when the signal has come, with the seconds left; returns when the service's
            streams have ended. Unless the port is shared, the listener stays open meanwhile: the
            service refuses by itself.
    """

    services: Sequence[Service]
    host: str = "127.0.0.1"
    port: int = 0
    security: Security = field(default_factory=Security.development)
    insecure: bool = False
    health_host: str = "127.0.0.1"
    health_port: int | None = None
    access: Mapping[str, Access] = field(default_factory=lambda: ACCESS)
    on_refused: OnRefused | None = None
    grace_seconds: float = 30.0
    transport: Transport = field(default_factory=Transport)
    on_ready: Callable[[str], None] = lambda _address: None
    on_drain: Callable[[float], Awaitable[None]] | None = None

    _end_wanted: asyncio.Event = field(default_factory=asyncio.Event, init=False, repr=False)

    async def run(self) -> None:
        """Serves until SIGTERM, SIGINT or `end`, then drains; returns when all is stopped.

        Raises:
            InvalidInput: The address may not be listened on.
            OSError: The port is taken.
        """
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self.end)

        await self.start()
        self.on_ready(self.address)
        await self._end_wanted.wait()

        for number in _SIGNALS:  # a second signal ends the process at once
            loop.remove_signal_handler(number)
        heed_sigterm()
        _LOG.info("draining for at most %g s", self.grace_seconds)
        try:
            await self.drain()
        finally:
            await self.stop()
        _LOG.info("stopped")

    def end(self) -> None:
        """Has `run` drain and return, as a signal does; again: nothing."""
        self._end_wanted.set()

    async def start(self) -> None:
        """Binds the ports and answers requests from now on.

        Raises:
            InvalidInput: INSECURE_ADDRESS.
            OSError: A port is taken.
        """
        if not self.security.has_identity:
            check_exposure(self.host, self.insecure)
        self._health = Health([service.name for service in self.services])
        self._ending = False
        self._renewing = asyncio.Lock()
        self._renewals: set[asyncio.Task[None]] = set()
        # Those that end: each has no listener any more, and calls that go on.
        self._old: dict[grpc.aio.Server, asyncio.Task[None]] = {}
        self._health_server: grpc.aio.Server | None = None
        self._server, self.address = self._open(self.host, self.port)
        if self.health_port is not None:
            self._health_server = self._open_health_port(self.health_port)
            await self._health_server.start()
        await self._server.start()
        self._freshness = asyncio.create_task(
            keep_fresh(self.security.sources, self.security.reload_seconds)
        )

    async def drain(self) -> None:
        """Takes the server out of service; streams may end by themselves in the grace period.

        Health says NOT_SERVING, and connections are told to close, so that clients look for another
        server meanwhile. Where others listen on the port, new connections are left to them.
        """
        self._ending = True
        self.set_serving(serving=False)
        if self.transport.shares_port and self._health_server is not None:
            await self._health_server.stop(None)
        with suppress(TimeoutError):
            async with asyncio.timeout(_RENEWAL_SECONDS):
                await self.renew_connections(LEAVING_AGE_SECONDS)
        if self.on_drain is not None:
            await self.on_drain(self.grace_seconds)

    async def stop(self) -> None:
        """Closes the listeners and cancels what still runs."""
        self._freshness.cancel()
        for renewal in self._renewals:
            renewal.cancel()
        await asyncio.gather(*self._renewals, return_exceptions=True)
        servers = [self._server, *self._old]
        if self._health_server is not None:
            servers.append(self._health_server)
        await asyncio.gather(*(server.stop(_LAST_REPLIES_SECONDS) for server in servers))
        await asyncio.gather(*self._old.values())

    def set_serving(self, *, serving: bool) -> None:
        """Health says so from now on; that of a server that ends stays NOT_SERVING."""
        self._health.switch(serving=serving and not self._ending)

    async def renew_connections(self, age_seconds: float | None = None) -> None:
        """Tells every connection to close, and takes new ones on the same port.

        Clients hear HTTP/2 GOAWAY: calls that are open go on to their end, and new ones need a new
        connection, wherever their name or load balancer leads by then. For the moment in which the
        port changes hands, connections are refused.

        Args:
            age_seconds: Age at which new connections are told to close in their turn, give or take
                a tenth; None: that of the transport.
        """
        renewal = asyncio.create_task(self._renew(age_seconds))
        self._renewals.add(renewal)
        renewal.add_done_callback(self._renewals.discard)
        # A caller that leaves must not leave a server without a listener.
        await asyncio.shield(renewal)

    async def _renew(self, age_seconds: float | None) -> None:
        async with self._renewing:
            old = self._server
            self._old[old] = asyncio.create_task(self._end(old))
            await asyncio.sleep(0)  # now it has begun to end
            if self._ending and self.transport.shares_port:
                return
            self._server, self.address = await self._open_again(age_seconds)
            await self._server.start()

    async def _open_again(self, age_seconds: float | None) -> tuple[grpc.aio.Server, str]:
        host, _, port = self.address.rpartition(":")
        warned = False
        while True:
            try:
                return self._open(host.strip("[]"), int(port), age_seconds)
            except OSError as error:
                if not warned:
                    _LOG.warning("%s; trying until it is free", error)
                    warned = True
            await asyncio.sleep(_PORT_PAUSE_SECONDS)

    async def _end(self, server: grpc.aio.Server) -> None:
        await server.stop(_FOR_GOOD_SECONDS)
        del self._old[server]

    def _open(
        self, host: str, port: int, age_seconds: float | None = None
    ) -> tuple[grpc.aio.Server, str]:
        access = AccessInterceptor(self.security, self.on_refused, self.access)
        transport = self.transport
        if age_seconds is not None:
            transport = replace(transport, connection_age_seconds=age_seconds)
        server = _new_server(
            transport, ErrorInterceptor(), TracingInterceptor(), access, DecodingInterceptor()
        )
        for service in self.services:
            service.register(server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = [service.name for service in self.services]
        reflection.enable_server_reflection(
            (*names, health.SERVICE_NAME, reflection.SERVICE_NAME), server
        )
        return server, _bind(server, host, port, self.security.server_credentials())

    def _open_health_port(self, port: int) -> grpc.aio.Server:
        server = _new_server(self.transport, ErrorInterceptor(), DecodingInterceptor())
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        self.health_address = _bind(server, self.health_host, port, None)
        _LOG.info("health checks are answered at %s", self.health_address)
        return server


def heed_sigterm() -> None:
    """Has SIGTERM end this process at once, as it does unless somebody handles it.

    But of the first process of a container, which a service is, the kernel keeps away whatever
    that does not handle: one that is told to go while it begins would be waited for in vain.
    """
    signal.signal(signal.SIGTERM, _end)


def _end(number: int, frame: FrameType | None) -> None:
    del frame
    os._exit(128 + number)


def check_exposure(host: str, insecure: bool) -> None:
    """Refuses to listen in plain text where other machines can reach it.

    Raises:
        InvalidInput: Host is not loopback and ``insecure`` was not said.
    """
    if not is_loopback(host) and not insecure:
        raise InvalidInput(
            f"{host} can be reached from other machines and there is no TLS: all"
            " that is said would travel in plain text. Listen on 127.0.0.1, or say --insecure",
            reason="INSECURE_ADDRESS",
            field="host",
        )


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _new_server(transport: Transport, *interceptors: grpc.aio.ServerInterceptor) -> grpc.aio.Server:
    return grpc.aio.server(interceptors=interceptors, options=_options(transport))


def _bind(
    server: grpc.aio.Server, host: str, port: int, credentials: grpc.ServerCredentials | None
) -> str:
    """Binds a port; without credentials, for plain text. Returns the bound ``host:port``."""
    bracketed = f"[{host}]" if ":" in host else host
    address = f"{bracketed}:{port}"
    try:
        if credentials is None:
            bound = server.add_insecure_port(address)
        else:
            bound = server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {address}: {error}") from error
    return f"{bracketed}:{bound}"


LEAVING_AGE_SECONDS: Final = 1.0
"""Age of connections to a server that is out of service. A client that came back too soon, before
its load balancer knew, is not to stay where all is refused."""

# What ended just now still has to be written out.
_LAST_REPLIES_SECONDS: Final = 0.5
# How long calls may go on that began before connections were renewed: to their end.
_FOR_GOOD_SECONDS: Final = 365 * 86_400.0
# A port that somebody took in between keeps no server from ending.
_RENEWAL_SECONDS: Final = 1.0
_PORT_PAUSE_SECONDS: Final = 0.01
_WINDOW_BYTES: Final = 1024 * 1024


def _options(transport: Transport) -> list[tuple[str, int]]:
    def milliseconds(seconds: float) -> int:
        return round(seconds * 1000)

    timeout = milliseconds(transport.keepalive_timeout_seconds)
    return [
        ("grpc.max_receive_message_length", transport.maximum_message_bytes),
        # gRPC refuses at random between the soft limit and the hard one; here they are one.
        ("grpc.max_metadata_size", transport.maximum_metadata_bytes),
        ("grpc.absolute_max_metadata_size", transport.maximum_metadata_bytes),
        ("grpc.keepalive_time_ms", milliseconds(transport.keepalive_seconds)),
        ("grpc.keepalive_timeout_ms", timeout),
        # A frozen client's kernel still acknowledges; only an unanswered ping tells.
        ("grpc.http2.ping_timeout_ms", timeout),
        ("grpc.http2.max_pings_without_data", 0),
        (
            "grpc.http2.min_ping_interval_without_data_ms",
            milliseconds(transport.minimum_ping_interval_seconds),
        ),
        ("grpc.http2.max_ping_strikes", 2),
        # gRPC would measure how much may be on its way, by a ping for most messages of a live
        # stream. With a window that stays, 10 MB a second come from who is 100 ms away.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", _WINDOW_BYTES),
        ("grpc.max_concurrent_streams", transport.streams_per_connection),
        ("grpc.max_connection_age_ms", milliseconds(transport.connection_age_seconds)),
        # gRPC's own default is 1: two servers on one port would share it in silence.
        ("grpc.so_reuseport", int(transport.shares_port)),
    ]
