"""Versions on their way in: what came is kept in parts, from which any replica can go on.

    uploads/<manifest hex>/<model>/<semver>/<caller>/begin.json             what was begun
    uploads/<manifest hex>/<model>/<semver>/<caller>/<file>/<offset:020>    a part of a file

Every part is written once, at the offset that its writer had reached, so parts that count form a
chain from 0 on. Of two streams that go on from the same offset one writes the part; the other
finds it there, and has been superseded. A part beyond a gap counts for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final

from voiceflow.catalog.names import UploadName
from voiceflow.catalog.values import Signature
from voiceflow.catalog.versions import DeclaredFile
from voiceflow.errors import Conflict
from voiceflow_registry.records import UploadRecord, decode, encode, upload_prefix
from voiceflow_registry.storage.object_store import (
    ObjectInfo,
    ObjectMissing,
    ObjectStore,
    PreconditionFailed,
    StoredObject,
    create_once,
)

UPLOADS_PREFIX: Final = "uploads/"

_BEGIN: Final = "begin.json"
_FOLDERS: Final = 5
"""Of an upload's key: uploads, manifest, model, version, caller."""


def upload_of_key(key: str) -> str:
    """The folder of the upload that an object belongs to, with a slash at its end."""
    return "/".join(key.split("/")[:_FOLDERS]) + "/"


def begun_in(store: ObjectStore, folder: str) -> UploadRecord | None:
    """What was begun in an upload's folder; None if nothing was, or if it is gone."""
    stored = _stored(store, folder + _BEGIN)
    return decode(UploadRecord, stored.content, folder + _BEGIN) if stored else None


class UploadStore:
    """What came so far of one caller's upload of one version.

    Args:
        store: Holds it.
        name: The upload.
        principal: Whose it is; others have their own, even of the same bytes.
    """

    def __init__(self, store: ObjectStore, name: UploadName, principal: str) -> None:
        self._store = store
        self._name = name
        self._principal = principal
        self._prefix = upload_prefix(name, principal)
        self._begin = self._prefix + _BEGIN

    def begin(
        self,
        manifest: bytes,
        signature: Signature | None,
        declared: Sequence[DeclaredFile],
        now: datetime,
    ) -> None:
        """Begins the upload or goes on with it; what is stated now replaces what was before.

        Raises:
            Conflict: UPLOAD_SUPERSEDED, if another stream begins it in this moment.
        """
        record = UploadRecord(
            name=str(self._name),
            manifest=manifest,
            signature=signature,
            declared=tuple(declared),
            principal=self._principal,
            begin_time=now,
        )
        before = self.record()
        if before is None:
            content = create_once(self._store, self._begin, encode(record))
            before = decode(UploadRecord, content, self._begin)
        same = record.model_copy(update={"begin_time": before.begin_time, "nonce": before.nonce})
        if same == before:
            return
        stored = _stored(self._store, self._begin)
        if stored is None or decode(UploadRecord, stored.content, self._begin) != before:
            raise self.superseded()
        content = encode(record.model_copy(update={"begin_time": before.begin_time}))
        try:
            self._store.put(self._begin, content, if_generation=stored.generation)
        except PreconditionFailed:
            after = _stored(self._store, self._begin)
            if after is None or after.content != content:
                raise self.superseded() from None

    def record(self) -> UploadRecord | None:
        """What was begun; None if nothing was, or if it is gone."""
        return begun_in(self._store, self._prefix)

    def received_bytes(self, file: int) -> int:
        """How much of a file is kept: the offset of its next part."""
        return sum(part.size_bytes for part in self._chain(file))

    def last_change(self) -> datetime | None:
        """When something of it was written last, by the store's clock; None if nothing is there."""
        return max((info.create_time for info in self._store.list(self._prefix)), default=None)

    def add(self, file: int, offset: int, data: bytes) -> None:
        """Keeps a part.

        Raises:
            Conflict: UPLOAD_SUPERSEDED, if another stream has put other bytes there.
        """
        if create_once(self._store, self._part(file, offset), data) != data:
            raise self.superseded()

    def read(self, file: int, size_bytes: int) -> Iterator[bytes]:
        """A whole file, from its parts.

        Raises:
            Conflict: UPLOAD_SUPERSEDED, if the parts are not it any more: another stream has
                finished it or stated another size, or it was given up.
        """
        read_bytes = 0
        for part in self._chain(file):
            try:
                for chunk in self._store.get_stream(part.key):
                    read_bytes += len(chunk)
                    if read_bytes > size_bytes:
                        raise self.superseded()
                    yield chunk
            except ObjectMissing:
                raise self.superseded() from None
        if read_bytes != size_bytes:
            raise self.superseded()

    def remove_file(self, file: int) -> None:
        """Lets go of all parts of a file."""
        self._remove(f"{self._prefix}{file}/")

    def remove(self) -> None:
        """Lets go of all of it; from here on it was never begun."""
        self._remove(self._begin)
        self._remove(self._prefix)

    def superseded(self) -> Conflict:
        """That another stream goes on with this upload."""
        return Conflict(
            f"another stream goes on with {self._name}; ask how far it came, and go on from there",
            reason="UPLOAD_SUPERSEDED",
        )

    def _part(self, file: int, offset: int) -> str:
        return f"{self._prefix}{file}/{offset:020}"

    def _chain(self, file: int) -> Iterator[ObjectInfo]:
        """The parts that follow one another from 0 on."""
        end = 0
        for part in self._store.list(f"{self._prefix}{file}/"):
            if int(part.key.rpartition("/")[2]) == end:
                yield part
                end += part.size_bytes

    def _remove(self, prefix: str) -> None:
        for info in self._store.list(prefix):
            with suppress(PreconditionFailed):  # begun anew in this moment
                self._store.delete(info.key, if_generation=info.generation)


def _stored(store: ObjectStore, key: str) -> StoredObject | None:
    try:
        return store.get(key)
    except ObjectMissing:
        return None
