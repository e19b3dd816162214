"""Pods over the wire: reported, listed, compared; a quorum of reverts moves all."""

from __future__ import annotations

import uuid

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from tests.fakes.registry import call
from tests.integration.registry.seeded import (
    GENERATION,
    POD,
    STABLE,
    V100,
    V110,
    pod,
    seeded,
    set_policy,
)
from voiceflow.registry.v1 import registry_pb2 as pb


def now() -> Timestamp:
    """The time."""
    stamp = Timestamp()
    stamp.GetCurrentTime()
    return stamp


def outcomes(version: str, role: pb.Role, streams: int) -> pb.VersionOutcomes:
    """How a version fares."""
    return pb.VersionOutcomes(
        version=version,
        role=role,
        streams=streams,
        hops=streams * 100,
        turns=streams * 5,
        speech=Duration(seconds=streams * 30),
        compute_latency_seconds=pb.Histogram(upper_bounds=[0.01], counts=[streams, 0], sum=0.1),
    )


async def test_what_a_pod_reports_can_be_read() -> None:
    """As it said it, with the registry's time; by name, and in lists by what it does."""
    async with seeded() as registry:
        request = pb.ReportServingRequest(
            pod=pod(labels={"colour": "blue"}, lost=True, report_time=Timestamp(seconds=2**60)),
            report_number=3,
        )
        response = await call(registry.ReportServing, request)
        assert response.report_again_after.ToSeconds() > 0
        found = (await call(registry.GetPod, pb.GetPodRequest(name=POD))).pod
        assert found.generations[0] == GENERATION
        assert found.HasField("report_time")
        assert not found.lost
        for where, expected in (
            (pb.PodFilter(channel=STABLE, labels={"colour": "blue"}), [POD]),
            (pb.PodFilter(version=V100), []),
            (pb.PodFilter(not_converged=True), []),
        ):
            listed = await call(registry.ListPods, pb.ListPodsRequest(filter=where))
            assert [one.name for one in listed.pods] == expected


async def test_outcomes_of_all_pods_are_added_up() -> None:
    """Two versions beside each other, from two pods."""
    async with seeded() as registry:
        for name in ("pods/a", "pods/b"):
            request = pb.ReportServingRequest(
                pod=pod(name=name),
                report_number=3,
                outcomes=[
                    outcomes(V100, pb.ROLE_PRIMARY, 10),
                    outcomes(V110, pb.ROLE_CANARY, 4),
                ],
            )
            await call(registry.ReportServing, request)
        response = await call(
            registry.CompareOutcomes,
            pb.CompareOutcomesRequest(channel=STABLE, base=V100, target=V110),
        )
        assert (response.base.streams, response.target.streams) == (20, 8)
        assert (response.base_pods, response.target_pods) == (2, 2)
        figures = {one.name: (one.base, one.target) for one in response.comparisons}
        assert figures["turns_per_stream"] == (5.0, 5.0)


async def test_a_quorum_of_reverts_rolls_the_channel_back() -> None:
    """One sick pod moves nobody; the second one commits a rollback that watchers hear of."""
    async with seeded() as registry:
        fleet = pb.FleetRollback(enabled=True, minimum_pods=2, minimum_percent=50)
        await set_policy(registry, STABLE, fleet_rollback=fleet)
        for name, serves in (("pods/a", V110), ("pods/b", V100)):
            revert = pb.Revert(
                name=f"{STABLE}/reverts/{uuid.uuid4()}",
                pod=name,
                sequence=2,
                from_version=pb.VersionPin(version=V110),
                to_version=pb.VersionPin(version=V100),
                role=pb.ROLE_PRIMARY,
                cause=pb.Revert.CAUSE_NON_FINITE,
                revert_time=now(),
            )
            request = pb.ReportServingRequest(
                pod=pod(name=name, start_time=now()), report_number=1, reverts=[revert]
            )
            await call(registry.ReportServing, request)
            channel = (await call(registry.GetChannel, pb.GetChannelRequest(name=STABLE))).channel
            assert channel.rollout.primary.version == serves
        newest = await call(
            registry.ListChannelHistory, pb.ListChannelHistoryRequest(parent=STABLE, page_size=1)
        )
        assert newest.promotions[0].kind == pb.Promotion.KIND_AUTOMATIC_ROLLBACK
        reverts = await call(registry.ListReverts, pb.ListRevertsRequest(parent=STABLE))
        assert sorted(revert.pod for revert in reverts.reverts) == ["pods/a", "pods/b"]


async def test_collection_tells_what_it_would_remove() -> None:
    """With validate_only nothing goes; without it the files of a deleted version do."""
    async with seeded(collection_grace_seconds=1e-6) as registry:
        planned = await call(registry.CollectGarbage, pb.CollectGarbageRequest(validate_only=True))
        assert planned.objects
        removed = await call(registry.CollectGarbage, pb.CollectGarbageRequest())
        assert {one.key for one in removed.objects} >= {one.key for one in planned.objects}
        again = await call(registry.CollectGarbage, pb.CollectGarbageRequest())
        assert (list(again.objects), again.more) == ([], False)
