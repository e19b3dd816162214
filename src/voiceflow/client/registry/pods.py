"""Pods and what they report, and the collection of garbage."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from voiceflow.catalog.names import ChannelName, PodName, VersionName
from voiceflow.catalog.pods import Collection, OutcomeComparison, Pod, Revert, VersionOutcomes
from voiceflow.catalog.queries import PodFilter
from voiceflow.client.registry.methods import Methods, made
from voiceflow.errors import VoiceFlowError
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.rpc.registry import (
    collection_from_wire,
    comparison_from_wire,
    outcomes_to_wire,
    pod_filter_to_wire,
    pod_from_wire,
    pod_to_wire,
    revert_from_wire,
    revert_to_wire,
    seconds_from_wire,
    seconds_to_wire,
)


class PodMethods(Methods):
    """The client's part for pods and for the store; see `RegistryClient`."""

    async def report(
        self,
        pod: Pod,
        report_number: int,
        *,
        reverts: Sequence[Revert] = (),
        outcomes: Sequence[VersionOutcomes] = (),
    ) -> float:
        """Says what a pod serves; asked once, since the next report says more.

        Returns:
            Seconds until it is to report again, if nothing changes before.
        """
        request = pb.ReportServingRequest(
            pod=pod_to_wire(pod),
            report_number=report_number,
            reverts=[revert_to_wire(revert) for revert in reverts],
            outcomes=[outcomes_to_wire(one) for one in outcomes],
        )
        response = await self._connection.ask_once(self._stub.ReportServing, request)
        seconds = seconds_from_wire(response, "report_again_after", "report_again_after")
        if seconds is None:
            raise VoiceFlowError(
                "the registry did not say when to report again", reason="FIELD_REQUIRED"
            )
        return seconds

    async def get_pod(self, name: PodName | str) -> Pod:
        """A pod, as it last reported."""
        request = pb.GetPodRequest(name=str(name))
        response = await self._connection.ask(self._stub.GetPod, request)
        return pod_from_wire(response.pod)

    def list_pods(self, where: PodFilter | None = None) -> AsyncGenerator[Pod, None]:
        """Pods by name."""
        request = pb.ListPodsRequest(filter=pod_filter_to_wire(where or PodFilter()))
        return self._connection.pages(
            self._stub.ListPods, request, lambda page: page.pods, pod_from_wire
        )

    def list_reverts(
        self,
        channel: ChannelName | str,
        *,
        version: VersionName | str = "",
        sequence: int = 0,
    ) -> AsyncGenerator[Revert, None]:
        """Reverts that pods have reported, newest first."""
        request = pb.ListRevertsRequest(
            parent=str(channel), version=str(version), sequence=sequence
        )
        return self._connection.pages(
            self._stub.ListReverts, request, lambda page: page.reverts, revert_from_wire
        )

    async def compare(
        self, channel: ChannelName | str, base: VersionName | str, target: VersionName | str
    ) -> OutcomeComparison:
        """The outcomes of two versions on one channel beside each other."""
        request = pb.CompareOutcomesRequest(
            channel=str(channel), base=str(base), target=str(target)
        )
        return comparison_from_wire(await self._connection.ask(self._stub.CompareOutcomes, request))

    # Collection

    async def collect_garbage(
        self,
        *,
        validate_only: bool = False,
        grace_seconds: float | None = None,
        maximum_objects: int = 0,
        request_id: str | None = None,
    ) -> Collection:
        """Removes what nothing refers to, a bounded number; call again while `more` is true."""
        request = pb.CollectGarbageRequest(
            validate_only=validate_only,
            grace_period=seconds_to_wire(grace_seconds),
            maximum_objects=maximum_objects,
            request_id=made(request_id),
        )
        return collection_from_wire(await self._connection.ask(self._stub.CollectGarbage, request))
