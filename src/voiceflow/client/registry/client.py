"""The client of the ModelRegistry service: its methods, typed with the values of the catalog."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import grpc
from google.protobuf.field_mask_pb2 import FieldMask

from voiceflow.artifact import Digest
from voiceflow.catalog.channels import (
    Channel,
    ChannelCursor,
    ChannelPolicy,
    Promotion,
    Rollout,
    VersionPin,
    WatchEvent,
)
from voiceflow.catalog.gates import Gate, ValidationReport
from voiceflow.catalog.names import ChannelName, ModelName, PodName, ValidationName, VersionName
from voiceflow.catalog.pods import Collection, OutcomeComparison, Pod, Revert, VersionOutcomes
from voiceflow.catalog.queries import PodFilter, VersionFilter
from voiceflow.catalog.values import Signature
from voiceflow.catalog.versions import Difference, Model, Version
from voiceflow.client.registry.connection import Connection
from voiceflow.client.registry.downloading import Downloading, check_replaceable, is_complete
from voiceflow.client.registry.local import open_package
from voiceflow.client.registry.progress import OnProgress, unwatched
from voiceflow.client.registry.publishing import Published, Publishing
from voiceflow.client.registry.validating import (
    ValidationProgress,
    follow_validation,
    validation_request,
)
from voiceflow.client.registry.watching import SILENCE_SECONDS, Watching
from voiceflow.client.retry import RetryPolicy
from voiceflow.errors import NotFound, VoiceFlowError
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.rpc.registry import (
    channel_from_wire,
    collection_from_wire,
    comparison_from_wire,
    difference_from_wire,
    model_from_wire,
    outcomes_to_wire,
    pod_filter_to_wire,
    pod_from_wire,
    pod_to_wire,
    policy_from_wire,
    policy_to_wire,
    promotion_from_wire,
    report_from_wire,
    revert_from_wire,
    revert_to_wire,
    rollout_to_wire,
    seconds_from_wire,
    seconds_to_wire,
    signature_to_wire,
    time_to_wire,
    version_filter_to_wire,
    version_from_wire,
)

DEFAULT_REGISTRY: Final = "127.0.0.1:50061"

ALL_MODELS: Final = "models/-"


class RegistryClient:
    """Talks to one registry; many methods may run at once.

    Names may be given as text or as values of `voiceflow.catalog.names`. What changes something
    takes a request id, or makes one: after a cut it is repeated, and done once.

    Args:
        target: `host:port`, or any target that gRPC knows.
        credentials: None: without TLS, for loopback and meshes that bring their own.
        retry: How patiently to ask again while the registry is away or busy.
        timeout_seconds: For the answer to one request; what streams has no limit.

    Every method raises a `voiceflow.errors.VoiceFlowError` with the registry's reason.
    """

    def __init__(
        self,
        target: str = DEFAULT_REGISTRY,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        retry: RetryPolicy | None = None,
        timeout_seconds: float = 60.0,
    ) -> None:
        self._arguments = (target, credentials, retry or RetryPolicy(), timeout_seconds)

    async def __aenter__(self) -> Self:
        self._connection = Connection(*self._arguments)
        self._stub = self._connection.stub
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._connection.close()

    # Publishing

    async def publish(
        self,
        folder: Path,
        *,
        request_id: str | None = None,
        signature: Signature | None = None,
        validate_only: bool = False,
        on_progress: OnProgress = unwatched,
    ) -> Published:
        """Publishes a package, in memory that does not grow with it.

        It is checked here first. What the registry holds already is not sent, and after a cut only
        what is lacking.

        Args:
            folder: Holds the package.
            request_id: A UUID; None: one is made.
            signature: Over `manifest.json`.
            validate_only: Let it be checked, and change nothing.
            on_progress: Told how far it is, from the event loop.

        Raises:
            PackageInvalid: The package is not complete; nothing was sent.
        """
        package = await asyncio.to_thread(open_package, folder)
        publishing = Publishing(
            self._connection,
            package,
            request_id=_made(request_id),
            signature=signature,
            validate_only=validate_only,
            on_progress=on_progress,
        )
        return await publishing.run()

    async def yank(
        self,
        version: VersionName | str,
        reason: str,
        *,
        request_id: str | None = None,
        validate_only: bool = False,
    ) -> tuple[Version, tuple[str, ...]]:
        """Marks a version as not to be promoted again; also tells which channels name it."""
        request = pb.YankVersionRequest(
            name=str(version),
            reason=reason,
            request_id=_made(request_id),
            validate_only=validate_only,
        )
        response = await self._connection.ask(self._stub.YankVersion, request)
        return version_from_wire(response.version), tuple(response.channels)

    async def delete(
        self,
        version: VersionName | str,
        *,
        request_id: str | None = None,
        validate_only: bool = False,
    ) -> Version:
        """Takes the files of a yanked version away."""
        request = pb.DeleteVersionRequest(
            name=str(version), request_id=_made(request_id), validate_only=validate_only
        )
        response = await self._connection.ask(self._stub.DeleteVersion, request)
        return version_from_wire(response.version)

    # Gates

    async def validate(
        self,
        version: VersionName | str,
        *,
        gates: Sequence[Gate] = (),
        channel: ChannelName | str = "",
        request_id: str | None = None,
    ) -> AsyncGenerator[ValidationProgress, None]:
        """Runs a version through the gates.

        Close the generator to end the run early.

        Args:
            version: Which.
            gates: Which; none: those that the policy of `channel` demands, or all.
            channel: Whose policy sets what is allowed, and whose primary it is compared with.
            request_id: Of a run that ended: its report is answered at once.

        Yields:
            A `Gate` when it starts, its `GateResult` when it ends, at last the `ValidationReport`.
            After a cut the run begins anew; what was told is not told again.
        """
        request = validation_request(version, gates, channel, _made(request_id))
        async with aclosing(follow_validation(self._connection, request)) as events:
            async for event in events:
                yield event

    async def get_validation(self, name: ValidationName | str) -> ValidationReport:
        """What one run of the gates saw."""
        request = pb.GetValidationRequest(name=str(name))
        response = await self._connection.ask(self._stub.GetValidation, request)
        return report_from_wire(response.report)

    def list_validations(
        self, version: VersionName | str, *, channel: ChannelName | str = ""
    ) -> AsyncGenerator[ValidationReport, None]:
        """What the gates saw of a version, newest run first."""
        request = pb.ListValidationsRequest(parent=str(version), channel=str(channel))
        return self._connection.pages(
            self._stub.ListValidations, request, lambda page: page.reports, report_from_wire
        )

    # Models and versions

    async def get_model(self, name: ModelName | str) -> Model:
        """A model."""
        request = pb.GetModelRequest(name=str(name))
        response = await self._connection.ask(self._stub.GetModel, request)
        return model_from_wire(response.model)

    def list_models(self, *, name_prefix: str = "") -> AsyncGenerator[Model, None]:
        """Models by name; a prefix is that of the whole name, `models/dia`."""
        request = pb.ListModelsRequest(name_prefix=name_prefix)
        return self._connection.pages(
            self._stub.ListModels, request, lambda page: page.models, model_from_wire
        )

    async def get_version(self, name: VersionName | str, *, full: bool = True) -> Version:
        """A version, with its manifest and signature where `full`."""
        view = pb.VERSION_VIEW_FULL if full else pb.VERSION_VIEW_BASIC
        request = pb.GetVersionRequest(name=str(name), view=view)
        response = await self._connection.ask(self._stub.GetVersion, request)
        return version_from_wire(response.version)

    def list_versions(
        self,
        model: ModelName | str = ALL_MODELS,
        *,
        where: VersionFilter | None = None,
        full: bool = False,
    ) -> AsyncGenerator[Version, None]:
        """Versions, highest precedence first; of all models, by model first."""
        request = pb.ListVersionsRequest(
            parent=str(model),
            view=pb.VERSION_VIEW_FULL if full else pb.VERSION_VIEW_BASIC,
            filter=version_filter_to_wire(where or VersionFilter()),
        )
        return self._connection.pages(
            self._stub.ListVersions, request, lambda page: page.versions, version_from_wire
        )

    async def diff(
        self, target: VersionName | str, base: VersionName | str | None = None
    ) -> Difference:
        """What differs between two versions; without a base, the newest one before the target."""
        request = pb.DiffVersionsRequest(target=str(target), base=str(base or ""))
        return difference_from_wire(await self._connection.ask(self._stub.DiffVersions, request))

    async def download(
        self,
        version: VersionName | str,
        folder: Path,
        *,
        manifest_digest: Digest | None = None,
        on_progress: OnProgress = unwatched,
    ) -> Path:
        """Fetches a version into a folder that is complete and verified as soon as it is there.

        A folder that holds this very version is left as it is, without asking the registry where
        the digest is pinned; one that is damaged, or holds another version, is replaced. What a cut
        left is taken up again.

        Args:
            version: Which.
            folder: Where to; empty, not there, or a package.
            manifest_digest: That it must have, as a promotion pins it; None: as the registry says.
            on_progress: Told how far it is, from the event loop.

        Returns:
            The folder.

        Raises:
            ContentCorrupt: What the registry sends is not what is pinned.
            NotAllowedNow: FOLDER_TAKEN: there is something else in the folder.
        """
        pinned = manifest_digest
        if pinned is not None and await asyncio.to_thread(is_complete, folder, pinned):
            return folder
        check_replaceable(folder)
        found = await self.get_version(version)
        wanted = pinned or found.manifest_digest
        if pinned is None and await asyncio.to_thread(is_complete, folder, wanted):
            return folder
        return await Downloading(self._connection, folder, on_progress).run(found, wanted)

    # Channels

    async def get_channel(self, name: ChannelName | str) -> Channel:
        """A channel."""
        request = pb.GetChannelRequest(name=str(name))
        response = await self._connection.ask(self._stub.GetChannel, request)
        return channel_from_wire(response.channel)

    def list_channels(
        self, model: ModelName | str = ALL_MODELS, *, version: VersionName | str = ""
    ) -> AsyncGenerator[Channel, None]:
        """Channels by name; only those that name a version, if one is given."""
        request = pb.ListChannelsRequest(parent=str(model), version=str(version))
        return self._connection.pages(
            self._stub.ListChannels, request, lambda page: page.channels, channel_from_wire
        )

    async def promote(
        self,
        channel: ChannelName | str,
        rollout: Rollout | VersionName | str,
        *,
        etag: str | None = None,
        reason: str = "",
        allow_downgrade: bool = False,
        expire_time: datetime | None = None,
        signature: Signature | None = None,
        request_id: str | None = None,
        validate_only: bool = False,
    ) -> tuple[Channel, Promotion]:
        """Sets what a channel serves.

        Args:
            channel: Which; its first promotion makes it.
            rollout: As it shall be, as a whole; a version alone is a rollout of nothing else.
            etag: The state that the caller has seen; None: as it is now, whatever that is.
            reason: Why, for people.
            allow_downgrade: Let a primary of lower precedence in.
            expire_time: After it the promotion is stale.
            signature: Over the statement that a call with `validate_only` answers.
            request_id: A UUID; None: one is made.
            validate_only: Check it, and change nothing.

        Raises:
            Conflict: ETAG_STALE: another promotion came first; look again and decide again.
        """
        whole = rollout if isinstance(rollout, Rollout) else Rollout(primary=_pin(rollout))
        request = pb.PromoteVersionRequest(
            channel=str(channel),
            rollout=rollout_to_wire(whole),
            etag=await self._etag(channel) if etag is None else etag,
            request_id=_made(request_id),
            validate_only=validate_only,
            reason=reason,
            allow_downgrade=allow_downgrade,
            expire_time=time_to_wire(expire_time),
            signature=signature_to_wire(signature),
        )
        response = await self._connection.ask(self._stub.PromoteVersion, request)
        return channel_from_wire(response.channel), promotion_from_wire(response.promotion)

    async def rollback(
        self,
        channel: ChannelName | str,
        *,
        to_sequence: int = 0,
        etag: str | None = None,
        reason: str = "",
        expire_time: datetime | None = None,
        signature: Signature | None = None,
        request_id: str | None = None,
        validate_only: bool = False,
    ) -> tuple[Channel, Promotion]:
        """Promotes again what the channel served before; arguments as for `promote`.

        Args:
            channel: Which.
            to_sequence: Whose primary to go back to; 0: the newest other one that is not yanked.
            etag: See `promote`.
            reason: See `promote`.
            expire_time: See `promote`.
            signature: See `promote`.
            request_id: See `promote`.
            validate_only: See `promote`.
        """
        request = pb.RollbackChannelRequest(
            channel=str(channel),
            to_sequence=to_sequence,
            etag=await self._etag(channel) if etag is None else etag,
            request_id=_made(request_id),
            validate_only=validate_only,
            reason=reason,
            expire_time=time_to_wire(expire_time),
            signature=signature_to_wire(signature),
        )
        response = await self._connection.ask(self._stub.RollbackChannel, request)
        return channel_from_wire(response.channel), promotion_from_wire(response.promotion)

    def history(
        self, channel: ChannelName | str, *, version: VersionName | str = ""
    ) -> AsyncGenerator[Promotion, None]:
        """A channel's promotions, newest first; only those that name a version, if one is given."""
        request = pb.ListChannelHistoryRequest(parent=str(channel), version=str(version))
        return self._connection.pages(
            self._stub.ListChannelHistory,
            request,
            lambda page: page.promotions,
            promotion_from_wire,
        )

    async def at_time(self, channel: ChannelName | str, time: datetime) -> Promotion | None:
        """What served at a time; None if the channel is younger."""
        request = pb.ListChannelHistoryRequest(parent=str(channel), at_time=time_to_wire(time))
        response = await self._connection.ask(self._stub.ListChannelHistory, request)
        for promotion in response.promotions:
            return promotion_from_wire(promotion)
        return None

    async def watch(
        self, cursors: Sequence[ChannelCursor], *, silence_seconds: float = SILENCE_SECONDS
    ) -> AsyncGenerator[WatchEvent, None]:
        """Follows channels until the generator is closed.

        The first connection is as patient as any request; once it stood, no outage ends the watch.

        Args:
            cursors: From where each channel is watched.
            silence_seconds: A stream that tells nothing for so long is taken up anew.

        Yields:
            Of each channel its promotions in order of sequence, each exactly once; its policy at
            the start and when it changes; heartbeats.

        Raises:
            NotAllowedNow: SEQUENCE_AHEAD: the registry holds less than the caller has seen.
        """
        watching = Watching(self._connection, cursors, silence_seconds)
        async with aclosing(watching.events()) as events:
            async for event in events:
                yield event

    # Policies

    async def policy(self, channel: ChannelName | str) -> ChannelPolicy:
        """A channel's policy, or the registry's default."""
        request = pb.GetChannelPolicyRequest(name=f"{channel}/policy")
        response = await self._connection.ask(self._stub.GetChannelPolicy, request)
        return policy_from_wire(response.policy)

    async def update_policy(
        self,
        policy: ChannelPolicy,
        *,
        update_mask: Sequence[str] | None = None,
        etag: str | None = None,
        request_id: str | None = None,
        validate_only: bool = False,
    ) -> ChannelPolicy:
        """Sets a channel's policy.

        Args:
            policy: As it shall be, under its name.
            update_mask: The fields to set; None: all.
            etag: As last read; None: the policy's own, or as it is now if that is empty.
            request_id: A UUID; None: one is made.
            validate_only: Check it, and change nothing.

        Raises:
            Conflict: ETAG_STALE.
        """
        seen = policy.etag if etag is None else etag
        if etag is None and not seen:
            seen = (await self.policy(policy.name.removesuffix("/policy"))).etag
        request = pb.UpdateChannelPolicyRequest(
            policy=policy_to_wire(policy),
            update_mask=None if update_mask is None else FieldMask(paths=update_mask),
            etag=seen,
            request_id=_made(request_id),
            validate_only=validate_only,
        )
        response = await self._connection.ask(self._stub.UpdateChannelPolicy, request)
        return policy_from_wire(response.policy)

    # Pods

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
            request_id=_made(request_id),
        )
        return collection_from_wire(await self._connection.ask(self._stub.CollectGarbage, request))

    async def _etag(self, channel: ChannelName | str) -> str:
        """The channel's etag; empty where the channel has yet to be made."""
        try:
            return (await self.get_channel(channel)).etag
        except NotFound as error:
            if error.reason in {"CHANNEL_NOT_FOUND", "MODEL_NOT_FOUND"}:
                return ""
            raise


def _made(request_id: str | None) -> str:
    return str(uuid.uuid4()) if request_id is None else request_id


def _pin(version: VersionName | str) -> VersionPin:
    return VersionPin(version=str(version))
