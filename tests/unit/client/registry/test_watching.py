"""A watch tells every promotion once, in order, over any number of cuts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.unit.client.registry.scripted import CHANNEL, Step, cut, refusing, scripted, told
from voiceflow.catalog.channels import (
    ChannelCursor,
    ChannelPolicy,
    Heartbeat,
    Promotion,
    WatchEvent,
)
from voiceflow.client.registry.watching import Watching
from voiceflow.errors import NotAllowedNow, TooLarge, Unavailable
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.rpc.registry import watch_event_to_wire

FROM_THE_START = (ChannelCursor(channel=CHANNEL, after_sequence=0),)


def telling(*messages: pb.WatchChannelsResponse, then: Step | None = cut) -> Step:
    """A stream that tells these and ends; None: it stays, and tells nothing more."""

    async def step(request: Any, context: Any) -> None:
        for message in messages:
            await context.write(message)
        if then is None:
            await asyncio.Event().wait()
        else:
            await then(request, context)

    return step


def asked_after(script: Any) -> list[int | None]:
    """From where each stream was asked for."""
    return [
        cursor.after_sequence if cursor.HasField("after_sequence") else None
        for request in script.calls["WatchChannels"]
        for cursor in request.channels
    ]


async def sequences(events: AsyncGenerator[WatchEvent, None], until: int) -> list[int]:
    """Sequences of the promotions that are told, up to one."""
    seen = []
    async with asyncio.timeout(20), aclosing(events):
        async for event in events:
            if isinstance(event, Promotion):
                seen.append(event.sequence)
                if event.sequence == until:
                    return seen
    raise AssertionError("the watch ended")


async def test_it_goes_on_after_the_last_that_was_told() -> None:
    """Also where a stream brought nothing."""
    steps = [telling(*told(1, 2)), telling(), cut, telling(*told(3)), telling(*told(4), then=None)]
    async with scripted(WatchChannels=steps) as (script, client):
        assert await sequences(client.watch(FROM_THE_START), until=4) == [1, 2, 3, 4]
        assert asked_after(script) == [0, 2, 2, 2, 3]


async def test_what_was_told_before_is_not_told_again() -> None:
    """A registry that begins too early is no harm."""
    steps = [telling(*told(1, 2)), telling(*told(1, 2, 2, 3), then=None)]
    async with scripted(WatchChannels=steps) as (_, client):
        assert await sequences(client.watch(FROM_THE_START), until=3) == [1, 2, 3]


async def test_what_was_left_out_is_asked_for_again() -> None:
    """A gap is never told; neither is one that only a heartbeat gives away."""
    steps = [
        telling(*told(1, 3), then=None),
        telling(*told(2, 3, heartbeat=4), then=None),
        telling(*told(4), then=None),
    ]
    async with scripted(WatchChannels=steps) as (script, client):
        events = client.watch(FROM_THE_START, silence_seconds=3600)
        assert await sequences(events, until=4) == [1, 2, 3, 4]
        assert asked_after(script) == [0, 1, 3]


async def test_a_watch_from_the_newest_on_misses_nothing_while_it_is_cut_off() -> None:
    """The first heartbeat said how far the channel was: not there yet."""
    steps = [telling(*told(heartbeat=0)), telling(*told(1, 2), then=None)]
    async with scripted(WatchChannels=steps) as (script, client):
        events = client.watch([ChannelCursor(channel=CHANNEL)])
        assert await sequences(events, until=2) == [1, 2]
        assert asked_after(script) == [None, 0]


async def test_a_watch_from_the_newest_on_begins_at_any_sequence() -> None:
    """There is nothing before it to compare with."""
    async with scripted(WatchChannels=telling(*told(7, 8), then=None)) as (_, client):
        assert await sequences(client.watch([ChannelCursor(channel=CHANNEL)]), until=8) == [7, 8]


async def test_a_policy_is_told_when_it_changes() -> None:
    """Every stream begins with it; the watch tells it once."""

    def policy(sequence: int) -> pb.WatchChannelsResponse:
        value = ChannelPolicy(name=f"{CHANNEL}/policy", sequence=sequence, etag=str(sequence))
        return watch_event_to_wire(value)

    steps = [
        telling(policy(1), *told(1)),
        telling(policy(1), *told(2)),
        telling(policy(2), *told(3), then=None),
    ]
    async with scripted(WatchChannels=steps) as (_, client):
        seen: list[Any] = []
        async with aclosing(client.watch(FROM_THE_START)) as events:
            async for event in events:
                if isinstance(event, ChannelPolicy):
                    seen.append(f"policy {event.sequence}")
                elif isinstance(event, Promotion):
                    seen.append(event.sequence)
                if seen[-1:] == [3]:
                    break
    assert seen == ["policy 1", 1, 2, "policy 2", 3]


async def test_heartbeats_are_seen() -> None:
    """So that a caller can tell silence from a lost registry."""
    async with (
        scripted(WatchChannels=telling(*told(1, heartbeat=1), then=None)) as (_, client),
        aclosing(client.watch(FROM_THE_START)) as events,
    ):
        assert isinstance(await anext(events), Promotion)
        beat = await anext(events)
    assert isinstance(beat, Heartbeat)
    assert beat.channels == (ChannelCursor(channel=CHANNEL, after_sequence=1),)


async def test_a_stream_that_says_nothing_is_given_up() -> None:
    """A registry that hangs is left for one that does not."""
    steps = [telling(*told(1), then=None), telling(*told(2), then=None)]
    async with scripted(WatchChannels=steps) as (_, client):
        events = client.watch(FROM_THE_START, silence_seconds=0.05)
        assert await sequences(events, until=2) == [1, 2]


async def test_a_watch_that_stood_once_outlasts_an_outage() -> None:
    """More failures than tries are allowed; before it stood, the policy holds."""
    outage: list[Step] = [cut] * 12
    steps = [telling(*told(1)), *outage, telling(*told(2), then=None)]
    async with scripted(WatchChannels=steps) as (_, client):
        client._connection.pause = at_once(client._connection.pause)  # type: ignore[method-assign]
        assert await sequences(client.watch(FROM_THE_START), until=2) == [1, 2]
    async with scripted(WatchChannels=cut) as (script, client):
        with pytest.raises(Unavailable):
            await anext(client.watch(FROM_THE_START))
        assert len(script.calls["WatchChannels"]) == 3


def at_once(pause: Any) -> Any:
    """The connection's own pause, without waiting where it would."""

    async def short(error: Exception, failures: int, policy: Any = None) -> None:
        await pause(error, 1 if policy is not None and policy.attempts > failures else failures)

    return short


async def test_a_watcher_that_was_too_slow_begins_where_it_was() -> None:
    """What waited for it is sent again."""
    slow = refusing(TooLarge("1000 events wait", reason="WATCHER_TOO_SLOW"))
    steps = [telling(*told(1), then=slow), telling(*told(2), then=None)]
    async with scripted(WatchChannels=steps) as (script, client):
        assert await sequences(client.watch(FROM_THE_START), until=2) == [1, 2]
        assert asked_after(script) == [0, 1]


async def test_a_registry_that_holds_less_than_was_seen_is_told() -> None:
    """It was restored from an older copy; no trying again helps."""
    ahead = refusing(NotAllowedNow("3 > 1", reason="SEQUENCE_AHEAD"))
    steps = [telling(*told(1, 2, 3)), ahead]
    async with scripted(WatchChannels=steps) as (script, client):
        with pytest.raises(NotAllowedNow) as caught:
            await sequences(client.watch(FROM_THE_START), until=4)
        assert caught.value.reason == "SEQUENCE_AHEAD"
        assert len(script.calls["WatchChannels"]) == 2


async def test_who_leaves_just_when_something_comes_has_left() -> None:
    """Otherwise a service that stops would follow its channel for ever."""
    asked = asyncio.Event()
    reply, never = (asyncio.get_running_loop().create_future() for _ in range(2))
    replies = iter((reply, never))

    async def read() -> Any:
        asked.set()
        return await next(replies)

    call = SimpleNamespace(read=read, cancel=lambda: None)
    stub = SimpleNamespace(WatchChannels=lambda _request: call)
    watching = Watching(cast(Any, SimpleNamespace(stub=stub)), FROM_THE_START)

    async def follow() -> None:
        async with aclosing(watching.events()) as events:
            async for _ in events:
                pass

    following = asyncio.create_task(follow())
    await asked.wait()
    reply.set_result(told(1)[0])
    following.cancel()
    async with asyncio.timeout(20):
        with pytest.raises(asyncio.CancelledError):
            await following
