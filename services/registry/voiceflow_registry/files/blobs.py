"""Content of files, by digest: verified as it comes in, verified as it goes out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from voiceflow.artifact import Digest, digest_of
from voiceflow.catalog.versions import VersionFile
from voiceflow.errors import ContentCorrupt
from voiceflow_registry.records import blob_key
from voiceflow_registry.storage.object_store import (
    ObjectInfo,
    ObjectMissing,
    ObjectStore,
    PreconditionFailed,
)


class DigestDiffers(Exception):
    """What was to be stored is not what its digest says.

    Args:
        seen: Digest of what came.
    """

    def __init__(self, seen: Digest) -> None:
        super().__init__(seen)
        self.seen = seen


class BlobMissing(ContentCorrupt):
    """The content of a file is not there."""


class Blobs:
    """The content of every file of every version, each once.

    Args:
        store: Holds them.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def info(self, digest: Digest) -> ObjectInfo | None:
        """What is held under a digest; None if nothing is."""
        return self._store.info(blob_key(digest))

    def add(self, file: VersionFile, chunks: Iterable[bytes]) -> None:
        """Stores a file's content, unless it is held already.

        Raises:
            DigestDiffers: These chunks are another content; nothing was stored.
        """
        if not file.size_bytes and file.digest != digest_of(b""):
            raise DigestDiffers(digest_of(b""))
        try:
            self._store.put_stream(
                blob_key(file.digest), _hashed(chunks, file.digest), size_bytes=file.size_bytes
            )
        except PreconditionFailed:
            return  # whoever stored it had it hashed in the same way

    def read(self, file: VersionFile, offset: int = 0) -> Iterator[tuple[int, bytes]]:
        """A file's content from an offset on: each chunk, at most 1 MiB, and where it begins.

        Read from 0 on, the end comes only if the whole has its digest.

        Raises:
            BlobMissing: CONTENT_CORRUPT.
            ContentCorrupt: CONTENT_CORRUPT, at the end at the latest.
        """
        hashing = hashlib.sha256()
        at = offset
        try:
            for chunk in self._store.get_stream(blob_key(file.digest), offset=offset):
                hashing.update(chunk)
                if at + len(chunk) > file.size_bytes:
                    raise _corrupt(file, f"it has more than its {file.size_bytes} bytes")
                yield at, chunk
                at += len(chunk)
        except ObjectMissing as error:
            raise BlobMissing(
                f"{file.file}, stored as {blob_key(file.digest)}, is gone", reason="CONTENT_CORRUPT"
            ) from error
        except ValueError as error:
            raise _corrupt(file, str(error)) from error
        if at != file.size_bytes:
            raise _corrupt(file, f"it ends after {at} of its {file.size_bytes} bytes")
        if offset == 0 and f"sha256:{hashing.hexdigest()}" != file.digest:
            raise _corrupt(file, f"its digest is sha256:{hashing.hexdigest()}")

    def write_files(self, files: Iterable[VersionFile], folder: Path) -> None:
        """Writes files under their names into a folder, verified.

        Raises:
            ContentCorrupt: As `read`.
        """
        for file in files:
            with (folder / file.file).open("xb") as target:
                for _, chunk in self.read(file):
                    target.write(chunk)


def _hashed(chunks: Iterable[bytes], digest: Digest) -> Iterator[bytes]:
    """The same chunks; in the place of the last one of another content, the error.

    So no store can take it for whole, though it may ask for nothing after the last byte.
    """
    hashing = hashlib.sha256()
    last = b""
    for chunk in chunks:
        hashing.update(chunk)
        if last:
            yield last
        last = chunk
    seen = f"sha256:{hashing.hexdigest()}"
    if seen != digest:
        raise DigestDiffers(seen)
    if last:
        yield last


def _corrupt(file: VersionFile, what: str) -> ContentCorrupt:
    return ContentCorrupt(
        f"{file.file}, stored as {blob_key(file.digest)}, is not as it was stored: {what}",
        reason="CONTENT_CORRUPT",
    )
