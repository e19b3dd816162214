"""Versions on their way to a service that is killed meanwhile, or starts without its registry."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.models import write_stream_package
from tests.fakes.publishing import Package
from tests.fakes.simulated_registry import (
    MODEL,
    Sent,
    SimulatedRegistry,
    honest_chunks,
    serving,
)
from tests.fakes.trust import trust_roots
from voiceflow.catalog.versions import VersionFile
from voiceflow.client import DiarizationClient
from voiceflow.package import MANIFEST_FILE, REQUIRED_FILES

OLD, NEW = "1.0.0", "2.0.0"


class Process:
    """An inference service as a process.

    Attributes:
        address: Where it answers; empty: it is not ready.
        log: What it has said so far.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.address = ""
        self.log = ""
        self._reading = [
            asyncio.create_task(self._read_log()),
            asyncio.create_task(self._read_ready()),
        ]

    async def ready(self) -> None:
        """Waits until it serves."""
        await self.until(lambda: self.address)

    async def until(self, seen: Any) -> None:
        """Waits until something is so."""
        async with asyncio.timeout(60):
            while not seen():
                assert self._process.returncode is None, self.log
                await asyncio.sleep(0.01)

    async def serves(self, version: str) -> None:
        """Waits until it serves a version to new streams."""
        async with DiarizationClient(self.address) as client, asyncio.timeout(60):
            while True:
                state = await client.serving_state()
                for one in state.generations:
                    name = f"models/{MODEL}/versions/{version}"
                    if (one.model_version, one.role, one.state) == (name, "primary", "active"):
                        return
                await asyncio.sleep(0.05)

    async def end(self, number: int) -> None:
        """Sends it a signal, and waits for its end."""
        if self._process.returncode is None:
            self._process.send_signal(number)
        await self._process.wait()
        await asyncio.gather(*self._reading)

    async def _read_log(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self.log += line.decode()

    async def _read_ready(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.address = dict(word.split("=") for word in line.decode().split()[1:])["address"]


@asynccontextmanager
async def started(disk: Path, registry: str) -> AsyncIterator[Process]:
    """Starts a service on a disk; it is ended with the block."""
    arguments = {
        "registry": registry,
        "model": MODEL,
        "port": 0,
        "cache-dir": disk / "cache",
        "state-dir": disk / "state",
        "trust-root": disk / "root.json",
        "registry-wait-seconds": 1,
    }
    command = [f"--{name}={value}" for name, value in arguments.items()]
    inherited = {n: value for n, value in os.environ.items() if not n.startswith("VOICEFLOW")}
    process = Process(
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "voiceflow_inference",
            *command,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=inherited,
        )
    )
    try:
        yield process
    finally:
        await process.end(signal.SIGKILL)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """With a trust root."""
    (tmp_path / "root.json").write_bytes(trust_roots().to_json())
    return tmp_path


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Package]:
    """Two versions that run."""
    made = {}
    for version in (OLD, NEW):
        folder = write_stream_package(tmp_path_factory.mktemp(version), version, model=MODEL)
        files = {file: (folder / file).read_bytes() for file in REQUIRED_FILES}
        made[version] = Package((folder / MANIFEST_FILE).read_bytes(), files)
    return made


class Stalling:
    """A registry's way of sending that stops in the middle of each large file."""

    def __init__(self) -> None:
        self.stalled = False

    async def chunks(self, file: VersionFile, content: bytes, at: int) -> AsyncIterator[Sent]:
        """Half of what is left, and then nothing more."""
        half = at + (len(content) - at) // 2
        async for reply in honest_chunks(file, content, at):
            if not isinstance(reply, bytes) and reply.offset >= half and len(content) > 2000:
                self.stalled = True
                await asyncio.Event().wait()
            yield reply


def kept(disk: Path) -> int:
    """Bytes of what has come of versions that are not complete."""
    partial = (disk / "cache").rglob(".*.partial/*")
    return sum(path.stat().st_size for path in partial)


async def test_i27_a_download_that_was_killed_is_gone_on_with(
    disk: Path, packages: dict[str, Package]
) -> None:
    """At the first start: nothing that is not complete is served, and nothing fetched twice."""
    registry = SimulatedRegistry()
    registry.promote(registry.publish(packages[OLD]))
    stalling = Stalling()
    async with serving(registry) as address:
        with registry.attacked(lambda one: setattr(one, "chunks", stalling.chunks)):
            async with started(disk, address) as process:
                await process.until(lambda: stalling.stalled and kept(disk))
                await process.end(signal.SIGKILL)
                assert not process.address
        assert list((disk / "cache").rglob(MANIFEST_FILE)) == []
        here, before = kept(disk), registry.sent_bytes
        async with started(disk, address) as process:
            await process.ready()
            await process.serves(OLD)
        whole = sum(len(content) for content in packages[OLD].files.values())
        assert registry.sent_bytes - before == whole - here


async def test_i27_r38_a_service_that_was_killed_while_it_fetched_serves_what_it_served(
    disk: Path, packages: dict[str, Package]
) -> None:
    """Without its registry; once that is there, the newer version arrives from where it was."""
    registry = SimulatedRegistry()
    registry.promote(registry.publish(packages[OLD]))
    stalling = Stalling()
    async with serving(registry) as address, started(disk, address) as process:
        await process.ready()
        registry.chunks = stalling.chunks
        registry.promote(registry.publish(packages[NEW]))
        await process.until(lambda: stalling.stalled and kept(disk))
        await process.serves(OLD)
        await process.end(signal.SIGKILL)
    here, before = kept(disk), registry.sent_bytes
    assert here
    registry.chunks = honest_chunks
    async with started(disk, address) as process:
        await process.ready()
        await process.serves(OLD)
        async with serving(registry, int(address.rpartition(":")[2])):
            await process.serves(NEW)
    whole = sum(len(content) for content in packages[NEW].files.values())
    assert registry.sent_bytes - before == whole - here
