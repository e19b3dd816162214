"""Watching over the wire: every promotion once, in order, from where the watcher was."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
import pytest

from tests.fakes.memory_store import MemoryStore
from tests.fakes.publishing import package
from tests.fakes.registry import call, promotion, publish, running
from tests.integration.registry.seeded import MODEL, STABLE, UUIDS, etag_of
from voiceflow.errors import Unavailable
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.registry.v1 import registry_pb2_grpc as pb_grpc
from voiceflow.rpc.status import from_rpc_error

BETA = f"{MODEL}/channels/beta"


def watch(registry: pb_grpc.ModelRegistryStub, *cursors: pb.ChannelCursor) -> Any:
    """A watch of some channels; all of their history, if nothing else is said."""
    channels = cursors or [pb.ChannelCursor(channel=STABLE, after_sequence=0)]
    return registry.WatchChannels(pb.WatchChannelsRequest(channels=channels), timeout=60)


async def sequences(watching: Any, count: int) -> list[int]:
    """Of the next promotions; ends the watch."""
    found: list[int] = []
    async for event in watching:
        if event.HasField("promotion"):
            found.append(event.promotion.sequence)
        if len(found) == count:
            break
    watching.cancel()
    return found


async def publish_some(registry: pb_grpc.ModelRegistryStub, count: int) -> list[str]:
    """Versions to promote."""
    made = [package(f"1.{number}.0") for number in range(count)]
    for what in made:
        await publish(registry, what)
    return [str(what.name) for what in made]


async def promote_all(
    registry: pb_grpc.ModelRegistryStub, channel: str, versions: Sequence[str]
) -> None:
    """Promotes one after another."""
    etag = ""
    for version in versions:
        response = await call(registry.PromoteVersion, promotion(channel, version, etag=etag))
        etag = response.channel.etag


async def test_a_watch_tells_policy_promotions_and_that_it_is_up_to_date() -> None:
    """First the policy, then what there is, then a heartbeat with how far the channel is known."""
    async with running() as (_, registry):
        versions = await publish_some(registry, 2)
        await promote_all(registry, STABLE, versions)
        events = aiter(watch(registry))
        kinds = [await anext(events) for _ in range(4)]
        assert [event.WhichOneof("event") for event in kinds] == [
            "policy",
            "promotion",
            "promotion",
            "heartbeat",
        ]
        beat = kinds[3].heartbeat
        assert [(cursor.channel, cursor.after_sequence) for cursor in beat.channels] == [
            (STABLE, 2)
        ]
        await call(
            registry.PromoteVersion,
            promotion(BETA, versions[0], request_id=UUIDS[0]),  # nobody watches this one
        )
        await call(
            registry.RollbackChannel,
            pb.RollbackChannelRequest(channel=STABLE, etag=await etag_of(registry, STABLE)),
        )
        following = (await anext(events)).promotion
        read = await call(registry.ListChannelHistory, pb.ListChannelHistoryRequest(parent=STABLE))
        assert following == read.promotions[0]


async def test_watchers_that_come_and_go_miss_and_repeat_nothing() -> None:
    """While promotions go on, each watcher resumes again and again with what it saw last."""
    count = 24
    async with running() as (_, registry):
        versions = await publish_some(registry, count)

        async def follow(step: int) -> list[int]:
            seen: list[int] = []
            while len(seen) < count:
                cursor = pb.ChannelCursor(channel=STABLE, after_sequence=len(seen))
                seen += await sequences(watch(registry, cursor), min(step, count - len(seen)))
            return seen

        followers = [asyncio.ensure_future(follow(step)) for step in (1, 3, 5, count)]
        await promote_all(registry, STABLE, versions)
        for seen in await asyncio.gather(*followers):
            assert seen == list(range(1, count + 1))


async def test_what_another_replica_promotes_is_told_here() -> None:
    """Two replicas on one store: promoted through one, watched through the other."""
    store = MemoryStore()
    async with running(store) as (_, one), running(store) as (_, other):
        versions = await publish_some(one, 3)
        watching = asyncio.ensure_future(sequences(watch(other), 3))
        await promote_all(one, STABLE, versions)
        assert await watching == [1, 2, 3]


async def test_what_is_promoted_here_is_told_at_once() -> None:
    """However seldom the store is looked at, the replica knows what it has promoted itself."""
    async with running(poll_seconds=3600.0) as (_, registry):
        versions = await publish_some(registry, 2)
        events = aiter(watch(registry))
        assert (await anext(events)).HasField("policy")
        assert (await anext(events)).HasField("heartbeat")
        await promote_all(registry, STABLE, versions)
        assert [(await anext(events)).promotion.sequence for _ in versions] == [1, 2]


async def test_promotions_are_encoded_once_for_all_watchers() -> None:
    """Forty watchers see the same bytes."""
    async with running() as (_, registry):
        await promote_all(registry, STABLE, await publish_some(registry, 1))

        async def first(watching: AsyncIterator[Any]) -> bytes:
            async for event in watching:
                if event.HasField("promotion"):
                    encoded: bytes = event.SerializeToString()
                    return encoded
            raise AssertionError("the watch ended")

        watches = [watch(registry) for _ in range(40)]
        assert len(set(await asyncio.gather(*map(first, watches)))) == 1
        for watching in watches:
            watching.cancel()


async def test_a_registry_that_stops_tells_its_watchers() -> None:
    """UNAVAILABLE with the reason: they go on elsewhere."""
    async with running() as (app, registry):
        events = aiter(watch(registry))
        await anext(events)
        stopping = asyncio.ensure_future(app.server.drain())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await sequences(events, 1)
        error = from_rpc_error(caught.value)
        assert isinstance(error, Unavailable)
        assert error.reason == "SHUTTING_DOWN"
        await stopping
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await sequences(watch(registry), 1)
        late = from_rpc_error(caught.value)
        assert isinstance(late, Unavailable)
        assert late.retry_after_seconds is not None
