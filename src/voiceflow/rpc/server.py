"""The life of a gRPC server: start, say it is ready, serve, drain, stop.

Both services run on this. Health (``grpc.health.v1``, overall and for each service) and reflection
come with it and stand outside any admission that a service has.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from voiceflow.errors import InvalidInput
from voiceflow.rpc.interceptor import ErrorInterceptor

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
            connection is cancelled. A vanished client is gone after the sum of both.
        minimum_ping_interval_seconds: A client that pings more often is disconnected.
        streams_per_connection: Calls at once on one connection; more wait on the client's side.
    """

    maximum_message_bytes: int = 4 * 1024 * 1024
    maximum_metadata_bytes: int = 16 * 1024
    keepalive_seconds: float = 4.0
    keepalive_timeout_seconds: float = 4.0
    minimum_ping_interval_seconds: float = 5.0
    streams_per_connection: int = 1024


@dataclass
class RpcServer:
    """One gRPC server over its whole life.

    ``run`` is all that a service calls; ``start``, ``drain`` and ``stop`` are its parts, for tests
    that live inside one event loop.

    Attributes:
        services: What is served.
        host: Address to listen on. Anything but loopback needs ``insecure``.
        port: 0 takes a free one.
        insecure: Accept that there is no TLS on an address that others can reach.
        grace_seconds: From the signal to the end of the process.
        on_ready: Called once with the bound ``host:port``, when requests are answered.
        on_drain: Called when the signal has come, with the seconds left; returns when the service's
            streams have ended. The listener stays open meanwhile: the service refuses by itself.
    """

    services: Sequence[Service]
    host: str = "127.0.0.1"
    port: int = 0
    insecure: bool = False
    grace_seconds: float = 30.0
    transport: Transport = field(default_factory=Transport)
    on_ready: Callable[[str], None] = lambda _address: None
    on_drain: Callable[[float], Awaitable[None]] | None = None

    async def run(self) -> None:
        """Serves until SIGTERM or SIGINT, then drains; returns when all is stopped.

        Raises:
            InvalidInput: The address may not be listened on.
            OSError: The port is taken.
        """
        stop_wanted = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, stop_wanted.set)

        await self.start()
        self.on_ready(self.address)
        await stop_wanted.wait()

        for number in _SIGNALS:  # a second signal ends the process at once
            loop.remove_signal_handler(number)
        _LOG.info("draining for at most %g s", self.grace_seconds)
        try:
            await self.drain()
        finally:
            await self.stop()
        _LOG.info("stopped")

    async def start(self) -> None:
        """Binds the port and answers requests from now on."""
        check_exposure(self.host, self.insecure)
        self._health = health.aio.HealthServicer()
        self._server = grpc.aio.server(
            interceptors=(ErrorInterceptor(),), options=_options(self.transport)
        )
        for service in self.services:
            service.register(self._server)
            await self._health.set(service.name, health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = [service.name for service in self.services]
        reflection.enable_server_reflection(
            (*names, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server
        )
        bracketed = f"[{self.host}]" if ":" in self.host else self.host
        try:
            bound = self._server.add_insecure_port(f"{bracketed}:{self.port}")
        except RuntimeError as error:
            raise OSError(f"cannot listen on {bracketed}:{self.port}: {error}") from error
        self.address = f"{bracketed}:{bound}"
        await self._server.start()

    async def drain(self) -> None:
        """Health says NOT_SERVING; streams may end by themselves within the grace period."""
        await self._health.enter_graceful_shutdown()
        if self.on_drain is not None:
            await self.on_drain(self.grace_seconds)

    async def stop(self) -> None:
        """Closes the listener and cancels what still runs."""
        await self._server.stop(grace=_LAST_REPLIES_SECONDS)


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


# What ended just now still has to be written out.
_LAST_REPLIES_SECONDS: Final = 0.5


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
        ("grpc.max_concurrent_streams", transport.streams_per_connection),
        # Two servers on one port would share it in silence.
        ("grpc.so_reuseport", 0),
    ]
