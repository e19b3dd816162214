"""The clients that all servers are loaded by."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Self

import pytest

from benchmarks.paths import ROOT
from benchmarks.peers.http_calls import TENSOR_BYTES, check_tensors
from benchmarks.peers.load import WINDOW_BYTES, CallFailed, Pace, cut, load
from benchmarks.peers.servers import PEERS
from benchmarks.process_tree import ProcessTree, running_server

WINDOWS = [b"a", b"b"]


def test_paced_clients_are_spread_over_the_interval() -> None:
    """Each calls at its own moment, and no call begins after the end."""
    pace = Pace(clients=4, seconds=1.0, interval_seconds=0.5)
    assert [pace.due(client, 0, 0.0) for client in range(4)] == [0.0, 0.125, 0.25, 0.375]
    assert pace.due(3, 1, 0.6) == 0.875
    assert pace.due(0, 2, 0.6) is None


def test_other_clients_call_as_soon_as_they_are_answered() -> None:
    """Until the time is up."""
    pace = Pace(clients=4, seconds=1.0, interval_seconds=None)
    assert pace.due(3, 7, 0.6) == 0.6
    assert pace.due(3, 8, 1.0) is None


async def test_answers_and_failures_are_counted() -> None:
    """A call that fails has no latency, and its reason is told; windows are sent in turn."""
    sent: list[bytes] = []

    async def call(window: bytes) -> None:
        sent.append(window)
        if window == b"b":
            raise CallFailed("status 503")

    pace = Pace(clients=1, seconds=0.004, interval_seconds=0.001)
    seen = await load([call], WINDOWS, pace)
    assert sent == [b"a", b"b", b"a", b"b"]
    assert len(seen.latencies) == 2
    assert all(latency >= 0 for latency in seen.latencies)
    assert seen.failures == {"status 503": 2}


def test_only_whole_windows_are_sent() -> None:
    """What is left of a recording is not a window."""
    assert [len(window) for window in cut(bytes(2 * WINDOW_BYTES + 10))] == [WINDOW_BYTES] * 2


def test_an_answer_of_another_length_is_a_failure() -> None:
    """A server that says less than the model does not count as fast."""
    check_tensors(bytes(TENSOR_BYTES))
    with pytest.raises(CallFailed, match="an answer of 3 bytes"):
        check_tensors(b"abc")


class Health:
    """Says over HTTP whether a server is ready: not when first asked."""

    def __init__(self, answers: Iterator[int]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(next(answers))
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Keeps quiet."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/health"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


CHILD = "import sys; print('up', flush=True); sys.stdin.readline()"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}])"


def test_a_server_is_waited_for_and_ended() -> None:
    """It runs in the block, once it has said that it is ready, and is gone after it."""
    answers = itertools.chain([503], itertools.repeat(200))
    command = [sys.executable, "-c", "import signal; signal.pause()"]
    with Health(answers) as health, running_server(command, {}, health.url) as tree:
        assert len(tree.processes()) == 1
        assert tree.resident_bytes() > 0
    assert not tree.processes()


def test_a_server_that_does_not_start_says_why() -> None:
    """What it wrote is in the error."""
    command = [sys.executable, "-c", "raise SystemExit('no model')"]
    with (
        Health(itertools.repeat(503)) as health,
        pytest.raises(RuntimeError, match="no model"),
        running_server(command, {}, health.url),
    ):
        pass


def test_processes_that_a_server_starts_are_its_own() -> None:
    """Their time and memory count."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        tree = ProcessTree(process.pid)
        assert len(tree.processes()) == 2
        assert tree.cpu_seconds() > 0
        process.communicate(b"\n")
    assert not tree.processes()


@pytest.mark.parametrize("name", [peer.name for peer in PEERS])
def test_each_peer_computes_with_our_runtime(name: str) -> None:
    """The same version of ONNX Runtime, and no PyTorch: servers are compared, not engines."""
    locked = _pins(ROOT / "benchmarks" / "peers" / name / "requirements.lock")
    assert locked["onnxruntime"] == _pins(ROOT / "requirements" / "runtime.lock")["onnxruntime"]
    assert "torch" not in locked


def test_settings_of_mlserver_are_json() -> None:
    """What is said of its batches is what it is told."""
    folder = ROOT / "benchmarks" / "peers" / "mlserver"
    model = json.loads((folder / "model-settings.json").read_text("utf-8"))
    assert (model["max_batch_size"], model["max_batch_time"]) == (16, 0.002)


def _pins(lock: Path) -> dict[str, str]:
    """Versions by name."""
    lines = [line.split()[0] for line in lock.read_text("utf-8").splitlines() if "==" in line]
    return dict(pin.split("==", 1) for pin in lines if not pin.startswith(("#", "-")))
