"""Models and versions: reading, comparing, handing out, yanking and deleting."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import google_crc32c

from voiceflow.catalog.names import ChannelName, ModelName, VersionName
from voiceflow.catalog.versions import Version, VersionState
from voiceflow.errors import InvalidInput, NotFound
from voiceflow.identity.caller import CallerRole
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.rpc.access import caller_of
from voiceflow.rpc.registry import (
    difference_to_wire,
    model_to_wire,
    version_file_to_wire,
    version_filter_from_wire,
    version_to_wire,
)
from voiceflow_registry.audit.changes import moved
from voiceflow_registry.servicer.auditing import Auditing
from voiceflow_registry.servicer.ownership import check_model
from voiceflow_registry.servicer.threads import Threads
from voiceflow_registry.servicer.values import (
    Acts,
    Context,
    fields_named,
    listed,
    parent_model,
)

_FULL: Final = {pb.VERSION_VIEW_FULL: True, pb.VERSION_VIEW_BASIC: False}


class VersionMethods:
    """The part of the service that is about models and versions."""

    _acts: Acts
    _threads: Threads
    _auditing: Auditing

    async def GetModel(  # noqa: N802
        self, request: pb.GetModelRequest, _context: Context
    ) -> pb.GetModelResponse:
        """See the service."""
        name = ModelName.parse(request.name)
        model = await self._threads.call(lambda: self._acts.versions.get_model(name))
        return pb.GetModelResponse(model=model_to_wire(model))

    async def ListModels(  # noqa: N802
        self, request: pb.ListModelsRequest, _context: Context
    ) -> pb.ListModelsResponse:
        """See the service."""
        models, token = await self._threads.call(
            lambda: listed(
                lambda page_size: self._acts.versions.list_models(
                    name_prefix=request.name_prefix,
                    page_size=page_size,
                    page_token=request.page_token,
                ),
                request.page_size,
                model_to_wire,
            )
        )
        return pb.ListModelsResponse(models=models, next_page_token=token)

    async def GetVersion(  # noqa: N802
        self, request: pb.GetVersionRequest, _context: Context
    ) -> pb.GetVersionResponse:
        """See the service."""
        name = VersionName.parse(request.name)
        full = _full(request.view, unspecified=True)
        version = await self._threads.call(lambda: self._acts.versions.get(name, full=full))
        return pb.GetVersionResponse(version=version_to_wire(version))

    async def ListVersions(  # noqa: N802
        self, request: pb.ListVersionsRequest, _context: Context
    ) -> pb.ListVersionsResponse:
        """See the service."""
        parent = parent_model(request.parent)
        where = version_filter_from_wire(request.filter)
        full = _full(request.view, unspecified=False)
        with fields_named(name="parent"):
            versions, token = await self._threads.call(
                lambda: listed(
                    lambda page_size: self._acts.versions.list(
                        parent,
                        where=where,
                        page_size=page_size,
                        page_token=request.page_token,
                        full=full,
                    ),
                    request.page_size,
                    version_to_wire,
                )
            )
        return pb.ListVersionsResponse(versions=versions, next_page_token=token)

    async def DownloadVersion(  # noqa: N802
        self, request: pb.DownloadVersionRequest, context: Context
    ) -> None:
        """See the service. A reader that is slow holds one chunk, and no thread."""
        name = VersionName.parse(request.name)
        download = await self._threads.call(
            lambda: self._acts.versions.download(name, request.file, request.offset)
        )
        first = pb.DownloadVersionResponse(
            file=version_file_to_wire(download.file), offset=request.offset
        )
        sent = False
        async with self._threads.iterating(download.chunks) as chunks:
            async for offset, data in chunks:
                reply = pb.DownloadVersionResponse() if sent else first
                reply.MergeFrom(
                    pb.DownloadVersionResponse(
                        offset=offset, data=data, crc32c=google_crc32c.value(data)
                    )
                )
                await context.write(reply)
                sent = True
        if not sent:
            await context.write(first)

    async def DiffVersions(  # noqa: N802
        self, request: pb.DiffVersionsRequest, _context: Context
    ) -> pb.DiffVersionsResponse:
        """See the service."""
        target = VersionName.parse(request.target, field="target")
        base = VersionName.parse(request.base, field="base") if request.base else None
        if base is not None:
            with fields_named(name="base"):
                await self._threads.call(lambda: self._acts.versions.record(base))
        with fields_named(name="target"):
            difference = await self._threads.call(lambda: self._acts.versions.diff(target, base))
        return difference_to_wire(difference)

    async def YankVersion(  # noqa: N802
        self, request: pb.YankVersionRequest, context: Context
    ) -> pb.YankVersionResponse:
        """See the service."""
        name = VersionName.parse(request.name)
        caller = caller_of(context)
        check_model(caller, name, CallerRole.OPERATOR)

        def yank() -> tuple[VersionState | None, Version, Sequence[ChannelName]]:
            before = self._state(name)
            version = self._acts.versions.yank(
                caller,
                name,
                reason=request.reason,
                request_id=request.request_id,
                validate_only=request.validate_only,
            )
            return before, version, self._acts.channels.naming(name)

        _, version, channels = await self._auditing.act(
            self._auditing.deed(caller, "YankVersion", name, request),
            yank,
            lambda done: moved(done[0], VersionState.YANKED),
        )
        return pb.YankVersionResponse(version=version_to_wire(version), channels=map(str, channels))

    async def DeleteVersion(  # noqa: N802
        self, request: pb.DeleteVersionRequest, context: Context
    ) -> pb.DeleteVersionResponse:
        """See the service."""
        name = VersionName.parse(request.name)
        caller = caller_of(context)

        def delete() -> tuple[VersionState | None, Version]:
            before = self._state(name)
            version = self._acts.versions.delete(
                caller,
                name,
                request_id=request.request_id,
                validate_only=request.validate_only,
                in_use=self._acts.channels.using,
            )
            return before, version

        _, version = await self._auditing.act(
            self._auditing.deed(caller, "DeleteVersion", name, request),
            delete,
            lambda done: moved(done[0], VersionState.DELETED),
        )
        return pb.DeleteVersionResponse(version=version_to_wire(version))

    def _state(self, name: VersionName) -> VersionState | None:
        """Where a version stands; None if there is none, which the act itself refuses."""
        with suppress(NotFound):
            return self._acts.versions.state(name)
        return None


def _full(view: pb.VersionView, *, unspecified: bool) -> bool:
    if view == pb.VERSION_VIEW_UNSPECIFIED:
        return unspecified
    try:
        return _FULL[view]
    except KeyError:
        raise InvalidInput(
            f"view: {view} is not allowed; allowed is VERSION_VIEW_BASIC or VERSION_VIEW_FULL",
            reason="FIELD_INVALID",
            field="view",
        ) from None
