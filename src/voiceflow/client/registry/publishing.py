"""Sends a package, and goes on by itself after a cut from what the registry has kept."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import google_crc32c
import grpc

from voiceflow.catalog.gates import ValidationReport
from voiceflow.catalog.values import Signature
from voiceflow.catalog.versions import DeclaredFile, Version
from voiceflow.client.fate import Fate
from voiceflow.client.registry.connection import Connection
from voiceflow.client.registry.local import PIECE_BYTES, LocalFile, LocalPackage, open_package
from voiceflow.client.registry.progress import OnProgress, Progress, Stage
from voiceflow.errors import ContentCorrupt, NotFound, Unavailable, VoiceFlowError
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.rpc.registry import (
    declared_file_to_wire,
    report_from_wire,
    signature_to_wire,
    upload_from_wire,
    version_from_wire,
)
from voiceflow.telemetry.context import metadata

_Call = grpc.aio.StreamUnaryCall[pb.PublishVersionRequest, pb.PublishVersionResponse]


@dataclass(frozen=True, slots=True)
class Published:
    """What became of a package.

    Attributes:
        version: As the registry has it; with `validate_only`, as it would be.
        report: What the gates of publishing saw.
        already_published: The same bytes stood there before; nothing was written.
    """

    version: Version
    report: ValidationReport
    already_published: bool


class Publishing:
    """One package on its way to a registry.

    Args:
        connection: To the registry.
        package: Checked.
        request_id: The same for every try.
        signature: Over the manifest.
        validate_only: Change nothing.
        on_progress: Told how far it is.
    """

    def __init__(
        self,
        connection: Connection,
        package: LocalPackage,
        *,
        request_id: str,
        signature: Signature | None,
        validate_only: bool,
        on_progress: OnProgress,
    ) -> None:
        self._connection = connection
        self._package = package
        self._tell = on_progress
        self._begin = pb.PublishBegin(
            version=package.manifest.resource_name,
            manifest=package.content,
            signature=signature_to_wire(signature),
            files=[
                declared_file_to_wire(DeclaredFile(file=file.name, size_bytes=file.size_bytes))
                for file in package.files
            ],
            request_id=request_id,
            validate_only=validate_only,
        )
        self._upload = (
            f"{package.manifest.resource_name}/uploads/"
            f"{package.manifest_digest.removeprefix('sha256:')}"
        )
        self._farthest_bytes = 0
        self._failures = 0
        self._done_bytes = 0

    async def run(self) -> Published:
        """Sends it; a try that got farther than any before it counts as no failure.

        Raises:
            ContentCorrupt: The registry answers with another version.
            VoiceFlowError: What the registry says, or the last cut.
        """
        while True:
            try:
                return await self._attempt()
            except VoiceFlowError as error:
                if error.reason == "DIGEST_MISMATCH":  # unless the file itself has changed
                    await asyncio.to_thread(open_package, self._package.folder)
                self._failures += 1
                self._say(Stage.WAITING)
                passing = error.reason in _PASSING
                try:
                    await self._connection.pause(
                        Unavailable(error.message, reason=error.reason) if passing else error,
                        self._failures,
                    )
                except VoiceFlowError:
                    raise error from None

    async def _attempt(self) -> Published:
        call = self._connection.stub.PublishVersion(metadata=metadata())
        fate = Fate(call)
        try:
            await self._send(call)
            self._say(Stage.CHECKING)
            response = await call
        except grpc.aio.AioRpcError as error:
            raise self._connection.error_of(fate.told(error)) from None
        finally:
            call.cancel()
        version = version_from_wire(response.version)
        self._check_answer(version)
        return Published(version, report_from_wire(response.report), response.already_published)

    def _check_answer(self, version: Version) -> None:
        """What is published is what was sent, or whoever goes on with it promotes another one."""
        sent = (self._package.manifest.resource_name, self._package.manifest_digest)
        answered = (version.name, version.manifest_digest)
        if answered != sent:
            raise ContentCorrupt(
                f"the registry answers with {answered[0]} ({answered[1]}); "
                f"sent was {sent[0]} ({sent[1]})",
                reason="CONTENT_CORRUPT",
            )

    async def _send(self, call: _Call) -> None:
        """Sends all that is lacking; returns early where the registry has ended the call."""
        if not await _write(call, pb.PublishVersionRequest(begin=self._begin)):
            return
        kept = await self._kept(call)
        self._done_bytes = sum(kept.values())
        if self._done_bytes > self._farthest_bytes:
            self._farthest_bytes, self._failures = self._done_bytes, 0
        self._say(Stage.SENDING)
        for file in self._package.files:
            if not await self._send_file(call, file, kept.get(file.name, 0)):
                return
        try:
            await call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return

    async def _kept(self, call: _Call) -> dict[str, int]:
        """Bytes of each file that the registry has.

        Initial metadata comes once `begin` has been taken, or with the end of the call. Nothing is
        kept of what is only checked.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_BEGIN_SECONDS):
                await call.initial_metadata()
        if self._begin.validate_only or call.done():
            return {}
        try:
            response = await self._connection.ask_once(
                self._connection.stub.GetUpload, pb.GetUploadRequest(name=self._upload)
            )
        except NotFound:  # another stream has just published it
            return {}
        upload = upload_from_wire(response.upload)
        return {
            file.file: file.size_bytes if file.complete else file.received_bytes
            for file in upload.files
        }

    async def _send_file(self, call: _Call, file: LocalFile, offset: int) -> bool:
        """Sends a file from an offset on; False if the registry has ended the call."""
        handle = await asyncio.to_thread(file.path.open, "rb")
        try:
            handle.seek(offset)
            while offset < file.size_bytes:
                wanted = min(PIECE_BYTES, file.size_bytes - offset)
                data = await asyncio.to_thread(handle.read, wanted)
                if not data:  # cut short meanwhile: the registry says that it is incomplete
                    return True
                chunk = pb.FileChunk(
                    file=file.name, offset=offset, data=data, crc32c=google_crc32c.value(data)
                )
                if not await _write(call, pb.PublishVersionRequest(chunk=chunk)):
                    return False
                offset += len(data)
                self._done_bytes += len(data)
                self._say(Stage.SENDING)
        finally:
            handle.close()
        return True

    def _say(self, stage: Stage) -> None:
        self._tell(Progress(stage, self._done_bytes, self._package.size_bytes))


_BEGIN_SECONDS: Final = 10.0
"""A registry that says nothing for so long is sent the rest nevertheless."""

_PASSING: Final = frozenset(
    {
        # An older stream of this upload was still being written when its offsets were read.
        *("UPLOAD_SUPERSEDED", "CHUNK_GAP", "CHUNK_OVERLAP"),
        # This side has slept.
        "UPLOAD_IDLE",
        # Something was damaged on the way: the registry keeps what was whole.
        *("CHUNK_CORRUPT", "DIGEST_MISMATCH"),
    }
)
"""Reasons of the registry that pass if the rest is sent again."""


async def _write(call: _Call, request: pb.PublishVersionRequest) -> bool:
    try:
        await call.write(request)
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        return False
    return True
