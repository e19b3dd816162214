"""What the filesystem adapter asks of the operating system: folders, locks, files in the making.

Folders are opened part by part, and no part may be a symbolic link: what is below the root stays
below it, and nothing seems absent that is merely elsewhere.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Self

from voiceflow_registry.storage.keys import is_part
from voiceflow_registry.storage.object_store import StoreUnavailable

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def storage_errors(what: str) -> Iterator[None]:
    """Turns what the operating system refuses into StoreUnavailable, with what was being done."""
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(f"{what}: {error}") from error


class Folders:
    """A folder below the root with those above it, all open: `[-1]` is the folder itself."""

    def __init__(self, root: Path, parts: Sequence[str], *, create: bool = False) -> None:
        """Opens them.

        Args:
            root: Where all folders are.
            parts: Of the folder's path below the root.
            create: Whether to make what is missing.

        Raises:
            StoreUnavailable: The root itself is missing: whatever was stored is not here now.
            FileNotFoundError: A part is missing.
            NotADirectoryError: A part is a file.
        """
        try:
            self._open = [os.open(root, _FOLDER & ~os.O_NOFOLLOW)]
        except FileNotFoundError as error:
            raise StoreUnavailable(f"{root} is gone") from error
        try:
            for part in parts:
                self._open.append(self._next(part, create=create))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getitem__(self, index: int) -> int:
        return self._open[index]

    def close(self) -> None:
        """Closes them."""
        for folder in self._open:
            os.close(folder)

    def sync(self) -> None:
        """Makes the folder's entries durable, and those that lead to it, whoever made them."""
        for folder in reversed(self._open):
            os.fsync(folder)

    def prune(self, parts: Sequence[str]) -> None:
        """Removes the folder, and those above it but for the root, as far as they are empty."""
        with contextlib.suppress(OSError):
            for above, part in zip(self._open[-2::-1], reversed(parts), strict=True):
                os.rmdir(part, dir_fd=above)

    def _next(self, part: str, *, create: bool) -> int:
        above = self._open[-1]
        if create:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, dir_fd=above)
        try:
            return os.open(part, _FOLDER, dir_fd=above)
        except NotADirectoryError:
            status(part, above)
            raise


def status(name: str, folder: int) -> os.stat_result:
    """What stands under a name in an open folder.

    Raises:
        FileNotFoundError: Nothing.
        StoreUnavailable: A symbolic link.
    """
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if stat.S_ISLNK(found.st_mode):
        raise StoreUnavailable(f"{name} is a symbolic link, which a store does not follow")
    return found


def entries(folder: int) -> tuple[list[str], list[str]]:
    """Names of the files and of the folders in an open folder; those of no key are left out.

    Raises:
        StoreUnavailable: One is a symbolic link.
    """
    files: list[str] = []
    folders: list[str] = []
    with os.scandir(folder) as found:
        for entry in found:
            if entry.is_symlink():
                status(entry.name, folder)
            elif is_part(entry.name):
                (folders if entry.is_dir(follow_symlinks=False) else files).append(entry.name)
    return files, folders


@contextlib.contextmanager
def locked(path: Path) -> Iterator[int]:
    """Holds a lock between processes, and between threads; gives the open lock file.

    The kernel lets go of it when its holder dies.
    """
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
    finally:
        os.close(lock)


class FileInTheMaking:
    """A file that nobody sees yet; what is not put in place before the end is removed.

    It is locked as long as its maker lives, so that `remove_leftovers` can tell.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        while True:
            self.path = folder / uuid.uuid4().hex
            # Nothing that is stored is ever changed in place.
            self.descriptor = os.open(
                self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444
            )
            fcntl.flock(self.descriptor, fcntl.LOCK_EX)
            if os.fstat(self.descriptor).st_nlink:
                return
            # Taken for a leftover before it was locked.
            os.close(self.descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # A rename has taken it away; or the disk refuses, and the next start will remove it.
        with contextlib.suppress(OSError):
            self.path.unlink()
        os.close(self.descriptor)

    def write(self, content: bytes) -> None:
        """Adds to it."""
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(self.descriptor, rest) :]


def remove_leftovers(folder: Path) -> None:
    """Removes files in the making whose makers are dead."""
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(file)
