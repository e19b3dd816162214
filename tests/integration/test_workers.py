"""Several workers behind one port, as processes: `--workers 2`."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.fakes.models import Spoken, tones, write_stream_package
from tests.fakes.service import audio, config, diarize, in_process, pcm16
from voiceflow.client import (
    AudioFormat,
    DiarizationClient,
    Encoding,
    Resumed,
    RetryPolicy,
    StreamConfig,
    Timeline,
    Update,
)
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.diarization.v1 import diarization_pb2_grpc as pb_grpc
from voiceflow.errors import NotAllowedNow
from voiceflow.identity.key_set import SealingKey, key_set_json
from voiceflow_inference.workers.orders import SAYINGS, SERVE, Assignment, Loaded, Ready

LIMIT_SECONDS = 240.0
"""For a whole test: the machine may be busy."""

AUDIO = pcm16(
    tones(
        *(Spoken((2,), 3.0), Spoken((), 0.6), Spoken((8,), 3.2), Spoken((2, 8), 1.4)),
        *(Spoken((11,), 2.5), Spoken((), 0.5), Spoken((2,), 4.1), Spoken((8,), 1.9)),
    )
)
CONFIG = StreamConfig(AudioFormat(Encoding.PCM16, 16_000))
PATIENT = RetryPolicy(3, 0.01, 0.2, resume_seconds=LIMIT_SECONDS)
PIECE_BYTES = 3200


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small stateful model."""
    return write_stream_package(tmp_path_factory.mktemp("package"))


class Running:
    """A process, and what it logs.

    Args:
        process: With pipes.

    Attributes:
        process: It.
        log: Its lines so far.
    """

    def __init__(self, process: Process) -> None:
        self.process = process
        self.log: list[str] = []
        self._more = asyncio.Condition()

    async def follow(self) -> None:
        """Reads what it logs, to the end."""
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            async with self._more:
                self.log.append(line.decode())
                self._more.notify_all()

    async def logs(self, pattern: str) -> list[tuple[str, ...]]:
        """Waits for a line with the pattern, and gives the groups of all that have it."""
        found: list[tuple[str, ...]] = []

        def is_there() -> bool:
            found[:] = [hit.groups() for line in self.log if (hit := re.search(pattern, line))]
            return bool(found)

        async with self._more:
            await self._more.wait_for(is_there)
        return found

    async def says(self) -> str:
        """Its next line on standard output."""
        assert self.process.stdout is not None
        return (await self.process.stdout.readline()).decode()


@asynccontextmanager
async def started(module: str, *arguments: str) -> AsyncIterator[Running]:
    """A process of Python, killed with the block if it has not ended by then."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments), stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    running = Running(process)
    following = asyncio.create_task(running.follow())
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await following


async def conversation(
    client: DiarizationClient, cut: Callable[[], None] | None = None
) -> tuple[Timeline, list[Resumed]]:
    """Has the whole audio heard; `cut` is called when nine seconds of it were told of."""
    timeline, resumed = Timeline(), []
    covered = asyncio.Condition()
    covered_bytes = 0

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(AUDIO), PIECE_BYTES):
            async with covered:
                await covered.wait_for(lambda: at < covered_bytes + 60_000)  # noqa: B023
            yield AUDIO[at : at + PIECE_BYTES]

    async for event in client.diarize(pieces(), CONFIG):
        timeline.add(event)
        if isinstance(event, Resumed):
            resumed.append(event)
        if isinstance(event, Update):
            async with covered:
                covered_bytes = max(covered_bytes, 2 * event.covered_samples)
                covered.notify_all()
            if cut is not None and covered_bytes >= 9 * 32_000:
                cut()
                cut = None
    return timeline, resumed


async def ended(process: Process) -> tuple[int, str]:
    """Status and last words of one that ends by itself."""
    _, errors = await process.communicate()
    return await process.wait(), errors.decode().splitlines()[-1]


async def worker_of(client: DiarizationClient) -> str:
    """Which worker a client is connected to."""
    return (await client.serving_state()).settings["pod_name"]


async def test_workers_share_a_port_replace_each_other_and_end_together(package: Path) -> None:
    """Both serve; a conversation outlives the worker that it was on; SIGTERM drains both."""
    arguments = ("--model-dir", str(package), "--workers", "2", "--pod-name", "blue")
    async with started("voiceflow_inference", *arguments, "--port", "0") as parent:
        word, address, model = (await parent.says()).split()
        assert (word, model) == ("ready", "model=models/tones/versions/1.0.0")
        address = address.removeprefix("address=")
        port = address.rpartition(":")[2]
        processes = {f"blue-w{number}": int(pid) for number, pid in await parent.logs(STARTED)}
        assert len(processes) == 2

        async with started("voiceflow_inference", *arguments, "--port", port) as second:
            assert await second.process.wait() == 1
            await second.logs(f"^cannot serve: .*{port}.* another server has this port")

        seen: set[str] = set()
        while len(seen) < 2:
            async with DiarizationClient(address, retry=PATIENT) as client:
                seen.add(await worker_of(client))
        assert seen == set(processes)

        async with DiarizationClient(address, retry=PATIENT) as client:
            uncut, resumed = await conversation(client)
            assert not resumed
            left = await worker_of(client)
            cut, (resumed_once,) = await conversation(
                client, lambda: os.kill(processes[left], signal.SIGKILL)
            )
            assert resumed_once.begin.resumed_at_samples is not None
            assert cut.regions() == uncut.regions()
            with pytest.raises(NotAllowedNow) as caught:
                await client.set_draining(draining=True)
            assert caught.value.reason == "ONE_OF_SEVERAL_WORKERS"
        ((number, pid),) = await parent.logs(r"worker (\d) \(process (\d+)\) serves$")
        assert f"blue-w{number}" == left
        assert int(pid) not in processes.values()

        async with grpc.aio.insecure_channel(address) as channel:
            call = pb_grpc.DiarizationStub(channel).Diarize()
            await call.write(config())
            await call.write(audio(AUDIO))
            replies: list[Any] = [await call.read()]
            parent.process.send_signal(signal.SIGTERM)
            while (reply := await call.read()) is not grpc.aio.EOF:
                replies.append(reply)
                if replies[-1].HasField("go_away"):
                    await call.done_writing()
            assert replies[-1].HasField("summary")
            assert not replies[-1].summary.complete
            assert any(reply.HasField("go_away") for reply in replies)
        assert await parent.process.wait() == 0
    text = "".join(parent.log)
    assert "Traceback" not in text
    assert " blue-w0 INFO voiceflow_inference.app: room for " in text


STARTED = r"worker (\d) \(process (\d+)\) is started$"


async def test_what_one_process_cannot_serve_a_group_cannot_either(tmp_path: Path) -> None:
    """It says the same, once, and ends with the same status."""
    folder = write_stream_package(tmp_path)
    (folder / "golden.npz").unlink()
    heard = []
    for workers in ("1", "2"):
        arguments = ("--model-dir", str(folder), "--port", "0", "--workers", workers)
        async with started(
            "voiceflow_inference", *arguments, "--registry-wait-seconds", "0.1"
        ) as process:
            status = await process.process.wait()
        said = [line for line in process.log if line.startswith("cannot serve:")]
        heard.append((status, said))
        assert "Traceback" not in "".join(process.log)
    assert heard[0] == heard[1]
    status, said = heard[0]
    assert status == 1
    assert "golden.npz" in said[0]


def assignment(package: Path) -> Assignment:
    """Of a worker that listens on a port of its own."""
    settings = in_process(model_dir=package, workers=2)
    return Assignment(
        settings=settings.model_dump(mode="json"),
        number=0,
        port=0,
        health_port=None,
        keys=key_set_json([SealingKey.generate()]),
    )


@pytest.mark.parametrize("serves", [True, False])
async def test_a_worker_ends_when_its_parent_is_gone(package: Path, serves: bool) -> None:
    """One that serves drains; one that does not ends at once, as by SIGTERM."""
    async with started("voiceflow_inference.workers.child") as worker:
        orders = worker.process.stdin
        assert orders is not None
        orders.write(assignment(package).line())
        if serves:
            assert SAYINGS.validate_json(await worker.says()) == Loaded()
            orders.write(SERVE)
            ready = SAYINGS.validate_json(await worker.says())
            assert isinstance(ready, Ready)
            replies: Sequence[pb.DiarizeResponse] = await diarize(ready.address, [config()])
            assert replies[-1].HasField("summary")
        orders.close()
        assert await worker.process.wait() == (0 if serves else -signal.SIGTERM)
