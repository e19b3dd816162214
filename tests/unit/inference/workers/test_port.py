"""A port is held for those who share it, and from everybody else."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from voiceflow_inference.workers.port import reserve

HOST = "127.0.0.1"


@pytest.fixture
def held() -> Iterator[socket.socket]:
    """A free port, held."""
    with reserve(HOST, 0) as one:
        yield one


def number(of: socket.socket) -> int:
    """Its port."""
    port: int = of.getsockname()[1]
    return port


def listening(port: int, *, shared: bool) -> socket.socket:
    """A server's socket, as gRPC opens it."""
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
    try:
        server.bind((HOST, port))
        server.listen()
    except BaseException:
        server.close()
        raise
    return server


def test_those_who_share_it_may_listen(held: socket.socket) -> None:
    """Any number of them, and they are found; who holds it answers nobody."""
    port = number(held)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, port))
    with (
        closing(listening(port, shared=True)) as one,
        closing(listening(port, shared=True)) as other,
        closing(socket.create_connection((HOST, port))) as client,
    ):
        assert client.getpeername() == one.getsockname() == other.getsockname()


def test_who_does_not_share_it_is_refused(held: socket.socket) -> None:
    """A server that is started by mistake notices it."""
    with pytest.raises(OSError, match="in use"):
        listening(number(held), shared=False)


def test_a_second_holder_is_refused_before_anybody_listens(held: socket.socket) -> None:
    """Two groups that are started at once: one of them serves."""
    port = number(held)
    with pytest.raises(OSError, match=rf"{HOST}:{port}: .* another server has this port"):
        reserve(HOST, port)


@pytest.mark.parametrize("shared", [True, False])
def test_a_port_that_somebody_serves_is_refused(shared: bool) -> None:
    """Also one that would let others share it."""
    with closing(listening(0, shared=shared)) as server, pytest.raises(OSError, match="another"):
        reserve(HOST, number(server))


@pytest.mark.parametrize("shared", [True, False])
def test_what_an_ended_server_left_is_in_nobodys_way(shared: bool) -> None:
    """Connections that the server closed first stay known to the system for a minute."""
    with closing(listening(0, shared=shared)) as server:
        port = number(server)
        with closing(socket.create_connection((HOST, port))) as client:
            server.accept()[0].close()
            assert client.recv(1) == b""
    with reserve(HOST, port) as held:
        assert number(held) == port


def test_an_address_of_another_machine_is_named() -> None:
    """With what the system says of it."""
    with pytest.raises(OSError, match=r"cannot listen on 192\.0\.2\.1:50051: Cannot assign"):
        reserve("192.0.2.1", 50051)
