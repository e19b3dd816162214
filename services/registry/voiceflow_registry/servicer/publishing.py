"""Publishing: a stream of chunks in, a published version out."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

import grpc

from voiceflow.catalog.names import UploadName, VersionName
from voiceflow.errors import InvalidInput, LimitExceeded, VoiceFlowError
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.rpc.access import caller_of
from voiceflow.rpc.registry import (
    declared_file_from_wire,
    report_to_wire,
    upload_to_wire,
    version_to_wire,
)
from voiceflow_registry.audit.changes import published
from voiceflow_registry.audit.log import Recording
from voiceflow_registry.publishing.committing import PublisherLeft
from voiceflow_registry.publishing.publish import Published, UploadSession
from voiceflow_registry.publishing.traces import publishing
from voiceflow_registry.servicer.auditing import Auditing
from voiceflow_registry.servicer.ownership import check_model
from voiceflow_registry.servicer.presence import Places, Presence
from voiceflow_registry.servicer.threads import Threads, Turn
from voiceflow_registry.servicer.values import (
    Acts,
    Context,
    checked_request_id,
    checked_signature,
    fields_named,
)


class PublishingMethods:
    """The part of the service that takes versions in."""

    _acts: Acts
    _threads: Threads
    _presence: Presence
    _publishes: Places
    _idle_seconds: float
    _auditing: Auditing

    async def PublishVersion(  # noqa: N802
        self, requests: AsyncIterator[pb.PublishVersionRequest], context: Context
    ) -> pb.PublishVersionResponse:
        """See the service. Of each stream one chunk is on its way at a time."""
        with self._presence.entered(), publishing() as submitted:
            first = await self._next(requests, context)
            if first is None or first.WhichOneof("request") != "begin":
                raise _out_of_order("a stream starts with `begin`")
            name = VersionName.parse(first.begin.version, field="begin.version")
            self._auditing.about(name)
            check_model(caller_of(context), name, field="begin.version")
            with self._publishes.taken():  # not by whoever says nothing, or may not publish
                done = await self._taken_in(name, first.begin, requests, context)
            submitted.answered(done)
        return pb.PublishVersionResponse(
            version=version_to_wire(done.version),
            report=report_to_wire(done.report),
            already_published=done.already_published,
        )

    async def GetUpload(  # noqa: N802
        self, request: pb.GetUploadRequest, context: Context
    ) -> pb.GetUploadResponse:
        """See the service."""
        name = UploadName.parse(request.name)
        caller = caller_of(context)
        check_model(caller, name.version)
        upload = await self._threads.call(lambda: self._acts.publishing.upload(caller, name))
        return pb.GetUploadResponse(upload=upload_to_wire(upload))

    async def _taken_in(
        self,
        name: VersionName,
        begin: pb.PublishBegin,
        requests: AsyncIterator[pb.PublishVersionRequest],
        context: Context,
    ) -> Published:
        """What comes after `begin`."""
        stream = await self._begin(name, begin, context)
        turn = self._threads.turn()
        try:
            with suppress(grpc.aio.BaseError):  # the caller has left: reading tells
                await context.send_initial_metadata(())
            while (request := await self._next(requests, context)) is not None:
                await turn.go_on(partial(_write, stream.session, request))
        except BaseException as error:
            # Also where the caller has left: what came is kept, for a stream that goes on.
            with suppress(VoiceFlowError):
                await turn.go_on(partial(stream.leave, error))
            raise
        return await self._finished(turn, stream)

    async def _next(
        self, requests: AsyncIterator[pb.PublishVersionRequest], context: Context
    ) -> pb.PublishVersionRequest | None:
        """The next request; None once the caller has half-closed."""
        try:
            request = await self._presence.heard(lambda: anext(requests, None), self._idle_seconds)
        except TimeoutError:
            raise LimitExceeded(
                f"nothing came for {self._idle_seconds:g} seconds; what was sent is kept: "
                "begin again, ask how far the upload came, and send the rest",
                reason="UPLOAD_IDLE",
            ) from None
        if request is None:
            # gRPC ends the requests of a call that was cut as if the caller had half-closed, and
            # only then cancels it: before it answers whoever reads once more.
            await context.read()
        return request

    async def _finished(self, turn: Turn, stream: _Stream) -> Published:
        """Ends the upload, unless the caller leaves before the version is committed."""
        left = threading.Event()
        try:
            return await turn.call_long(lambda: stream.finish(lambda: not left.is_set()))
        except asyncio.CancelledError:
            left.set()
            raise

    async def _begin(self, name: VersionName, begin: pb.PublishBegin, context: Context) -> _Stream:
        caller = caller_of(context)
        signature = checked_signature(begin, path="begin.signature")
        request_id = checked_request_id(begin.request_id, field="begin.request_id")
        declared = [
            declared_file_from_wire(file, f"begin.files[{at}]")
            for at, file in enumerate(begin.files)
        ]
        deed = self._auditing.deed(caller, "PublishVersion", name, begin)

        def begun() -> _Stream:
            recording = self._auditing.log.begin(deed)
            try:
                session = self._acts.publishing.begin(
                    caller,
                    name,
                    manifest=begin.manifest,
                    signature=signature,
                    declared=declared,
                    request_id=request_id,
                    validate_only=begin.validate_only,
                )
            except Exception as error:
                recording.failed(error)
                raise
            return _Stream(session, recording)

        with fields_named(request_id="begin.request_id"):
            return await self._threads.opened(begun, _Stream.leave)


@dataclass(frozen=True)
class _Stream:
    """A stream that publishes, and its entry in the audit; each of its ends is recorded."""

    session: UploadSession
    recording: Recording

    def finish(self, still_wanted: Callable[[], bool]) -> Published:
        """Ends the upload; see `UploadSession.finish`."""
        try:
            done = self.session.finish(still_wanted=still_wanted)
        except PublisherLeft:
            self.recording.left()
            raise
        except Exception as error:
            self.recording.failed(error)
            raise
        self.recording.done(published(done.version, already=done.already_published))
        return done

    def leave(self, error: BaseException | None = None) -> None:
        """Ends the stream before its upload has ended.

        Args:
            error: Why; None: its caller has left.
        """
        try:
            self.session.leave()
        finally:
            if error is None or isinstance(error, _LEFT):
                self.recording.left()
            else:
                self.recording.failed(error)


_LEFT: Final = (asyncio.CancelledError, grpc.aio.BaseError)
"""How a call ends that was cut."""


def _write(session: UploadSession, request: pb.PublishVersionRequest) -> None:
    if request.WhichOneof("request") != "chunk":
        raise _out_of_order("after `begin`, chunks alone may follow")
    chunk = request.chunk
    crc32c = chunk.crc32c if chunk.HasField("crc32c") else None
    session.write(chunk.file, chunk.offset, chunk.data, crc32c)


def _out_of_order(allowed: str) -> InvalidInput:
    return InvalidInput(
        f"request: this one is not allowed here; {allowed}", reason="OUT_OF_ORDER", field="request"
    )
