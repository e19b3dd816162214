"""Whose processor time and memory is measured."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from voiceflow.bench.usage import Meter, cpu_seconds, processes_at, resident_bytes

_LISTENER = """
import socket, subprocess, sys
listener = socket.create_server(("127.0.0.1", 0))
reads = [sys.executable, "-c", "import sys; sys.stdin.read()"]
child = subprocess.Popen(reads, stdin=subprocess.PIPE)
print(listener.getsockname()[1], child.pid, flush=True)
sys.stdin.read()
child.stdin.close()
child.wait()
"""


@pytest.fixture
def listener() -> Iterator[tuple[int, int, int]]:
    """A process that listens, with a child: the port, and the ids of both."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", _LISTENER]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        port, child = map(int, process.stdout.readline().split())
        yield port, process.pid, child
        assert process.stdin is not None
        process.stdin.close()


def test_a_server_on_this_machine_is_found_with_its_children(
    listener: tuple[int, int, int],
) -> None:
    """By the port that it listens at, however its address is written."""
    port, *processes = listener
    for target in (f"127.0.0.1:{port}", f"localhost:{port}", f"dns:///localhost:{port}"):
        assert processes_at(target) == tuple(sorted(processes))


def test_no_other_is_taken_for_it() -> None:
    """Neither who generates the load, nor one that listens here at the port of another machine."""
    with socket.create_server(("127.0.0.1", 0)) as own:
        port = own.getsockname()[1]
        assert processes_at(f"127.0.0.1:{port}") == ()
    assert processes_at("example.com:1") == ()
    assert processes_at("unix:/run/voiceflow.sock") == ()


def test_a_process_that_has_gone_has_used_nothing() -> None:
    """A server may end while it is looked at."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert cpu_seconds([process.pid]) == 0.0
    assert resident_bytes([process.pid]) == 0


def test_a_server_elsewhere_has_no_usage() -> None:
    """And one here has memory."""
    assert Meter(()).end().server_cpu_seconds is None
    usage = Meter((os.getpid(),)).end()
    assert usage.server_resident_bytes is not None
    assert usage.server_resident_bytes > 1_000_000
