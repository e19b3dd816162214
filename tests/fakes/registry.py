"""The real registry, inside a test's own event loop or as a process, on a free port.

Models are not run: gates do as they are told, unless a test asks for the real ones. As a process:

    python -m tests.fakes.registry --store FOLDER [any setting of the registry]
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import grpc
import pytest
from pydantic_settings import CliApp

from tests.fakes.memory_store import MemoryStore
from tests.fakes.publishing import Package, ScriptedGates
from voiceflow.client.fate import Fate
from voiceflow.errors import VoiceFlowError
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.registry.v1 import registry_pb2_grpc as pb_grpc
from voiceflow.rpc.security import Security, open_security
from voiceflow.rpc.status import from_rpc_error
from voiceflow.telemetry import started
from voiceflow_registry.app import App, assemble, open_store
from voiceflow_registry.settings import Settings
from voiceflow_registry.storage.object_store import ObjectStore
from voiceflow_registry.validations import GateRunner

Seen = TypeVar("Seen")

ROOT = Path(__file__).parents[2]
CHUNK_BYTES = 1 << 20


@asynccontextmanager
async def running(
    store: ObjectStore | None = None,
    gates: GateRunner | None = None,
    *,
    security: Security | None = None,
    connect: Callable[[str], grpc.aio.Channel] = grpc.aio.insecure_channel,
    **settings: Any,
) -> AsyncIterator[tuple[App, pb_grpc.ModelRegistryStub]]:
    """Serves a store; yields the app and a connection to it.

    Args:
        store: None: one in memory.
        gates: None: as they are told.
        security: None: as the settings say.
        connect: Makes the connection to an address; with TLS, it has to be another than this.
        settings: Replace the defaults here.
    """
    defaults: dict[str, Any] = {"port": 0, "grace_seconds": 1.0, "poll_seconds": 0.05}
    defaults["demanded_gates"] = "manifest,graph,contract"
    made = Settings(**defaults | settings)
    app = assemble(
        made,
        store or MemoryStore(),
        gates or ScriptedGates(),
        security=security or open_security(made),
        has_evaluation_set=False,
    )
    address = await app.start()
    try:
        async with connect(address) as channel:
            yield app, pb_grpc.ModelRegistryStub(channel)
    finally:
        await app.stop()


class Process:
    """A registry as a process of its own.

    Attributes:
        address: `host:port`.
    """

    def __init__(self, process: asyncio.subprocess.Process, address: str) -> None:
        self._process = process
        self.address = address

    @property
    def pid(self) -> int:
        """Its id."""
        return self._process.pid

    async def kill(self) -> None:
        """Ends it at once, as a machine that fails does."""
        self._process.kill()
        await self._process.wait()

    async def ended(self) -> tuple[int, str]:
        """Waits for its end; gives its exit status and log."""
        _, log = await self._process.communicate()
        assert self._process.returncode is not None
        return self._process.returncode, log.decode()


@asynccontextmanager
async def process(*arguments: str, module: str = "tests.fakes.registry") -> AsyncIterator[Process]:
    """Starts a registry, waits until it is ready, and ends it."""
    started = await spawn(*arguments, module=module)
    assert started.stdout is not None
    try:
        line = (await started.stdout.readline()).decode()
        assert line.startswith("ready "), (await started.communicate())[1].decode()
        facts = dict(word.partition("=")[::2] for word in line.split())
        yield Process(started, facts["address"])
    finally:
        if started.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                started.terminate()
        await started.communicate()


async def spawn(*arguments: str, module: str) -> asyncio.subprocess.Process:
    """Starts a registry on a free port."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        "--port",
        "0",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("VOICEFLOW")},
    )


def begin(what: Package, **fields: Any) -> pb.PublishVersionRequest:
    """The first request of a publish."""
    files = [
        pb.PublishBegin.DeclaredFile(file=file, size_bytes=len(content))
        for file, content in what.files.items()
    ]
    defaults: dict[str, Any] = {
        "version": str(what.name),
        "manifest": what.manifest,
        "files": files,
    }
    return pb.PublishVersionRequest(begin=pb.PublishBegin(**defaults | fields))


def chunk(file: str, offset: int, data: bytes, **fields: Any) -> pb.PublishVersionRequest:
    """A piece of a file."""
    return pb.PublishVersionRequest(
        chunk=pb.FileChunk(file=file, offset=offset, data=data, **fields)
    )


def whole(what: Package, **fields: Any) -> list[pb.PublishVersionRequest]:
    """All requests of a publish."""
    return [
        begin(what, **fields),
        *(
            chunk(file, offset, content[offset : offset + CHUNK_BYTES])
            for file, content in what.files.items()
            for offset in range(0, len(content), CHUNK_BYTES)
        ),
    ]


async def publish(
    registry: pb_grpc.ModelRegistryStub, what: Package, **fields: Any
) -> pb.PublishVersionResponse:
    """Publishes a package.

    Raises:
        grpc.aio.AioRpcError: As the registry answers.
    """
    response: pb.PublishVersionResponse = await call(registry.PublishVersion, whole(what, **fields))
    return response


async def call(method: Any, request: Any) -> Any:
    """Calls a method of any kind; a stream of replies is read to its end.

    Args:
        method: Of a stub.
        request: Or a sequence of them, for a method that takes a stream.
    """
    started = method(request, timeout=60)
    fate = Fate(started)
    try:
        if isinstance(started, grpc.aio.UnaryStreamCall):
            return [reply async for reply in started]
        return await started
    except grpc.aio.AioRpcError as error:
        raise fate.told(error) from None


async def failure(method: Any, request: Any) -> VoiceFlowError:
    """The error that a call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(method, request)
    return from_rpc_error(caught.value)


async def eventually(look: Callable[[], Awaitable[Seen]], *, seconds: float = 30.0) -> Seen:
    """Looks again and again until there is something to see."""
    async with asyncio.timeout(seconds):
        while not (seen := await look()):  # noqa: ASYNC110 - another process may bring it about
            await asyncio.sleep(0.01)
    return seen


def promotion(channel: str, primary: str, **fields: Any) -> pb.PromoteVersionRequest:
    """A wish that a channel serve one version."""
    pin = pb.VersionPin(version=primary)
    return pb.PromoteVersionRequest(channel=channel, rollout=pb.Rollout(primary=pin), **fields)


def main(arguments: Iterable[str]) -> None:
    """The process: a registry whose gates pass."""
    quick = ("--poll-seconds", "0.2", "--demanded-gates", "manifest,graph,contract")
    settings = CliApp.run(Settings, cli_args=[*arguments, *quick])

    def say_ready(address: str) -> None:
        sys.stdout.write(f"ready address={address} store={settings.store}\n")
        sys.stdout.flush()

    app = assemble(
        settings,
        open_store(settings),
        ScriptedGates(),
        security=open_security(settings),
        has_evaluation_set=False,
        on_ready=say_ready,
    )
    with started(settings, "voiceflow-registry"):
        asyncio.run(app.run())


if __name__ == "__main__":
    main(sys.argv[1:])
