"""Versions: published, put through the gates, read, downloaded, yanked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path

from voiceflow.artifact import Digest
from voiceflow.catalog.gates import Gate, ValidationReport
from voiceflow.catalog.names import ChannelName, ModelName, ValidationName, VersionName
from voiceflow.catalog.queries import VersionFilter
from voiceflow.catalog.values import Signature
from voiceflow.catalog.versions import Difference, Model, Version
from voiceflow.client.registry.downloading import Downloading, check_replaceable, is_complete
from voiceflow.client.registry.local import open_package
from voiceflow.client.registry.methods import ALL_MODELS, Methods, made
from voiceflow.client.registry.packages import check_signed, sign_package
from voiceflow.client.registry.progress import OnProgress, unwatched
from voiceflow.client.registry.publishing import Published, Publishing
from voiceflow.client.registry.validating import (
    ValidationProgress,
    follow_validation,
    validation_request,
)
from voiceflow.package import CheckManifest
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.rpc.registry import (
    difference_from_wire,
    model_from_wire,
    report_from_wire,
    version_filter_to_wire,
    version_from_wire,
)
from voiceflow.trust.signing import SigningKey


class VersionMethods(Methods):
    """The client's part for versions; see `RegistryClient`."""

    async def publish(
        self,
        folder: Path,
        *,
        request_id: str | None = None,
        signature: Signature | None = None,
        signing_key: SigningKey | None = None,
        validate_only: bool = False,
        on_progress: OnProgress = unwatched,
    ) -> Published:
        """Publishes a package, in memory that does not grow with it.

        It is checked here first. What the registry holds already is not sent, and after a cut only
        what is lacking.

        Args:
            folder: Holds the package.
            request_id: A UUID; None: one is made.
            signature: Over `manifest.json`; None: what `manifest.dsse.json` there holds, if it is.
            signing_key: Instead: signs `manifest.json` here.
            validate_only: Let it be checked, and change nothing.
            on_progress: Told how far it is, from the event loop.

        Raises:
            PackageInvalid: The package is not complete; nothing was sent.
            Untrusted: SIGNATURE_INVALID: the signature is over another manifest; SIZE_UNSIGNED: the
                manifest that is to be signed leaves sizes open; nothing was sent.
            ContentCorrupt: The registry answers with another version than was sent.
        """
        package = await asyncio.to_thread(open_package, folder)
        if signing_key is not None:
            signature = sign_package(package, signing_key)
        signature = signature or package.signature
        if signature is not None:
            check_signed(package, signature)
        publishing = Publishing(
            self._connection,
            package,
            request_id=made(request_id),
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
            request_id=made(request_id),
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
            name=str(version), request_id=made(request_id), validate_only=validate_only
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
        request = validation_request(version, gates, channel, made(request_id))
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
        check_manifest: CheckManifest | None = None,
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
            check_manifest: Whom the manifest's signature must be of; then the sizes of all files
                must stand in the manifest, too. None: the signature is kept, and not looked at.
            on_progress: Told how far it is, from the event loop.

        Returns:
            The folder.

        Raises:
            ContentCorrupt: What the registry sends is not what is pinned.
            Untrusted: The manifest is not signed as it must be.
            NotAllowedNow: FOLDER_TAKEN: there is something else in the folder.
        """

        async def complete(digest: Digest) -> bool:
            return await asyncio.to_thread(is_complete, folder, digest, check_manifest)

        pinned = manifest_digest
        if pinned is not None and await complete(pinned):
            return folder
        check_replaceable(folder)
        found = await self.get_version(version)
        wanted = found.manifest_digest if pinned is None else pinned
        if pinned is None and await complete(wanted):
            return folder
        downloading = Downloading(self._connection, folder, check_manifest, on_progress)
        return await downloading.run(found, wanted)
