"""Published versions: reads and compares them, hands their files out, yanks and deletes them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from voiceflow.artifact import digest_of
from voiceflow.catalog.names import ChannelName, VersionName
from voiceflow.catalog.versions import Difference, Version, VersionFile
from voiceflow.difference import difference
from voiceflow.errors import (
    ContentCorrupt,
    InvalidInput,
    NotAllowedNow,
    NotFound,
    OutOfRange,
    Violation,
)
from voiceflow.identity.caller import Caller
from voiceflow.package import MANIFEST_FILE
from voiceflow_registry.files.blobs import Blobs
from voiceflow_registry.reasons import check_reason
from voiceflow_registry.records import (
    DeletionRecord,
    VersionRecord,
    YankRecord,
    decode,
    deletion_key,
    encode,
    yank_key,
)
from voiceflow_registry.requests import RequestIndex, request_of, same_request
from voiceflow_registry.storage.object_store import ObjectStore, create_once
from voiceflow_registry.versions.reader import VersionReader, described

_CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Download:
    """A file on its way out.

    Attributes:
        file: Which.
        chunks: Where each chunk begins, and its bytes, at most 1 MiB; without gap from the offset
            asked for to the end. Read from 0 on they end with ContentCorrupt, CONTENT_CORRUPT,
            if what is stored does not have the file's digest.
    """

    file: VersionFile
    chunks: Iterator[tuple[int, bytes]]


class Versions(VersionReader):
    """All published versions. Any number of replicas and threads may use one store.

    Args:
        store: Holds them.
        clock: Tells the time of yanks and deletions, for people.
    """

    def __init__(self, store: ObjectStore, clock: Callable[[], datetime]) -> None:
        super().__init__(store)
        self._clock = clock
        self._blobs = Blobs(store)
        self._requests = RequestIndex(store)

    def diff(self, target: VersionName, base: VersionName | None) -> Difference:
        """What differs between two versions; without a base, from the newest one before.

        Raises:
            NotFound: VERSION_NOT_FOUND, also if there is no version before that is not yanked.
            InvalidInput: MODELS_DIFFER.
        """
        later = described(self.record(target))
        if base is not None:
            return difference(described(self.record(base)), later)
        for record in self.earlier(target):
            return difference(described(record), later)
        raise NotFound(
            f"{target} has no earlier version to compare with, yanked ones left out",
            reason="VERSION_NOT_FOUND",
            field="base",
        )

    def download(self, name: VersionName, file: str, offset: int) -> Download:
        """One file of a version, or its `manifest.json`, from an offset on.

        Raises:
            NotFound: VERSION_NOT_FOUND, FILE_NOT_FOUND.
            InvalidInput: FIELD_INVALID, for a negative offset.
            OutOfRange: OFFSET_OUT_OF_RANGE, for one beyond the file's end.
            NotAllowedNow: VERSION_DELETED.
        """
        record = self._readable(name)
        files = {held.file: held for held in record.files} | {MANIFEST_FILE: _manifest_of(record)}
        if file not in files:
            raise NotFound(
                f"{name} has no file {file[:200]!r}; it has {', '.join(files)}",
                reason="FILE_NOT_FOUND",
                field="file",
            )
        found = files[file]
        if offset < 0:
            raise InvalidInput(
                f"offset: {offset}; allowed is 0 to {found.size_bytes}",
                reason="FIELD_INVALID",
                field="offset",
            )
        if offset > found.size_bytes:
            raise OutOfRange(
                f"offset: {offset}; {file} has {found.size_bytes} bytes",
                reason="OFFSET_OUT_OF_RANGE",
                field="offset",
            )
        if file == MANIFEST_FILE:  # its digest was found by the envelope that it is kept in
            return Download(found, _cut(record.manifest, offset))
        return Download(found, self._chunks(name, found, offset))

    @contextmanager
    def folder(self, name: VersionName) -> Iterator[Path]:
        """A temporary folder with the version's files, verified; without the manifest.

        Raises:
            NotFound: VERSION_NOT_FOUND.
            NotAllowedNow: VERSION_DELETED.
            ContentCorrupt: CONTENT_CORRUPT.
        """
        record = self._readable(name)
        with tempfile.TemporaryDirectory(prefix="voiceflow-version-") as folder:
            self._blobs.write_files(record.files, Path(folder))
            yield Path(folder)

    def yank(
        self,
        caller: Caller,
        name: VersionName,
        *,
        reason: str,
        request_id: str,
        validate_only: bool,
    ) -> Version:
        """Marks a version as not to be promoted again; the first yank stands and is answered.

        Raises:
            NotFound: VERSION_NOT_FOUND.
            InvalidInput: FIELD_REQUIRED, FIELD_INVALID, REQUEST_ID_REUSED.
        """
        payload = {"name": str(name), "reason": reason}
        request = request_of(caller, "YankVersion", request_id, payload)
        if not reason:
            raise InvalidInput(
                "reason: missing; a yank is explained", reason="FIELD_REQUIRED", field="reason"
            )
        check_reason(reason)
        record = self.record(name)
        self._requests.find(request)  # refuses an id that was used for something else
        yank = YankRecord(reason=reason, request=request, yank_time=self._clock())
        if validate_only:
            yank = self._read(YankRecord, yank_key(name)) or yank
        else:
            self._requests.note(request, yank_key(name))
            content = create_once(self._store, yank_key(name), encode(yank))
            yank = decode(YankRecord, content, yank_key(name))
            same_request(request, yank.request)  # tells where the index is lost
        return self._version(name, record, full=False, yank=yank)

    def delete(
        self,
        caller: Caller,
        name: VersionName,
        *,
        request_id: str,
        validate_only: bool,
        in_use: Callable[[VersionName], Sequence[ChannelName]],
    ) -> Version:
        """Takes the files of a yanked version away; collection removes what nothing else uses.

        No channel ever names a deleted version: this finds the yank before it asks which channels
        use the version, and a promotion announces itself there before it looks for a yank, so
        whichever came second sees the other. Deleting again answers the first deletion.

        Args:
            caller: Who.
            name: The version.
            request_id: Makes it safe to retry; may be empty.
            validate_only: Check, and change nothing.
            in_use: Tells the channels that name a version, or may be about to: `Channels.using`.

        Raises:
            NotFound: VERSION_NOT_FOUND.
            NotAllowedNow: VERSION_NOT_YANKED, VERSION_IN_USE.
            InvalidInput: FIELD_INVALID, REQUEST_ID_REUSED.
        """
        request = request_of(caller, "DeleteVersion", request_id, {"name": str(name)})
        record = self.record(name)
        if self._store.info(yank_key(name)) is None:
            raise NotAllowedNow(
                f"{name} is not yanked; yank it first, then delete it",
                reason="VERSION_NOT_YANKED",
                field="name",
                violations=[Violation("VERSION_NOT_YANKED", str(name), "it is not yanked")],
            )
        self._requests.find(request)  # refuses an id that was used for something else
        channels = in_use(name)
        if channels:
            raise _in_use(name, channels)
        key = deletion_key(name)
        deletion = DeletionRecord(request=request, delete_time=self._clock())
        if validate_only:
            deletion = self._read(DeletionRecord, key) or deletion
        else:
            self._requests.note(request, key)
            deletion = decode(DeletionRecord, create_once(self._store, key, encode(deletion)), key)
            same_request(request, deletion.request)  # tells where the index is lost
        return self._version(name, record, full=False, deletion=deletion)

    def _readable(self, name: VersionName) -> VersionRecord:
        record = self.record(name)
        if self._store.info(deletion_key(name)) is not None:
            raise _deleted(name)
        return record

    def _chunks(
        self, name: VersionName, file: VersionFile, offset: int
    ) -> Iterator[tuple[int, bytes]]:
        try:
            yield from self._blobs.read(file, offset)
        except ContentCorrupt:
            self._readable(name)  # it may have been deleted and collected on the way
            raise


def _manifest_of(record: VersionRecord) -> VersionFile:
    return VersionFile(
        file=MANIFEST_FILE,
        size_bytes=len(record.manifest),
        digest=digest_of(record.manifest),
    )


def _cut(content: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    for start in range(offset, len(content), _CHUNK_BYTES):
        yield start, content[start : start + _CHUNK_BYTES]


def _deleted(name: VersionName) -> NotAllowedNow:
    return NotAllowedNow(
        f"{name} was deleted; its files are gone",
        reason="VERSION_DELETED",
        field="name",
        violations=[Violation("VERSION_DELETED", str(name), "its files are gone")],
    )


def _in_use(name: VersionName, channels: Sequence[ChannelName]) -> NotAllowedNow:
    return NotAllowedNow(
        f"{name} is used by {', '.join(map(str, channels))}; promote another version there first",
        reason="VERSION_IN_USE",
        field="name",
        violations=[
            Violation(
                "VERSION_IN_USE",
                str(channel),
                f"its newest promotion names {name}, or one that does is being written",
            )
            for channel in channels
        ],
    )
