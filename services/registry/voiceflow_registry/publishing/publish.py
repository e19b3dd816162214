"""Publishes versions: takes files in, in any pieces and on any replica, then commits them together.

    begin ─▶ parts ─▶ blobs ─▶ gates ─▶ report ─▶ version
    └────── here ─────────┘    └───── committing ──────┘

Until its record is created no method shows a version.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import google_crc32c

from voiceflow.catalog.gates import ValidationReport
from voiceflow.catalog.names import UploadName, VersionName
from voiceflow.catalog.values import Signature
from voiceflow.catalog.versions import (
    DeclaredFile,
    Upload,
    UploadedFile,
    Version,
    VersionFile,
    VersionState,
)
from voiceflow.errors import InvalidInput, NotFound
from voiceflow.identity.caller import Caller
from voiceflow_registry.files.blobs import Blobs
from voiceflow_registry.files.incoming import HeldFile, Incoming, KeptFile, LocalFile, is_held
from voiceflow_registry.files.uploads import UploadStore
from voiceflow_registry.publishing.committing import Committing, PublisherLeft
from voiceflow_registry.publishing.submission import PublishLimits, Submission, read_submission
from voiceflow_registry.records import Request
from voiceflow_registry.requests import RequestIndex, request_of, same_request
from voiceflow_registry.storage.object_store import ObjectStore
from voiceflow_registry.trust import Trust
from voiceflow_registry.validations import Validations
from voiceflow_registry.versions.reader import version_of
from voiceflow_registry.versions.versions import Versions

MAXIMUM_CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Published:
    """What publishing answers.

    Attributes:
        version: In the full view; without a publish time if nothing was to be kept.
        report: What the gates of publishing saw.
        already_published: It stood there before, by another request, with the same bytes.
    """

    version: Version
    report: ValidationReport
    already_published: bool


class Publishing:
    """Takes versions in. Any number of replicas and threads may publish into one store.

    Args:
        store: Holds them.
        versions: What was published so far.
        validations: Runs the gates.
        clock: Tells the time, for people.
        limits: What a version may be, and how it is taken in.
        trust: Whose signatures are taken; None: they are kept as they come.
    """

    def __init__(
        self,
        store: ObjectStore,
        versions: Versions,
        validations: Validations,
        clock: Callable[[], datetime],
        limits: PublishLimits,
        trust: Trust | None = None,
    ) -> None:
        self._store = store
        self._versions = versions
        self._clock = clock
        self._limits = limits
        self._trust = trust
        self._blobs = Blobs(store)
        self._requests = RequestIndex(store)
        self._committing = Committing(store, versions, validations, clock, limits)

    def begin(
        self,
        caller: Caller,
        name: VersionName,
        *,
        manifest: bytes,
        signature: Signature | None,
        declared: Sequence[DeclaredFile],
        request_id: str,
        validate_only: bool,
    ) -> UploadSession:
        """Begins an upload, or goes on with one that was cut.

        Args:
            caller: Who.
            name: The version.
            manifest: The bytes of `manifest.json`.
            signature: The publisher's, over these.
            declared: Size of every file that the manifest names.
            request_id: Makes it safe to retry; may be empty.
            validate_only: Check everything, and keep nothing.

        Raises:
            InvalidInput: MANIFEST_INVALID, FILE_UNKNOWN, FIELD_INVALID, FIELD_REQUIRED,
                REQUEST_ID_REUSED.
            TooLarge: SIZE_LIMIT.
            AlreadyExists: VERSION_EXISTS.
            Conflict: UPLOAD_SUPERSEDED.
            Untrusted: SIGNATURE_MISSING, SIGNATURE_INVALID, KEY_REVOKED, KEY_NOT_ALLOWED,
                SIZE_UNSIGNED.
        """
        submission = read_submission(name, manifest, signature, declared, self._limits)
        payload = {
            "name": str(name),
            "manifest": submission.manifest_digest,
            "signature": signature and signature.model_dump(mode="json"),
        }
        request = request_of(caller, "PublishVersion", request_id, payload)
        self._requests.find(request)  # refuses an id that was used for something else
        if self._committing.standing(submission) is None:
            self._check_trusted(submission)
        uploads = UploadStore(self._store, submission.upload, caller.principal)
        with ExitStack() as stack:
            folder = None
            if validate_only:
                temporary = tempfile.TemporaryDirectory(prefix="voiceflow-check-")
                folder = Path(stack.enter_context(temporary))
            files = self._incoming(submission, uploads, folder, stack)
            if not validate_only:
                uploads.begin(manifest, signature, declared, self._clock())
            part_bytes = self._limits.part_bytes
            return UploadSession(
                self, submission, request, uploads, files, folder, part_bytes, stack.pop_all()
            )

    def upload(self, caller: Caller, name: UploadName) -> Upload:
        """How far an upload of this caller came.

        Raises:
            NotFound: UPLOAD_NOT_FOUND, if it was never begun, was given up, or is published.
        """
        uploads = UploadStore(self._store, name, caller.principal)
        record, last_change = uploads.record(), uploads.last_change()
        if record is None or last_change is None:
            raise NotFound(
                f"{name} was never begun by {caller.principal}, was given up, or is published",
                reason="UPLOAD_NOT_FOUND",
                field="name",
            )
        submission = read_submission(
            name.version, record.manifest, record.signature, record.declared, self._limits
        )
        return Upload(
            name=str(name),
            files=tuple(
                self._uploaded(uploads, number, file)
                for number, file in enumerate(submission.files)
            ),
            begin_time=record.begin_time,
            expire_time=last_change + timedelta(seconds=self._limits.upload_seconds),
        )

    def finish(self, session: UploadSession, still_wanted: Callable[[], bool]) -> Published:
        """Everything after the last byte; `UploadSession.finish` calls it."""
        submission, request = session.submission, session.request
        standing = self._committing.standing(submission)
        made = False
        if standing is None:
            with tempfile.TemporaryDirectory(prefix="voiceflow-publish-") as spool:
                folder = session.folder or Path(spool)
                here = {entry.name for entry in folder.iterdir()}
                there = [file for file in submission.files if file.file not in here]
                self._committing.fetch(there, folder)
                examined = self._committing.examine(submission, request, folder, still_wanted)
                self._check_trusted(submission)  # again: keys may have been revoked meanwhile
                record = self._committing.record(submission, request, examined)
                if session.folder is not None:
                    version = version_of(record, full=True).model_copy(
                        update={"publish_time": None}
                    )
                    report = examined.record.report.model_copy(update={"name": ""})
                    return Published(version, report, already_published=False)
                standing = self._committing.commit(submission, record, examined, folder)
                made = standing.nonce == record.nonce
        elif session.folder is None and not self._is_deleted(submission.name):
            self._committing.secure(standing)
        if session.folder is None:
            session.uploads.remove()
        return Published(
            version=self._versions.get(submission.name, full=True),
            report=self._committing.report(standing),
            already_published=not (made or same_request(request, standing.request)),
        )

    def _check_trusted(self, submission: Submission) -> None:
        if self._trust is not None:
            self._trust.check_new_version(
                submission.name, submission.manifest, submission.signature
            )

    def _incoming(
        self, submission: Submission, uploads: UploadStore, folder: Path | None, stack: ExitStack
    ) -> dict[str, Incoming]:
        """Where each file goes; those of a version that was deleted since go nowhere."""
        files: dict[str, Incoming] = {}
        deleted = self._is_deleted(submission.name)
        for number, file in enumerate(submission.files):
            if is_held(self._blobs, file) or deleted:
                files[file.file] = HeldFile(file)
            elif folder is not None:
                files[file.file] = LocalFile(file, folder, stack)
            else:
                files[file.file] = KeptFile(file, number, uploads, self._blobs)
        return files

    def _uploaded(self, uploads: UploadStore, number: int, file: VersionFile) -> UploadedFile:
        held = self._blobs.info(file.digest)
        complete = held is not None and held.size_bytes == file.size_bytes
        received_bytes = file.size_bytes if complete else uploads.received_bytes(number)
        return UploadedFile(
            file=file.file,
            # Parts may be there of an earlier stream that stated more.
            received_bytes=received_bytes if received_bytes <= file.size_bytes else 0,
            size_bytes=file.size_bytes,
            complete=complete,
        )

    def _is_deleted(self, name: VersionName) -> bool:
        published = self._versions.find(name) is not None
        return published and self._versions.state(name) is VersionState.DELETED


class UploadSession:
    """One stream of an upload; for one thread at a time. It ends with `finish` or `leave`.

    Attributes:
        submission: The version, as it was stated.
        request: Who asked.
        uploads: Where what came is kept.
        folder: Where files are if nothing is to be kept; else None.
    """

    def __init__(
        self,
        publishing: Publishing,
        submission: Submission,
        request: Request,
        uploads: UploadStore,
        files: dict[str, Incoming],
        folder: Path | None,
        part_bytes: int,
        stack: ExitStack,
    ) -> None:
        self.submission = submission
        self.request = request
        self.uploads = uploads
        self.folder = folder
        self._publishing = publishing
        self._files = files
        self._stack = stack
        self._part_bytes = part_bytes

    def write(self, file: str, offset: int, data: bytes, crc32c: int | None) -> None:
        """Takes one chunk.

        Args:
            file: As in the manifest.
            offset: Where in the file the data begin.
            data: 1 byte to 1 MiB.
            crc32c: CRC32C of the data; checked if given.

        Raises:
            InvalidInput: FILE_UNKNOWN, CHUNK_CORRUPT, CHUNK_GAP, CHUNK_OVERLAP, FILE_TOO_LONG,
                FIELD_INVALID, and DIGEST_MISMATCH with a file's last chunk: all of the file must
                be sent anew.
            Conflict: UPLOAD_SUPERSEDED.
        """
        incoming = self._files.get(file)
        if incoming is None:
            raise InvalidInput(
                f"chunk.file: {file[:200]!r} is not in the manifest; it names "
                f"{', '.join(self._files)}",
                reason="FILE_UNKNOWN",
                field="chunk.file",
            )
        if not 1 <= len(data) <= MAXIMUM_CHUNK_BYTES:
            raise InvalidInput(
                f"chunk.data: {len(data)} bytes; 1 to {MAXIMUM_CHUNK_BYTES} are allowed",
                reason="FIELD_INVALID",
                field="chunk.data",
            )
        if crc32c is not None and google_crc32c.value(data) != crc32c:
            raise InvalidInput(
                f"chunk.crc32c: {file} at {offset}: the data have {google_crc32c.value(data):#010x}"
                f", stated is {crc32c:#010x}",
                reason="CHUNK_CORRUPT",
                field="chunk.crc32c",
            )
        self._check_place(file, incoming, offset, len(data))
        incoming.take(data)
        while sum(other.buffered_bytes for other in self._files.values()) >= self._part_bytes:
            max(self._files.values(), key=lambda other: other.buffered_bytes).flush()

    def finish(self, *, still_wanted: Callable[[], bool] = lambda: True) -> Published:
        """Ends the upload: checks that all has come, runs the gates, commits the version.

        Args:
            still_wanted: Whether the publisher is still there; asked up to the commit.

        Raises:
            PublisherLeft: The publisher is not; what came is kept.
            InvalidInput: UPLOAD_INCOMPLETE; what came is kept.
            NotAllowedNow: BUMP_TOO_SMALL, GATES_NOT_PASSED, SANDBOX_TOO_WEAK.
            AlreadyExists: VERSION_EXISTS.
            Conflict: UPLOAD_SUPERSEDED.
            Overloaded: OVERLOADED.
            Untrusted: As `Publishing.begin`.
        """
        with self._stack:
            if not still_wanted():
                self.leave()
                raise PublisherLeft
            for incoming in self._files.values():
                incoming.finish_if_whole()
            missing = [
                f"{file.file} ({self._files[file.file].received_bytes} of {file.size_bytes} bytes)"
                for file in self.submission.files
                if not self._files[file.file].complete
            ]
            if missing:
                self.leave()
                raise InvalidInput(
                    f"the upload ended before all had come: {', '.join(missing)}; begin again and "
                    "send the rest",
                    reason="UPLOAD_INCOMPLETE",
                    field="chunk",
                )
            return self._publishing.finish(self, still_wanted)

    def leave(self) -> None:
        """Ends the stream and keeps what came; a later one, here or elsewhere, may go on."""
        with self._stack:
            for incoming in self._files.values():
                incoming.flush()

    def _check_place(self, file: str, incoming: Incoming, offset: int, size_bytes: int) -> None:
        expected = incoming.received_bytes
        if offset != expected:
            raise InvalidInput(
                f"chunk.offset: {file}: {offset}; the next chunk begins at {expected}",
                reason="CHUNK_GAP" if offset > expected else "CHUNK_OVERLAP",
                field="chunk.offset",
            )
        allowed = next(held.size_bytes for held in self.submission.files if held.file == file)
        if offset + size_bytes > allowed:
            raise InvalidInput(
                f"chunk.data: {file}: at least {offset + size_bytes} bytes; stated were {allowed}",
                reason="FILE_TOO_LONG",
                field="chunk.data",
            )
