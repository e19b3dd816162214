"""The servers that ours is measured beside: how each is started, and what it is."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.paths import ROOT
from benchmarks.process_tree import ProcessTree, free_port, running_server


@dataclass(frozen=True, slots=True)
class Command:
    """What starts a server.

    Attributes:
        arguments: The program is in the peer's environment, without its folder.
        environment: Besides ours.
    """

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Peer:
    """A server.

    Attributes:
        name: Of its folder beside this file, and of its environment.
        package: Whose version is told.
        protocol: What goes over the wire, in words.
        settings: How it runs, in words.
        command: By the model's path, the port of its calls and that of its health.
        ready_path: Answers 200 once it takes calls.
        health_apart: Health has a port of its own.
    """

    name: str
    package: str
    protocol: str
    settings: str
    command: Callable[[Path, int, int], Command]
    ready_path: str
    health_apart: bool = False

    @property
    def environment(self) -> Path:
        """Folder of its virtual environment."""
        return ROOT / f".venv-peer-{self.name}"

    @property
    def python(self) -> Path:
        """Its interpreter; there once `make peer-NAME` has made it."""
        return self.environment / "bin" / "python"

    def versions(self) -> dict[str, str]:
        """Of the server and of what computes the model."""
        code = (
            "import importlib.metadata as m, json, sys;"
            "print(json.dumps({name: m.version(name) for name in sys.argv[1:]}))"
        )
        command = [str(self.python), "-c", code, self.package, "onnxruntime"]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603
        return dict(json.loads(output))

    @contextmanager
    def running(self, model: Path) -> Iterator[tuple[str, ProcessTree]]:
        """Starts it at free ports and ends it with the block.

        Args:
            model: `model.onnx`.

        Yields:
            `host:port` for calls, and its processes.

        Raises:
            RuntimeError: It does not start.
        """
        port = free_port()
        health = free_port() if self.health_apart else port
        command = self.command(model, port, health)
        program, *arguments = command.arguments
        with running_server(
            [str(self.environment / "bin" / program), *arguments],
            command.environment,
            f"http://127.0.0.1:{health}{self.ready_path}",
        ) as tree:
            yield f"127.0.0.1:{port}", tree


def _module(name: str, model: Path, port: int) -> tuple[str, ...]:
    module = f"benchmarks.peers.{name}.server"
    return ("python", "-m", module, "--model", str(model), "--port", str(port))


def _mlserver(model: Path, port: int, health: int) -> Command:
    return Command(
        ("mlserver", "start", str(ROOT / "benchmarks" / "peers" / "mlserver")),
        {
            "MLSERVER_MODEL_URI": str(model),
            "MLSERVER_GRPC_PORT": str(port),
            "MLSERVER_HTTP_PORT": str(health),
        },
    )


def _litserve(model: Path, port: int, _health: int) -> Command:
    return Command(_module("litserve", model, port))


def _bentoml(model: Path, port: int, _health: int) -> Command:
    service = "benchmarks.peers.bentoml.server:Window"
    return Command(
        ("bentoml", "serve", service, "--host", "127.0.0.1", "--port", str(port)),
        {"MODEL": str(model), "BENTOML_DO_NOT_TRACK": "true"},
    )


def _ray(model: Path, port: int, _health: int) -> Command:
    # The times are for its own processes to start in, where a machine is slow.
    settings = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_raylet_start_wait_time_s": "240",
        "RAY_agent_register_timeout_ms": "240000",
    }
    return Command(_module("ray", model, port), settings)


def _fastapi(model: Path, port: int, _health: int) -> Command:
    app = "benchmarks.peers.fastapi.server:app"
    quiet = ("--no-access-log", "--log-level", "warning")
    keep = ("--timeout-keep-alive", str(KEEP_ALIVE_SECONDS))
    return Command(("uvicorn", app, "--port", str(port), *quiet, *keep), {"MODEL": str(model)})


KEEP_ALIVE_SECONDS: Final = 120
"""How long uvicorn keeps a connection that is quiet: its own 5 s may end while the clients, which
share the cores with the server, wait for their turn."""

_BATCHED: Final = "batches of at most 16, gathered for at most 2 ms"

PEERS: Final = (
    Peer(
        "mlserver",
        "mlserver",
        "gRPC, V2 inference protocol, bytes",
        f"one worker process, {_BATCHED}",
        _mlserver,
        "/v2/models/window/ready",
        health_apart=True,
    ),
    Peer(
        "litserve",
        "litserve",
        "HTTP, bytes",
        f"one worker process, {_BATCHED}",
        _litserve,
        "/health",
    ),
    Peer(
        "bentoml",
        "bentoml",
        "HTTP, bytes",
        "one worker process, no batches: it gathers arrays, which reach it as JSON",
        _bentoml,
        "/readyz",
    ),
    Peer(
        "ray",
        "ray",
        "HTTP, bytes",
        f"Ray Serve, one replica, {_BATCHED}",
        _ray,
        "/-/healthz",
    ),
    Peer(
        "fastapi",
        "fastapi",
        "HTTP, JSON lists of numbers",
        "one process of uvicorn, no batches: it has none",
        _fastapi,
        "/health",
    ),
)
