"""A folder of this process for files that the gates look at; those of dead processes are removed.

    <folder>/<random>/…    locked as long as its process lives

All that is written for a while goes there, by way of Python's `tempfile`.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class Spool:
    """Where a process writes what it needs for a while.

    Args:
        folder: Shared by registries of one machine; None: one of this user in the system's
            temporary folder.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._own: Path | None = None
        self._lock = -1
        self._before: str | None = None

    def open(self) -> None:
        """Removes what dead processes have left, and writes here from now on.

        Raises:
            OSError: The folder cannot be used, or belongs to another user.
        """
        folder = self._folder or Path(tempfile.gettempdir(), f"voiceflow-registry-{os.getuid()}")
        folder.mkdir(mode=0o700, parents=self._folder is not None, exist_ok=True)
        if self._folder is None and (folder.is_symlink() or folder.stat().st_uid != os.getuid()):
            raise PermissionError(f"{folder} is not this user's; name another with --spool-dir")
        with _locked(folder):
            for left in folder.iterdir():
                _remove_if_dead(left)
            self._own = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=folder))
            self._lock = os.open(self._own, os.O_RDONLY)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._before, tempfile.tempdir = tempfile.tempdir, str(self._own)

    def close(self) -> None:
        """Removes what is left; does nothing if it was never opened."""
        if self._own is not None:
            tempfile.tempdir = self._before
            shutil.rmtree(self._own, ignore_errors=True)
            os.close(self._lock)
            self._own = None


_PREFIX = "spool-"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Nobody else removes or makes a spool meanwhile."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _remove_if_dead(spool: Path) -> None:
    if not spool.name.startswith(_PREFIX):  # not one of ours
        return
    with suppress(OSError):  # another user's, or gone
        lock = os.open(spool, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(spool, ignore_errors=True)
        finally:
            os.close(lock)
