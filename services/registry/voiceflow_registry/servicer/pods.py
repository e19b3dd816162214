"""Pods' reports, their reverts and outcomes, and collection."""

from __future__ import annotations

from voiceflow.catalog.names import ChannelName, PodName, VersionName
from voiceflow.errors import InvalidInput
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.rpc.access import caller_of
from voiceflow.rpc.registry import (
    collection_to_wire,
    comparison_to_wire,
    outcomes_from_wire,
    pod_filter_from_wire,
    pod_from_wire,
    pod_to_wire,
    revert_from_wire,
    revert_to_wire,
    seconds_from_wire,
    seconds_to_wire,
)
from voiceflow_registry.audit.changes import collected, reverted
from voiceflow_registry.pods.reports import check_reporter
from voiceflow_registry.servicer.auditing import Auditing
from voiceflow_registry.servicer.threads import Threads
from voiceflow_registry.servicer.values import Acts, Context, listed


class PodMethods:
    """The part of the service that is about pods, and about what is left over."""

    _acts: Acts
    _threads: Threads
    _auditing: Auditing

    async def ReportServing(  # noqa: N802
        self, request: pb.ReportServingRequest, context: Context
    ) -> pb.ReportServingResponse:
        """See the service."""
        if not request.HasField("pod"):
            raise InvalidInput("pod is required", reason="FIELD_REQUIRED", field="pod")
        pod = pod_from_wire(_reported(request.pod))
        reverts = [
            revert_from_wire(revert, f"reverts[{at}]") for at, revert in enumerate(request.reverts)
        ]
        outcomes = [
            outcomes_from_wire(outcome, f"outcomes[{at}]")
            for at, outcome in enumerate(request.outcomes)
        ]
        caller = caller_of(context)

        def report() -> float:
            return self._acts.pods.report(
                caller,
                pod,
                report_number=request.report_number,
                reverts=reverts,
                outcomes=outcomes,
            )

        if reverts:  # a quorum of them commits a rollback: who had a part in it is recorded
            name = PodName.parse(pod.name, field="pod.name")
            channel = ChannelName.parse(pod.channel, field="pod.channel")
            check_reporter(caller, name, channel)  # before: strangers shall not fill the store
            deed = self._auditing.deed(caller, "ReportServing", channel, request)
            seconds = await self._auditing.act(deed, report, lambda _: reverted(name, reverts))
            self._acts.hub.nudge(channel)
        else:
            seconds = await self._threads.call(report)
        return pb.ReportServingResponse(report_again_after=seconds_to_wire(seconds))

    async def GetPod(  # noqa: N802
        self, request: pb.GetPodRequest, _context: Context
    ) -> pb.GetPodResponse:
        """See the service."""
        name = PodName.parse(request.name)
        pod = await self._threads.call(lambda: self._acts.pods.get(name))
        return pb.GetPodResponse(pod=pod_to_wire(pod))

    async def ListPods(  # noqa: N802
        self, request: pb.ListPodsRequest, _context: Context
    ) -> pb.ListPodsResponse:
        """See the service."""
        where = pod_filter_from_wire(request.filter)
        pods, token = await self._threads.call(
            lambda: listed(
                lambda page_size: self._acts.pods.list(
                    where=where, page_size=page_size, page_token=request.page_token
                ),
                request.page_size,
                pod_to_wire,
            )
        )
        return pb.ListPodsResponse(pods=pods, next_page_token=token)

    async def ListReverts(  # noqa: N802
        self, request: pb.ListRevertsRequest, _context: Context
    ) -> pb.ListRevertsResponse:
        """See the service."""
        parent = ChannelName.parse(request.parent, field="parent")
        reverts, token = await self._threads.call(
            lambda: listed(
                lambda page_size: self._acts.pods.reverts(
                    parent,
                    version=request.version,
                    sequence=request.sequence,
                    page_size=page_size,
                    page_token=request.page_token,
                ),
                request.page_size,
                revert_to_wire,
            )
        )
        return pb.ListRevertsResponse(reverts=reverts, next_page_token=token)

    async def CompareOutcomes(  # noqa: N802
        self, request: pb.CompareOutcomesRequest, _context: Context
    ) -> pb.CompareOutcomesResponse:
        """See the service."""
        channel = ChannelName.parse(request.channel, field="channel")
        base = VersionName.parse(request.base, field="base")
        target = VersionName.parse(request.target, field="target")
        comparison = await self._threads.call(
            lambda: self._acts.pods.compare(channel, base, target)
        )
        return comparison_to_wire(comparison)

    async def CollectGarbage(  # noqa: N802
        self, request: pb.CollectGarbageRequest, context: Context
    ) -> pb.CollectGarbageResponse:
        """See the service. Sent again, it collects what is left: nothing is done twice."""
        grace_seconds = seconds_from_wire(request, "grace_period", "")
        caller = caller_of(context)
        collection = await self._auditing.act(
            self._auditing.deed(caller, "CollectGarbage", "", request),
            lambda: self._acts.collector.collect(
                caller,
                validate_only=request.validate_only,
                grace_seconds=grace_seconds,
                maximum_objects=request.maximum_objects,
                request_id=request.request_id,
            ),
            collected,
        )
        return collection_to_wire(collection)


def _reported(pod: pb.Pod) -> pb.Pod:
    """Without the registry's own time, which is ignored in requests, whatever it is."""
    reported = pb.Pod()
    reported.CopyFrom(pod)
    reported.ClearField("report_time")
    return reported
