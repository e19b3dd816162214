"""Reload under streams: none is dropped, none is told anything else than on one version alone.

I24: a swap under 200 streams. I25: SIGTERM while a version is loaded. I28: two versions flapping.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import psutil
import pytest

from tests.fakes.models import FloatArray, write_stream_package
from tests.fakes.planted import LOUD, hanging_graph
from tests.fakes.rollouts import pin, serving
from tests.fakes.service import FINISH, audio
from tests.fakes.spoiling import with_golden
from tests.faults.place import Place, own_place
from tests.faults.streams import (
    WAIT_SECONDS,
    Outcome,
    Stream,
    config,
    connected,
    expected,
    serving_state,
)
from voiceflow.catalog.channels import RevertRules, Role, Rollout
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow_inference.serving.state import Wanted

STREAMS = 200
CONNECTIONS = 4
SHORT_BYTES = 6 * 32_000
HALF_BYTES = SHORT_BYTES // 2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Packages to serve: one."""
    write_stream_package(tmp_path / "packages" / "1.0.0", "1.0.0")
    return tmp_path / "packages"


def drop_in(folder: Path, version: str, package: Path) -> None:
    """Puts a package among those that are served, in one step."""
    shutil.copytree(package, folder / f".{version}")
    (folder / f".{version}").rename(folder / version)


def endless(folder: Path, version: str) -> Path:
    """A package that is in order, whose golden outputs take for ever."""

    def loud(golden: dict[str, FloatArray]) -> None:
        golden["noise/audio"][0, 0] = LOUD

    return with_golden(write_stream_package(folder, version, graph=hanging_graph()), loud)


async def until_state(place: Place, version: str, state: pb.GenerationState.State) -> None:
    """Waits until a version stands so in the service."""
    async with place.connected() as channel, asyncio.timeout(WAIT_SECONDS):
        while True:
            told = await serving_state(channel)
            states = {one.model_version.rpartition("/")[2]: one.state for one in told.generations}
            if states.get(version) == state:
                return
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def crowd(address: str, half: bytes) -> AsyncIterator[list[Stream]]:
    """Streams on a few connections, which have said half of a conversation."""
    async with contextlib.AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(connected(address)) for _ in range(CONNECTIONS)]
        streams = [Stream(channels[index % CONNECTIONS]) for index in range(STREAMS)]
        for stream in streams:
            await stream.send(config(), audio(half))
        for stream in streams:
            await stream.covered(len(half) / 32_000 - 0.48)
        yield streams


async def outcomes(streams: list[Stream], rest: bytes) -> list[Outcome]:
    """What all are told that say the rest of their conversation now."""
    for stream in streams:
        await stream.send(audio(rest), FINISH)
    return [await stream.outcome() for stream in streams]


def generations_of(stream: Stream) -> list[int]:
    """That computed it, in their order."""
    seen: list[int] = []
    for reply in stream.replies:
        if reply.HasField("update") and reply.update.generation not in seen[-1:]:
            seen.append(reply.update.generation)
    return seen


async def test_i24_a_swap_under_200_streams(
    folder: Path, tmp_path: Path, conversation: bytes
) -> None:
    """I24: each ends on the version on which it began; what begins later is on the new one."""
    data = conversation[:SHORT_BYTES]
    newer = write_stream_package(tmp_path / "newer", "1.1.0")
    with own_place(folder, data) as place:
        whole = expected(newer, data)
        async with crowd(place.service.address, data[:HALF_BYTES]) as streams:
            drop_in(folder, "1.1.0", newer)
            await until_state(place, "1.1.0", pb.GenerationState.STATE_ACTIVE)
            async with place.stream(config()) as late:
                assert await outcomes([late], data) == [whole]
                assert generations_of(late) == [2]
            assert await outcomes(streams, data[HALF_BYTES:]) == [whole] * STREAMS
            assert all(generations_of(stream) == [1] for stream in streams)


async def test_i24_200_streams_whose_time_is_up_move(tmp_path: Path, conversation: bytes) -> None:
    """I24: between two hops, with their memory: what they are told is the same to the byte."""
    data = conversation[:SHORT_BYTES]
    folders = [write_stream_package(tmp_path / name, name) for name in ("1.0.0", "1.1.0")]
    models = [bind(load_package(folder)) for folder in folders]
    old, new = (Rollout(primary=pin(model)) for model in models)
    room = {"streams": 1000, "streams_per_principal": 1000, "batch_limit": 16}
    async with (
        serving(models, old, RevertRules(), drain_deadline_seconds=0.01, **room) as pod,
        crowd(pod.address, data[:HALF_BYTES]) as streams,
    ):
        pod.source.want(Wanted(2, new))
        manager = pod.app.manager
        await pod.until(
            lambda: sum(view.leaving for view in manager.snapshot().generations) == STREAMS
        )
        whole = expected(folders[0], data)
        assert await outcomes(streams, data[HALF_BYTES:]) == [whole] * STREAMS
        assert all(generations_of(stream) == [1, 2] for stream in streams)
        assert manager.snapshot().moves == {"carried": STREAMS}


async def test_i25_sigterm_while_a_version_is_loaded(
    folder: Path, tmp_path: Path, conversation: bytes
) -> None:
    """I25: live streams get everything, the process ends well, and so does its child."""
    slow = endless(tmp_path / "slow", "2.0.0")
    half = len(conversation) // 4 * 2
    with own_place(folder, conversation) as place:
        process = psutil.Process(place.service.process.pid)
        async with place.stream(config(), audio(conversation[:half])) as stream:
            await stream.covered(half / 32_000 - 0.48)
            drop_in(folder, "2.0.0", slow)
            await until_state(place, "2.0.0", pb.GenerationState.STATE_LOADING)
            async with asyncio.timeout(WAIT_SECONDS):
                while not (children := process.children(recursive=True)):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            place.service.process.send_signal(signal.SIGTERM)
            await stream.read_until(lambda reply: reply.HasField("go_away"))
            await asyncio.to_thread(psutil.wait_procs, children, WAIT_SECONDS)
            assert not any(child.is_running() for child in children)
            await stream.send(audio(conversation[half:]), FINISH)
            assert await stream.outcome() == expected(folder / "1.0.0", conversation)
        assert await asyncio.to_thread(place.service.process.wait, WAIT_SECONDS) == 0


async def test_i28_two_versions_flapping(tmp_path: Path, conversation: bytes) -> None:
    """I28: each is loaded once, streams begin on either and none is dropped, the last one stays."""
    data = conversation[:SHORT_BYTES]
    folders = [write_stream_package(tmp_path / name, name) for name in ("1.0.0", "1.1.0")]
    models = [bind(load_package(folder)) for folder in folders]
    rollouts = [Rollout(primary=pin(model)) for model in models]
    whole = expected(folders[0], data)
    async with (
        serving(models, rollouts[0], RevertRules()) as pod,
        grpc.aio.insecure_channel(pod.address) as channel,
    ):
        streams = []
        for sequence in range(2, 32):
            pod.source.want(Wanted(sequence, rollouts[sequence % 2]))
            await pod.serves(Role.PRIMARY, rollouts[sequence % 2].primary)
            streams.append(Stream(channel))
            await streams[-1].send(config(), audio(data[:HALF_BYTES]))
        assert await outcomes(streams, data[HALF_BYTES:]) == [whole] * len(streams)
        ran = {tuple(generations_of(stream)) for stream in streams}
        assert ran == {(1,), (2,)}, "each was loaded once"
        assert pod.roles() == {Role.PRIMARY: rollouts[31 % 2].primary.version}
