"""A service that follows a registry, or a folder, while streams run: through gRPC, nothing played.

Publish, promote, warm, swap, drain: the tests are a pod's life with its versions.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.fakes.memory_store import MemoryStore
from tests.fakes.models import Spoken, tones, write_stream_package
from tests.fakes.registry import running as registry_running
from tests.fakes.service import FINISH, audio, in_process, pcm16
from tests.fakes.spoiling import broken
from tests.faults.streams import WAIT_SECONDS, Stream, config, expected, serving_state
from voiceflow.catalog.names import ChannelName
from voiceflow.catalog.pods import Cause, GenerationState, Pod, Revert
from voiceflow.client.registry import RegistryClient
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow_inference.app import App, build, opened, secure

CHANNEL = ChannelName("tones", "stable")
SPOKEN = pcm16(tones(Spoken((3,), 2.0), Spoken((9,), 2.0), Spoken((3,), 2.0)))
HALF_BYTES = len(SPOKEN) // 4 * 2
HOP_BYTES = 2 * 7680
ACTIVE, DRAINING = pb.GenerationState.STATE_ACTIVE, pb.GenerationState.STATE_DRAINING
FAILED = pb.GenerationState.STATE_FAILED


@dataclass
class World:
    """A registry, packages of its model, and a connection to both.

    Attributes:
        folder: Everything on the disk.
        registry: Its address.
        client: Of the registry.
        names: Published versions by number.
    """

    folder: Path
    registry: str
    client: RegistryClient
    names: dict[str, str] = field(default_factory=dict)

    async def publish(self, version: str, package: Path | None = None, **changes: Any) -> Path:
        """A version of the model that hears tones."""
        path = package or write_stream_package(self.folder / version, version, **changes)
        self.names[version] = (await self.client.publish(path)).version.name
        return path

    async def promote(self, version: str) -> None:
        """Makes it the channel's primary."""
        await self.client.promote(CHANNEL, self.names[version])

    async def pod(self, seen: Callable[[Pod], bool]) -> Pod:
        """What the registry knows of the pod, as soon as it is as wanted."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                for pod in [pod async for pod in self.client.list_pods()]:
                    if seen(pod):
                        return pod
                await asyncio.sleep(0.02)

    async def reverts(self) -> list[Revert]:
        """Those that pods have reported."""
        return [revert async for revert in self.client.list_reverts(CHANNEL)]

    @asynccontextmanager
    async def service(self, **settings: Any) -> AsyncIterator[Service]:
        """A service that follows the registry."""
        followed = {
            "model_dir": None,
            "registry": self.registry,
            "model": "tones",
            "cache_dir": self.folder / "cache",
            "state_dir": self.folder / "state",
            "registry_wait_seconds": 1.0,
        }
        async with service(**followed | settings) as served:
            yield served


@dataclass
class Service:
    """A service that runs, and a connection to it."""

    app: App
    channel: grpc.aio.Channel

    async def speaking(self) -> Stream:
        """A stream that has said half of what it has to say."""
        stream = Stream(self.channel)
        await stream.send(config(), audio(SPOKEN[:HALF_BYTES]))
        await stream.covered(HALF_BYTES / 32_000 - 0.48)
        return stream

    async def state(self, seen: Callable[[pb.GetServingStateResponse], bool]) -> dict[str, Any]:
        """State of each version, as soon as the service says what is wanted."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not seen(told := await serving_state(self.channel)):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return {one.model_version.rpartition("/")[2]: one.state for one in told.generations}

    async def serves(self, sequence: int) -> dict[str, Any]:
        """Waits for a promotion."""
        return await self.state(lambda told: told.serving_sequence == sequence)


@asynccontextmanager
async def service(**settings: Any) -> AsyncIterator[Service]:
    """The real one, with its own source and loader."""
    complete = in_process(**settings)
    async with AsyncExitStack() as stack:
        origin = await stack.enter_async_context(opened(complete))
        app = await build(complete, secure(complete), origin)
        address = await app.start()
        stack.push_async_callback(app.stop)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
        yield Service(app, channel)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """With one version, promoted."""
    async with registry_running() as (app, _), RegistryClient(app.server.address) as client:
        made = World(tmp_path, app.server.address, client)
        await made.publish("1.0.0")
        await made.promote("1.0.0")
        yield made


async def finish(stream: Stream) -> list[int]:
    """Says the rest; returns the generations that computed it, in their order."""
    await stream.send(audio(SPOKEN[HALF_BYTES:]), FINISH)
    await stream.outcome()
    return generations_of(stream)


def generations_of(stream: Stream) -> list[int]:
    """That computed it, in their order."""
    seen: list[int] = []
    for reply in stream.replies:
        if reply.HasField("update") and reply.update.generation not in seen[-1:]:
            seen.append(reply.update.generation)
    return seen


def moves(stream: Stream) -> list[pb.Moved]:
    """That the stream was told of."""
    return [reply.moved for reply in stream.replies if reply.HasField("moved")]


async def test_a_promotion_is_served_without_any_stream_noticing(world: World) -> None:
    """Streams on the old version go on to their end, new ones are on the new one; all know it."""
    newer = await world.publish("1.1.0")
    async with world.service() as service:
        old = await service.speaking()
        await world.promote("1.1.0")
        assert await service.serves(2) == {"1.0.0": DRAINING, "1.1.0": ACTIVE}
        new = await service.speaking()
        pod = await world.pod(lambda pod: pod.serving_sequence == 2)
        states = {one.version.version.rpartition("/")[2]: one for one in pod.generations}
        assert states["1.0.0"].state is GenerationState.DRAINING
        assert states["1.1.0"].state is GenerationState.ACTIVE
        assert await finish(old) == [1]
        assert await finish(new) == [2]
        assert not moves(old)
        assert old.replies[-1].summary.model_version == world.names["1.0.0"]
        assert await old.outcome() == await new.outcome() == expected(newer, SPOKEN)


@pytest.mark.parametrize(
    ("changes", "how"),
    [({}, pb.Moved.HOW_CARRIED), ({"state_space": "tones-2"}, pb.Moved.HOW_REPLAYED)],
    ids=["one state space", "one embedding space"],
)
async def test_streams_move_when_their_time_is_up(
    world: World, changes: dict[str, Any], how: pb.Moved.How
) -> None:
    """As the two versions allow, and as was seen to hold; nothing of the audio is lost."""
    newer = await world.publish("1.1.0", **changes)
    async with world.service(drain_deadline_seconds=0.01) as service:
        stream, said = await service.speaking(), SPOKEN[:HALF_BYTES]
        await world.promote("1.1.0")
        async with asyncio.timeout(WAIT_SECONDS):
            while not service.app.manager.snapshot().moves:
                await stream.send(audio(SPOKEN[:HOP_BYTES]))
                said += SPOKEN[:HOP_BYTES]
                await stream.covered(len(said) / 32_000 - 0.48)
        await stream.send(FINISH)
        assert await stream.outcome() == expected(newer, said)
        assert generations_of(stream) == [1, 2]
        (moved,) = moves(stream)
        assert (moved.how, moved.generation) == (how, 2)
        assert moved.model_version == world.names["1.1.0"]


async def test_streams_that_cannot_move_are_told(world: World) -> None:
    """By a GoAway with a token; they may still end as they are."""
    await world.publish("2.0.0", embedding_space="tones-2", state_space="tones-2")
    async with world.service(drain_deadline_seconds=0.01, grace_seconds=30.0) as service:
        stream = await service.speaking()
        await world.promote("2.0.0")
        await stream.read_until(lambda reply: reply.HasField("go_away"))
        told = stream.replies[-1].go_away
        assert (told.reason, bool(told.resume_token)) == ("MODEL_REPLACED", True)
        assert told.time_left.ToNanoseconds() > 0
        assert await finish(stream) == [1]
        assert stream.replies[-1].summary.complete
        await service.state(lambda told: told.moves == {"told": 1})


async def test_a_broken_version_is_rejected_and_reported(world: World) -> None:
    """What was served goes on; the registry knows that, why, and what is served instead."""
    await world.publish("1.1.0", broken(write_stream_package(world.folder / "bad", "1.1.0")))
    async with world.service() as service:
        stream = await service.speaking()
        await world.promote("1.1.0")
        states = await service.state(lambda told: told.generations[-1].state == FAILED)
        assert states == {"1.0.0": ACTIVE, "1.1.0": FAILED}
        pod = await world.pod(lambda pod: pod.desired_sequence == 2)
        assert pod.serving_sequence == 1
        async with asyncio.timeout(WAIT_SECONDS):
            while not (reverts := await world.reverts()):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            while service.app.manager.snapshot().reverts:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        (revert,) = reverts
        assert (revert.cause, revert.sequence) == (Cause.WARM_FAILED, 2)
        assert revert.from_version.version == world.names["1.1.0"]
        assert revert.to_version is not None
        assert revert.to_version.version == world.names["1.0.0"]
        assert await finish(stream) == [1]


async def test_a_rollback_takes_back_what_is_still_loaded(world: World) -> None:
    """Nothing is loaded, and streams stay where they are."""
    await world.publish("1.1.0")
    async with world.service() as service:
        first = await service.speaking()
        await world.promote("1.1.0")
        await service.serves(2)
        second = await service.speaking()
        await world.client.rollback(CHANNEL)
        assert await service.serves(3) == {"1.0.0": ACTIVE, "1.1.0": DRAINING}
        third = await service.speaking()
        assert [await finish(stream) for stream in (first, second, third)] == [[1], [2], [1]]


async def test_a_pod_starts_again_with_what_it_served_last(tmp_path: Path) -> None:
    """Also while its registry is away, and follows it when it is back."""
    store = MemoryStore()
    async with registry_running(store) as (app, _), RegistryClient(app.server.address) as client:
        world = World(tmp_path, app.server.address, client)
        await world.publish("1.0.0")
        await world.promote("1.0.0")
        async with world.service() as service:
            await service.serves(1)
    async with world.service() as service:
        assert await service.serves(1) == {"1.0.0": ACTIVE}
        port = int(world.registry.rpartition(":")[2])
        async with (
            registry_running(store, port=port),
            RegistryClient(world.registry) as world.client,
        ):
            await world.publish("1.1.0")
            await world.promote("1.1.0")
            assert await service.serves(2) == {"1.0.0": DRAINING, "1.1.0": ACTIVE}


async def test_a_folder_is_followed_like_a_registry(tmp_path: Path) -> None:
    """What is dropped in is served if it is higher and good; what is taken out is not any more."""
    folder = tmp_path / "packages"

    def drop_in(version: str, spoil: Callable[[Path], Path] = lambda path: path) -> None:
        package = write_stream_package(tmp_path / version, version)
        spoil(package).rename(folder / version)

    folder.mkdir()
    drop_in("1.0.0")
    async with service(model_dir=folder) as served:
        old = await served.speaking()
        drop_in("1.2.0")
        await served.state(
            lambda told: told.generations[-1].state == ACTIVE and len(told.generations) == 2
        )
        new = await served.speaking()
        drop_in("1.3.0", broken)
        states = await served.state(lambda told: told.generations[-1].state == FAILED)
        assert states == {"1.0.0": DRAINING, "1.2.0": ACTIVE, "1.3.0": FAILED}
        shutil.rmtree(folder / "1.3.0")
        shutil.rmtree(folder / "1.2.0")
        await served.state(lambda told: told.generations[0].state == ACTIVE)
        back = await served.speaking()
        assert [await finish(stream) for stream in (old, new, back)] == [[1], [2], [1]]
