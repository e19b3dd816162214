"""Objects as files of one folder, for any number of processes on one machine.

    objects/…    the objects, each under its key
    making/…     files that are being written; those of dead writers go at the next start
    locks/…      one file for each of a few groups of keys

An object is written elsewhere, made durable, then linked (create) or renamed (replace) into place,
so it is seen whole or not at all; then the folder is made durable, then the caller is told. Its
generation is its modification time in nanoseconds, set so that it grows with every write of a key
whatever the clock says; the lock file's own time remembers what was removed. Conditions are checked
under the lock of the key. A lock dies with its holder.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from voiceflow_registry.storage.folders import (
    FileInTheMaking,
    Folders,
    entries,
    locked,
    remove_leftovers,
    status,
    storage_errors,
)
from voiceflow_registry.storage.keys import check_folder, check_key, check_prefix
from voiceflow_registry.storage.object_store import (
    ABSENT,
    ObjectCorrupt,
    ObjectInfo,
    ObjectMissing,
    PreconditionFailed,
    StoredObject,
    StoreUnavailable,
)

_CHUNK_BYTES: Final = 1 << 20
_LOCKS: Final = 64
_TRIES: Final = 1000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class FilesystemStore:
    """An `ObjectStore` on a local filesystem with hard links and times in nanoseconds.

    Safe to use from many threads and processes. Readers take no locks. What others read while a
    write is being made durable may be lost if the machine, not just the process, dies right then;
    no writer has been told of it yet.

    Args:
        root: The folder; made if it is missing.

    Raises:
        StoreUnavailable: It cannot be made.
    """

    def __init__(self, root: Path) -> None:
        self._objects = root / "objects"
        self._making = root / "making"
        self._locks = root / "locks"
        with storage_errors(f"{root} cannot be used as a store"):
            for folder in (self._objects, self._making, self._locks):
                folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self._making)

    def put(self, key: str, content: bytes, *, if_generation: int) -> int:
        """See the port."""
        return self._write(key, [content], len(content), if_generation)

    def put_stream(self, key: str, chunks: Iterable[bytes], *, size_bytes: int) -> int:
        """See the port."""
        return self._write(key, chunks, size_bytes, ABSENT)

    def get(self, key: str) -> StoredObject:
        """See the port."""
        with storage_errors(f"{key} cannot be read"), self._opened(key) as file:
            found = os.fstat(file)
            content = b"".join(_read(file, key, 0, found.st_size))
            return StoredObject(content, found.st_mtime_ns)

    def get_stream(self, key: str, *, offset: int = 0) -> Iterator[bytes]:
        """See the port. What is removed or replaced meanwhile is still read to its end."""
        with storage_errors(f"{key} cannot be read"), self._opened(key) as file:
            size_bytes = os.fstat(file).st_size
            if not 0 <= offset <= size_bytes:
                raise ValueError(f"offset: {offset} is not within the {size_bytes} bytes of {key}")
            yield from _read(file, key, offset, size_bytes)

    def info(self, key: str) -> ObjectInfo | None:
        """See the port."""
        *above, name = check_key(key)
        with storage_errors(f"{key} cannot be looked up"):
            try:
                with Folders(self._objects, above) as folders:
                    return _info(key, name, folders[-1])
            except (FileNotFoundError, NotADirectoryError):
                return None

    def list(
        self, prefix: str, *, start_after: str = "", limit: int | None = None
    ) -> Iterator[ObjectInfo]:
        """See the port."""
        above = check_prefix(prefix)
        with storage_errors(f"{prefix} cannot be listed"):
            yield from itertools.islice(self._walk(above, prefix, start_after), limit)

    def list_folders(self, prefix: str, *, start_after: str = "") -> Iterator[str]:
        """See the port."""
        above = check_folder(prefix)
        with storage_errors(f"{prefix} cannot be listed"):
            try:
                with Folders(self._objects, above) as folders:
                    names = entries(folders[-1])[1]
            except (FileNotFoundError, NotADirectoryError):
                return
            for name in sorted(name for name in names if name > start_after):
                # A folder may be empty for a moment, or for ever if its writer died.
                if any(True for _ in self._walk([*above, name], "", "")):
                    yield name

    def delete(self, key: str, *, if_generation: int) -> bool:
        """See the port."""
        *above, name = check_key(key)
        with (
            storage_errors(f"{key} cannot be removed"),
            self._locked(key) as lock,
        ):
            try:
                folders = Folders(self._objects, above)
            except (FileNotFoundError, NotADirectoryError):
                return False
            with folders:
                found = _generation(name, folders[-1])
                if found == ABSENT:
                    return False
                _expect(key, found, if_generation)
                newest = max(found, os.fstat(lock).st_mtime_ns)
                os.utime(lock, ns=(newest, newest))
                os.fsync(lock)
                os.unlink(name, dir_fd=folders[-1])
                os.fsync(folders[-1])
                folders.prune(above)
                return True

    def _write(self, key: str, chunks: Iterable[bytes], size_bytes: int, if_generation: int) -> int:
        check_key(key)
        what = f"{key} cannot be written"
        # Found out before anything is written, it costs less; it counts under the lock alone.
        with storage_errors(what):
            info = self.info(key)
            if (info.generation if info else ABSENT) != if_generation:
                self._check(key, if_generation)
        with contextlib.ExitStack() as stack:
            with storage_errors(what):
                file = stack.enter_context(FileInTheMaking(self._making))
            came_bytes = 0
            for chunk in chunks:
                came_bytes += len(chunk)
                if came_bytes > size_bytes:
                    break
                with storage_errors(what):
                    file.write(chunk)
            if came_bytes != size_bytes:
                raise ValueError(f"{key}: {came_bytes} bytes came of {size_bytes} announced")
            with storage_errors(what):
                # A large file takes its time; others need not wait for it at the lock.
                os.fsync(file.descriptor)
                return self._place(file, key, if_generation)

    def _place(self, file: FileInTheMaking, key: str, if_generation: int) -> int:
        *above, name = check_key(key)
        with self._locked(key) as lock:
            for _ in range(_TRIES):
                # Whoever removes the last object of a folder removes the folder, opened or not.
                with contextlib.suppress(FileNotFoundError), self._made(key, above) as folders:
                    found = _generation(name, folders[-1])
                    if found != if_generation:
                        # Whoever wrote what stands there may have died before this.
                        folders.sync()
                    _expect(key, found, if_generation)
                    generation = max(time.time_ns(), found + 1, os.fstat(lock).st_mtime_ns + 1)
                    _stamp(file.descriptor, generation)
                    _move(file, key, folders[-1], if_generation)
                    folders.sync()
                    return generation
        raise StoreUnavailable(f"{key} cannot be written: its folder is being removed all the time")

    def _made(self, key: str, above: Sequence[str]) -> Folders:
        try:
            return Folders(self._objects, above, create=True)
        except NotADirectoryError:
            raise ValueError(f"key: a part of {key} is an object itself") from None

    def _check(self, key: str, if_generation: int) -> None:
        *above, name = check_key(key)
        found = ABSENT
        with (
            self._locked(key),
            contextlib.suppress(FileNotFoundError, NotADirectoryError),
            Folders(self._objects, above) as folders,
        ):
            found = _generation(name, folders[-1])
            folders.sync()
        _expect(key, found, if_generation)

    @contextlib.contextmanager
    def _locked(self, key: str) -> Iterator[int]:
        group = hashlib.sha256(key.encode()).digest()[0] % _LOCKS
        with locked(self._locks / f"{group:02}") as lock:
            yield lock

    @contextlib.contextmanager
    def _opened(self, key: str) -> Iterator[int]:
        *above, name = check_key(key)
        missing = ObjectMissing(f"there is no object {key}")
        try:
            with Folders(self._objects, above) as folders:
                if not stat.S_ISREG(status(name, folders[-1]).st_mode):
                    raise missing
                file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folders[-1])
        except (FileNotFoundError, NotADirectoryError):
            raise missing from None
        try:
            yield file
        finally:
            os.close(file)

    def _walk(self, above: Sequence[str], prefix: str, start_after: str) -> Iterator[ObjectInfo]:
        """Objects below a folder in order of key, as far as they begin so and come after that."""
        path = "".join(f"{part}/" for part in above)
        try:
            folders = Folders(self._objects, above)
        except (FileNotFoundError, NotADirectoryError):
            return
        with folders:
            files, below = entries(folders[-1])
            # With its slash, a folder stands where its objects' keys do: `a-b` before `a/b`.
            for name in sorted(files + [f"{name}/" for name in below]):
                key = path + name
                if not key.endswith("/"):
                    if key.startswith(prefix) and key > start_after:
                        with contextlib.suppress(FileNotFoundError):
                            yield _info(key, name, folders[-1])
                elif key.startswith(prefix) and (key > start_after or start_after.startswith(key)):
                    yield from self._walk([*above, name[:-1]], prefix, start_after)


def _read(file: int, key: str, offset: int, size_bytes: int) -> Iterator[bytes]:
    while offset < size_bytes:
        chunk = os.pread(file, min(_CHUNK_BYTES, size_bytes - offset), offset)
        if not chunk:
            raise ObjectCorrupt(f"{key} ends after {offset} of {size_bytes} bytes")
        offset += len(chunk)
        yield chunk


def _info(key: str, name: str, folder: int) -> ObjectInfo:
    found = status(name, folder)
    if not stat.S_ISREG(found.st_mode):
        raise FileNotFoundError(name)
    written = _EPOCH + timedelta(microseconds=found.st_mtime_ns // 1000)
    return ObjectInfo(key, found.st_size, found.st_mtime_ns, written)


def _generation(name: str, folder: int) -> int:
    try:
        found = status(name, folder)
    except FileNotFoundError:
        return ABSENT
    return found.st_mtime_ns if stat.S_ISREG(found.st_mode) else ABSENT


def _move(file: FileInTheMaking, key: str, folder: int, if_generation: int) -> None:
    name = key.rpartition("/")[2]
    try:
        if if_generation == ABSENT:
            os.link(file.path, name, dst_dir_fd=folder)
        else:
            os.rename(file.path, name, dst_dir_fd=folder)
    except FileExistsError:
        raise ValueError(f"key: {key} is a folder of other objects") from None


def _expect(key: str, found: int, if_generation: int) -> None:
    if found != if_generation:
        raise PreconditionFailed(f"{key} has generation {found}, not {if_generation}")


def _stamp(file: int, generation: int) -> None:
    os.utime(file, ns=(generation, generation))
    if os.fstat(file).st_mtime_ns != generation:
        raise StoreUnavailable("this filesystem does not keep times in nanoseconds")
    os.fsync(file)
