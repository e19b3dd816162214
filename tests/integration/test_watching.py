"""A pod's source and its reports against the registry itself, without signatures."""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.memory_store import MemoryStore
from tests.fakes.publishing import Package, package
from tests.fakes.registry import eventually, running
from voiceflow.catalog.channels import Canary, RevertRules, Role, Rollout, VersionPin
from voiceflow.catalog.names import ChannelName, PodName
from voiceflow.catalog.pods import Cause, GenerationState, Revert, VersionOutcomes
from voiceflow.client.registry import RegistryClient
from voiceflow.errors import Unavailable
from voiceflow.package import MANIFEST_FILE, load_package
from voiceflow_inference.serving import watch
from voiceflow_inference.serving.alarms import Alarms
from voiceflow_inference.serving.belief import UncheckedChannel
from voiceflow_inference.serving.cache import Cache
from voiceflow_inference.serving.download import Registry
from voiceflow_inference.serving.reporting import Identity, Reporter
from voiceflow_inference.serving.state import GenerationView, Snapshot, Wanted
from voiceflow_inference.serving.state_file import StateFile
from voiceflow_inference.serving.watch import RegistrySource

STABLE = ChannelName("tones", "stable")
ONE, TWO, THREE = (package(f"1.{number}.0") for number in range(3))


def name_of(what: Package) -> str:
    """Of a version."""
    return str(what.name)


async def publish(client: RegistryClient, disk: Path, *packages: Package) -> None:
    """Publishes packages from a folder."""
    for what in packages:
        folder = disk / "published" / name_of(what).replace("/", "-")
        if not folder.exists():
            folder.mkdir(parents=True)
            (folder / MANIFEST_FILE).write_bytes(what.manifest)
            for name, content in what.files.items():
                (folder / name).write_bytes(content)
        await client.publish(folder)


class Followed:
    """What a pod's source wants.

    Attributes:
        source: The source.
        belief: What it believes.
        seen: Everything wanted so far.
    """

    def __init__(self, disk: Path, address: str) -> None:
        memory = StateFile(disk / "state.json", shared=True)
        self.belief = UncheckedChannel(STABLE, memory, Alarms())
        registry = Registry(address, None, 1.0)
        self.source = RegistrySource(registry, self.belief, Cache(disk / "cache"), RevertRules())
        self.seen: list[Wanted] = []

    async def run(self) -> None:
        """Follows, and serves every primary."""
        stream = self.source.wanted()
        try:
            async for wanted in stream:
                self.seen.append(wanted)
                self.source.holds(wanted)
        finally:
            await stream.aclose()
            self.source.cache.close()

    async def until(self, sequence: int, primary: Package) -> None:
        """Waits until a promotion is what is wanted."""
        async with asyncio.timeout(30):
            while not self.seen or self.seen[-1].sequence != sequence:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        assert self.seen[-1].rollout.primary.version == name_of(primary)


@asynccontextmanager
async def followed(disk: Path, address: str) -> AsyncIterator[Followed]:
    """Follows the channel while the block runs."""
    pod = Followed(disk, address)
    task = asyncio.create_task(pod.run())
    try:
        yield pod
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that is back is found soon."""
    monkeypatch.setattr(watch, "LONGEST_PAUSE_SECONDS", 0.1)


async def test_promotions_rollbacks_and_policies_are_followed(tmp_path: Path) -> None:
    """Each promotion with its canary, what it pins comes complete, and the rules as they change."""
    async with running() as (app, _), RegistryClient(app.server.address) as client:
        await publish(client, tmp_path, ONE, TWO)
        await client.promote(STABLE, name_of(ONE))
        async with followed(tmp_path, app.server.address) as pod:
            await pod.until(1, ONE)
            canary = Canary(pin=VersionPin(version=name_of(TWO)), percentage=10.0)
            one = Rollout(primary=VersionPin(version=name_of(ONE)), canary=canary)
            await client.promote(STABLE, one)
            await pod.until(2, ONE)
            wanted = pod.seen[-1].rollout
            assert wanted.canary is not None
            assert wanted.canary.percentage == 10.0
            found = await pod.source.fetch(wanted.canary.pin)
            loaded = load_package(found.folder, manifest_digest=found.manifest_digest)
            assert loaded.manifest.resource_name == name_of(TWO)
            await client.promote(STABLE, name_of(TWO))
            await pod.until(3, TWO)
            await client.rollback(STABLE, reason="worse")
            await pod.until(4, ONE)
            rules = RevertRules(minimum_streams=3, hang_after_seconds=2.5)
            policy = await client.policy(STABLE)
            await client.update_policy(
                policy.model_copy(update={"revert_rules": rules}), update_mask=["revert_rules"]
            )

            async def told() -> bool:
                return pod.seen[-1].rules == rules

            await eventually(told)
            assert pod.seen[-1].sequence == 4


async def test_a_registry_that_restarts_is_followed_on(tmp_path: Path) -> None:
    """Also where it was set back to an older copy: without signatures it is believed."""
    store, older = MemoryStore(), MemoryStore()
    async with running(older) as (app, _), RegistryClient(app.server.address) as client:
        await publish(client, tmp_path, ONE)
        await client.promote(STABLE, name_of(ONE))
    async with running(store) as (app, _), RegistryClient(app.server.address) as client:
        await publish(client, tmp_path, ONE, TWO, THREE)
        await client.promote(STABLE, name_of(ONE))
        await client.promote(STABLE, name_of(TWO))
        address = app.server.address
        pod_of = followed(tmp_path, address)
        pod = await pod_of.__aenter__()
        await pod.until(2, TWO)
    try:
        port = int(address.rpartition(":")[2])
        async with running(store, port=port) as (app, _), RegistryClient(address) as client:
            await client.promote(STABLE, name_of(THREE))
            await pod.until(3, THREE)
            assert pod.source.watch_lost_time is None
        async with running(older, port=port):
            await pod.until(1, ONE)
        assert pod.belief.alarms.raised == {}
    finally:
        await pod_of.__aexit__(None, None, None)


async def test_a_pod_without_its_registry_begins_with_what_it_served(tmp_path: Path) -> None:
    """From its cache; one whose cache is gone cannot, nor one that never served."""
    async with running() as (app, _), RegistryClient(app.server.address) as client:
        await publish(client, tmp_path, ONE)
        await client.promote(STABLE, name_of(ONE))
        async with followed(tmp_path, app.server.address) as pod:
            await pod.until(1, ONE)
    async with followed(tmp_path, "127.0.0.1:1") as pod:
        await pod.until(1, ONE)
        assert pod.source.watch_lost_time is not None
    fresh = Followed(tmp_path / "fresh", "127.0.0.1:1")
    with pytest.raises(Unavailable, match="cannot be reached"):
        await fresh.run()


async def test_what_was_served_last_stands_in_for_what_cannot_be_served(tmp_path: Path) -> None:
    """If it is older; there is nothing behind it."""
    async with running() as (app, _), RegistryClient(app.server.address) as client:
        await publish(client, tmp_path, ONE, TWO)
        await client.promote(STABLE, name_of(ONE))
        async with followed(tmp_path, app.server.address) as pod:
            await pod.until(1, ONE)
        await client.promote(STABLE, name_of(TWO))
        fresh = Followed(tmp_path, app.server.address)
        stream = fresh.source.wanted()
        newest = await anext(stream)
        assert newest.sequence == 2
        instead = fresh.source.instead(newest)
        assert instead is not None
        assert (instead.sequence, instead.rollout.primary.version) == (1, name_of(ONE))
        assert fresh.source.instead(instead) is None
        await fresh.source.fetch(instead.rollout.primary)
        fresh.source.holds(instead)
        await stream.aclose()
        fresh.source.cache.close()


class Manager:
    """What a pod reports."""

    def __init__(self, primary: VersionPin) -> None:
        view = GenerationView(1, primary, GenerationState.ACTIVE, Role.PRIMARY, assigned=True)
        self.now = Snapshot(0.0, generations=(view,), desired_sequence=2, serving_sequence=2)

    def snapshot(self) -> Snapshot:
        """As it was set."""
        return self.now

    def outcomes(self) -> Sequence[VersionOutcomes]:
        """Of its version."""
        (view,) = self.now.generations
        return [VersionOutcomes(version=view.pin.version, role=Role.PRIMARY, streams=4, hops=9)]

    def acknowledge(self, names: Any) -> None:
        """They are kept."""
        left = [revert for revert in self.now.reverts if revert.name not in names]
        self.now = dataclasses.replace(self.now, reverts=left)


async def test_the_registry_knows_what_a_pod_serves_and_has_left(tmp_path: Path) -> None:
    """As soon as it changes; a revert is kept, and not told again."""
    async with running() as (app, _), RegistryClient(app.server.address) as client:
        await publish(client, tmp_path, ONE, TWO)
        _, first = await client.promote(STABLE, name_of(ONE))
        await client.promote(STABLE, name_of(TWO))
        async with followed(tmp_path, app.server.address) as pod:
            await pod.until(2, TWO)
            manager = Manager(first.rollout.primary)
            identity = Identity(
                PodName("blue-1"), STABLE, datetime.now(UTC), "0.1.0", {"colour": "blue"}
            )
            alarms = Alarms()
            registry = Registry(app.server.address, None, 1.0)
            reporter = Reporter(registry, identity, manager, pod.source, alarms)
            task = asyncio.create_task(reporter.run())
            try:
                revert = Revert(
                    name=f"{STABLE}/reverts/{uuid.uuid4()}",
                    pod="pods/blue-1",
                    sequence=2,
                    from_version=pod.seen[-1].rollout.primary,
                    to_version=first.rollout.primary,
                    role=Role.PRIMARY,
                    cause=Cause.HANG,
                    revert_time=datetime.now(UTC),
                )
                manager.now = dataclasses.replace(
                    manager.now, serving_sequence=1, reverts=(revert,)
                )

                async def acknowledged() -> bool:
                    return not manager.now.reverts

                await eventually(acknowledged)
                known = await client.get_pod("pods/blue-1")
                assert (known.desired_sequence, known.serving_sequence) == (2, 1)
                assert known.labels == {"colour": "blue"}
                assert [one.version for one in known.generations] == [first.rollout.primary]
                assert [one async for one in client.list_reverts(STABLE)] == [revert]
                compared = await client.compare(STABLE, name_of(ONE), name_of(TWO))
                assert (compared.base_pods, compared.base.hops) == (1, 9)
                assert alarms.raised == {}
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
