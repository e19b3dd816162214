"""Channels over the wire: promoted once, answered again, told in order, by their policy."""

from __future__ import annotations

import asyncio

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from tests.fakes.publishing import package
from tests.fakes.registry import call, failure, promotion, publish, running
from tests.integration.registry.seeded import (
    LONELY,
    MODEL,
    NEW,
    STABLE,
    UUIDS,
    V100,
    V110,
    V120,
    V130,
    V140,
    V200,
    etag_of,
    seeded,
)
from voiceflow.errors import Conflict, NotAllowedNow
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.registry.v1 import registry_pb2_grpc as pb_grpc


async def history(registry: pb_grpc.ModelRegistryStub, channel: str) -> list[pb.Promotion]:
    """All promotions of a channel, newest first."""
    request = pb.ListChannelHistoryRequest(parent=channel)
    return list((await call(registry.ListChannelHistory, request)).promotions)


async def test_of_two_promoters_with_one_etag_one_wins() -> None:
    """R20: the other is told to read again; the history has one entry more."""
    async with seeded() as registry:
        etag = await etag_of(registry, STABLE)
        wishes = [
            promotion(STABLE, V200, etag=etag, request_id=request_id, reason=request_id)
            for request_id in UUIDS[3:9]
        ]
        outcomes = await asyncio.gather(
            *(call(registry.PromoteVersion, wish) for wish in wishes), return_exceptions=True
        )
        won = [at for at, outcome in enumerate(outcomes) if not isinstance(outcome, Exception)]
        assert len(won) == 1
        entries = await history(registry, STABLE)
        assert [entry.sequence for entry in entries] == [3, 2, 1]
        assert entries[0].request_id == wishes[won[0]].request_id
        # The lost reply of the one that won is answered again.
        again = await call(registry.PromoteVersion, wishes[won[0]])
        assert again.promotion == entries[0]
        lost = await failure(registry.PromoteVersion, wishes[won[0] - 1])
        assert isinstance(lost, Conflict)


async def test_checking_alone_promotes_nothing() -> None:
    """With validate_only the answer has the statement to be signed, and the channel stays."""
    async with seeded() as registry:
        before = await history(registry, STABLE)
        wish = promotion(STABLE, V200, etag=await etag_of(registry, STABLE), validate_only=True)
        response = await call(registry.PromoteVersion, wish)
        assert response.promotion.sequence == 3
        assert b'"sequence":3' in response.promotion.statement
        assert await history(registry, STABLE) == before


async def test_a_rollback_is_a_promotion_of_what_was_before() -> None:
    """It goes back to the newest other primary, and says whence."""
    async with seeded() as registry:
        request = pb.RollbackChannelRequest(
            channel=STABLE, etag=await etag_of(registry, STABLE), reason="it flickers"
        )
        response = await call(registry.RollbackChannel, request)
        assert response.channel.rollout.primary.version == V100
        assert (response.promotion.kind, response.promotion.rollback_to_sequence) == (
            pb.Promotion.KIND_ROLLBACK,
            1,
        )
        assert (response.promotion.principal, response.promotion.reason) == (
            "host:127.0.0.1",
            "it flickers",
        )


async def test_the_history_tells_what_served_when() -> None:
    """At a time: the promotion in force; before the first: none."""
    async with seeded() as registry:
        newest, first = await history(registry, STABLE)
        for time, expected in (
            (newest.commit_time, [newest]),
            (first.commit_time, [first]),
            (Timestamp(seconds=1), []),
        ):
            request = pb.ListChannelHistoryRequest(parent=STABLE, at_time=time)
            found = await call(registry.ListChannelHistory, request)
            assert list(found.promotions) == expected
        only = pb.ListChannelHistoryRequest(parent=STABLE, version=V110)
        assert list((await call(registry.ListChannelHistory, only)).promotions) == [newest]


async def test_canary_and_shadow_are_kept_with_their_digests() -> None:
    """A rollout comes back whole; a shadow's 0 percent is 100."""
    async with seeded() as registry:
        wish = promotion(NEW, V100)
        wish.rollout.canary.pin.version = V110
        wish.rollout.canary.percentage = 2.5
        wish.rollout.shadow.pin.version = V200
        response = await call(registry.PromoteVersion, wish)
        rollout = response.channel.rollout
        assert (rollout.canary.percentage, rollout.shadow.percentage) == (2.5, 100.0)
        for pin in (rollout.primary, rollout.canary.pin, rollout.shadow.pin):
            version = (
                await call(registry.GetVersion, pb.GetVersionRequest(name=pin.version))
            ).version
            assert pin.manifest_digest == version.manifest_digest
        # R30: one version's name, another one's bytes.
        wish = promotion(f"{MODEL}/channels/swapped", V100)
        wish.rollout.primary.manifest_digest = rollout.canary.pin.manifest_digest
        swapped = await failure(registry.PromoteVersion, wish)
        assert isinstance(swapped, NotAllowedNow)
        assert swapped.reason == "DIGEST_MISMATCH"


async def test_a_mask_sets_what_it_names() -> None:
    """Other fields stay; the sequence goes up; output only fields of the request are ignored."""
    async with running() as (_, registry):
        name = f"{STABLE}/policy"
        default = (
            await call(registry.GetChannelPolicy, pb.GetChannelPolicyRequest(name=name))
        ).policy
        assert default.sequence == 0
        wanted = pb.ChannelPolicy(name=name, sequence=77, etag="x", allow_prereleases=True)
        wanted.cost_budget.call_p99.FromMilliseconds(5)
        wanted.update_time.seconds = -(2**62)
        request = pb.UpdateChannelPolicyRequest(
            policy=wanted,
            etag=default.etag,
            update_mask=FieldMask(paths=["cost_budget.call_p99"]),
            request_id=UUIDS[0],
        )
        response = await call(registry.UpdateChannelPolicy, request)
        assert response.policy.sequence == 1
        assert not response.policy.allow_prereleases
        assert response.policy.cost_budget.call_p99.ToMilliseconds() == 5
        assert response.policy.demanded_gates == default.demanded_gates
        assert await call(registry.UpdateChannelPolicy, request) == response


async def test_versions_are_yanked_and_deleted_as_channels_let_them() -> None:
    """A yank tells which channels name the version; it is deleted when none does."""
    async with seeded() as registry:
        yanked = await call(registry.YankVersion, pb.YankVersionRequest(name=V140, reason="again"))
        assert yanked.version.yank.reason == "slow"
        (held,) = yanked.channels
        used = await failure(registry.DeleteVersion, pb.DeleteVersionRequest(name=V140))
        assert isinstance(used, NotAllowedNow)
        assert [violation.subject for violation in used.violations] == [held]
        await call(
            registry.PromoteVersion, promotion(held, V200, etag=await etag_of(registry, held))
        )
        deleted = await call(registry.DeleteVersion, pb.DeleteVersionRequest(name=V140))
        assert deleted.version.state == pb.Version.STATE_DELETED


async def test_lists_are_cut_into_pages_that_miss_and_repeat_nothing() -> None:
    """Whatever the size of a page, all of it together is the list."""
    async with seeded() as registry:
        everything = pb.VersionFilter(states=[1, 2, 3])  # type: ignore[list-item]  # by number
        names, token = [], ""
        while True:
            request = pb.ListVersionsRequest(
                parent="models/-", page_size=2, page_token=token, filter=everything
            )
            response = await call(registry.ListVersions, request)
            assert 1 <= len(response.versions) <= 2
            names += [version.name for version in response.versions]
            token = response.next_page_token
            if not token:
                break
        rc = f"{MODEL}/versions/3.0.0-rc.1"
        other = "models/other/versions/1.0.0"
        assert names == [other, rc, V200, V140, V130, V120, V110, V100]
        models = await call(registry.ListModels, pb.ListModelsRequest(name_prefix="models/t"))
        assert [model.newest_version for model in models.models] == [V200]
        listed = await call(registry.ListChannels, pb.ListChannelsRequest(parent=MODEL))
        assert [channel.name for channel in listed.channels] == [
            f"{MODEL}/channels/held",
            LONELY,
            STABLE,
        ]


async def test_a_page_that_would_be_too_large_is_shorter() -> None:
    """Manifests of almost 1 MiB each: a reply stays below the 4 MiB that callers take."""
    async with running() as (_, registry):
        for number in range(6):
            large = package(f"1.{number}.0", licence="x" * 900_000)
            await publish(registry, large)
        names, token, pages = [], "", 0
        while True:
            request = pb.ListVersionsRequest(
                parent=MODEL, view=pb.VERSION_VIEW_FULL, page_token=token
            )
            response = await call(registry.ListVersions, request)
            names += [version.name for version in response.versions]
            pages += 1
            token = response.next_page_token
            if not token:
                break
        assert names == [f"{MODEL}/versions/1.{number}.0" for number in range(5, -1, -1)]
        assert pages == 2


async def test_a_difference_is_told_with_the_bump_that_it_demands() -> None:
    """Against the newest earlier version, yanked ones left out."""
    async with seeded() as registry:
        response = await call(registry.DiffVersions, pb.DiffVersionsRequest(target=V200))
        assert (response.base, response.target) == (V110, V200)
        assert response.required_bump == pb.BUMP_PATCH
        assert response.actual_bump == pb.BUMP_MAJOR
        assert response.sufficient
