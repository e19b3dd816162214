"""The files of one upload as their chunks come in, each where it is kept until it is whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from voiceflow.catalog.versions import VersionFile
from voiceflow.errors import Conflict, InvalidInput
from voiceflow_registry.files.blobs import Blobs, DigestDiffers
from voiceflow_registry.files.uploads import UploadStore


def is_held(blobs: Blobs, file: VersionFile) -> bool:
    """Whether a file's content is there already.

    Raises:
        InvalidInput: FIELD_INVALID, if it has another size than stated.
    """
    held = blobs.info(file.digest)
    if held is not None and held.size_bytes != file.size_bytes:
        raise InvalidInput(
            f"begin.files: {file.file} is stated to have {file.size_bytes} bytes; the content with "
            f"its digest has {held.size_bytes}",
            reason="FIELD_INVALID",
            field="begin.files",
        )
    return held is not None


class Incoming(Protocol):
    """A file on its way in."""

    @property
    def received_bytes(self) -> int:
        """The offset of the next chunk."""

    @property
    def complete(self) -> bool:
        """All of it is there, with its digest."""

    @property
    def buffered_bytes(self) -> int:
        """What it holds in memory."""

    def take(self, data: bytes) -> None:
        """Takes the next chunk; never more than the file has.

        Raises:
            InvalidInput: DIGEST_MISMATCH, at the last one; all of the file must be sent anew.
            Conflict: UPLOAD_SUPERSEDED.
        """

    def flush(self) -> None:
        """Keeps what is in memory; raises as `take`."""

    def finish_if_whole(self) -> None:
        """Sees to a file of no bytes, or of which a stream before sent all; raises as `take`."""


class HeldFile:
    """A file whose content is held already: it need not be sent, but may be.

    Args:
        file: The file.
    """

    buffered_bytes = 0
    complete = True

    def __init__(self, file: VersionFile) -> None:
        self._file = file
        self._hashing = hashlib.sha256()
        self.received_bytes = 0

    def take(self, data: bytes) -> None:
        """See `Incoming`; nothing is kept."""
        self._hashing.update(data)
        self.received_bytes += len(data)
        if self.received_bytes == self._file.size_bytes:
            seen = f"sha256:{self._hashing.hexdigest()}"
            self._hashing = hashlib.sha256()
            self.received_bytes = 0
            _compare(self._file, seen)
            self.received_bytes = self._file.size_bytes

    def flush(self) -> None:
        """See `Incoming`."""

    def finish_if_whole(self) -> None:
        """See `Incoming`."""


class KeptFile:
    """A file that is kept in parts until it is whole, then stored by its digest.

    Args:
        file: The file.
        number: Which of the version's files it is.
        uploads: Where its parts are.
        blobs: Where its content goes.
    """

    def __init__(self, file: VersionFile, number: int, uploads: UploadStore, blobs: Blobs) -> None:
        self._file = file
        self._number = number
        self._uploads = uploads
        self._blobs = blobs
        self._buffer: list[bytes] = []
        self._kept: int | None = None
        self.buffered_bytes = 0
        self.complete = False

    @property
    def received_bytes(self) -> int:
        """See `Incoming`; looked up with the first chunk, for a stream before may still end."""
        return self._kept_bytes + self.buffered_bytes

    def take(self, data: bytes) -> None:
        """See `Incoming`."""
        self._buffer.append(data)
        self.buffered_bytes += len(data)
        if self.received_bytes == self._file.size_bytes:
            self.finish_if_whole()

    def flush(self) -> None:
        """See `Incoming`."""
        if not self.buffered_bytes:
            return
        offset = self._kept_bytes
        part = b"".join(self._buffer)
        self._buffer.clear()
        self.buffered_bytes = 0
        self._uploads.add(self._number, offset, part)
        self._kept = offset + len(part)

    def finish_if_whole(self) -> None:
        """See `Incoming`; stores the content once all of it has come."""
        if self.complete:
            return
        if self.received_bytes != self._file.size_bytes:
            self.complete = is_held(self._blobs, self._file)
            return
        in_parts = self._kept_bytes > 0
        if in_parts:
            self.flush()
        try:
            self._blobs.add(self._file, self._content(in_parts=in_parts))
        except DigestDiffers as error:
            self._uploads.remove_file(self._number)
            self._let_go(kept_bytes=0)
            _compare(self._file, error.seen)
        except Conflict:
            if not is_held(self._blobs, self._file):
                raise
        is_held(self._blobs, self._file)  # perhaps put there by another stream, with its own size
        self._let_go(kept_bytes=self._file.size_bytes)
        self.complete = True
        self._uploads.remove_file(self._number)

    @property
    def _kept_bytes(self) -> int:
        if self._kept is None:
            self._kept = self._uploads.received_bytes(self._number)
            if self._kept > self._file.size_bytes:  # begun before with another size stated
                self._uploads.remove_file(self._number)
                self._kept = 0
        return self._kept

    def _let_go(self, *, kept_bytes: int) -> None:
        self._buffer.clear()
        self.buffered_bytes = 0
        self._kept = kept_bytes

    def _content(self, *, in_parts: bool) -> Iterator[bytes]:
        if in_parts:
            return self._uploads.read(self._number, self._file.size_bytes)
        return iter(self._buffer)


class LocalFile:
    """A file of an upload of which nothing is to be kept.

    Args:
        file: The file.
        folder: Where it is written, under its name.
        stack: Closes it.
    """

    buffered_bytes = 0

    def __init__(self, file: VersionFile, folder: Path, stack: ExitStack) -> None:
        self._file = file
        self._hashing = hashlib.sha256()
        self._target = stack.enter_context((folder / file.file).open("wb"))
        self.received_bytes = 0
        self.complete = False

    def take(self, data: bytes) -> None:
        """See `Incoming`."""
        self._target.write(data)
        self._hashing.update(data)
        self.received_bytes += len(data)
        self.finish_if_whole()

    def flush(self) -> None:
        """See `Incoming`; nothing is kept."""

    def finish_if_whole(self) -> None:
        """Compares the digest once all of it has come; raises as `take`."""
        if self.complete or self.received_bytes != self._file.size_bytes:
            return
        seen = f"sha256:{self._hashing.hexdigest()}"
        if seen != self._file.digest:
            self._target.seek(0)
            self._target.truncate()
            self._hashing = hashlib.sha256()
            self.received_bytes = 0
            _compare(self._file, seen)
        self._target.flush()
        self.complete = True


def _compare(file: VersionFile, seen: str) -> None:
    if seen != file.digest:
        raise InvalidInput(
            f"{file.file}: the {file.size_bytes} bytes sent have digest {seen}, the manifest "
            f"states {file.digest}; send the file anew from offset 0",
            reason="DIGEST_MISMATCH",
            field="chunk.data",
        )
