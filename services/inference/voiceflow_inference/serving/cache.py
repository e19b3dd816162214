"""The versions on a pod's disk: those in use, the last good one, and the two newest besides.

Each content has a folder of its own, which is complete and verified as soon as it has its name.
Several processes may share one cache: each locks the folders that it uses, as long as it lives, and
none removes what another has locked.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from voiceflow.catalog.channels import VersionPin
from voiceflow.catalog.names import VersionName
from voiceflow.client.registry.downloading import check_replaceable
from voiceflow.errors import NotAllowedNow

_LOG = logging.getLogger(__name__)

SPARE_VERSIONS: Final = 2
"""Verified versions that stay besides those in use: what a pod may go back to."""

LEFT_SECONDS: Final = 24 * 3600.0
"""What a download has left is gone on with for so long; then it is removed."""


class Cache:
    """The folders of one model's versions; any thread may use it.

    Args:
        root: Holds a folder for each model.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._locks: dict[Path, int] = {}
        self._fresh: set[Path] = set()
        self._changing = threading.Lock()

    def folder(self, pin: VersionPin) -> Path:
        """Where a version is, or goes; two registries may know different bytes by one name."""
        name = VersionName.parse(pin.version)
        digest = pin.manifest_digest.removeprefix("sha256:")
        return self._root / name.model / f"{name.version}-{digest[:_DIGEST_CHARACTERS]}"

    def clear(self, pin: VersionPin) -> None:
        """Removes what stands in a version's place and is none: the cache is the service's own."""
        folder = self.folder(pin)
        try:
            check_replaceable(folder)
        except NotAllowedNow as error:
            _LOG.warning("it is removed: %s", error.message)
            _remove(folder)

    def use(self, pin: VersionPin) -> bool:
        """Locks a version that is there, and counts it as the newest, until `keep` leaves it out.

        Returns:
            False: it is gone; another process has removed it just now.
        """
        folder = self.folder(pin)
        with self._changing:
            self._fresh.add(folder)
            held = self._locks.get(folder)
            if held is not None and _is(folder, held):
                os.utime(folder)
                return True
            try:
                descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError:
                return False
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if not _is(folder, descriptor):
                os.close(descriptor)
                return False
            if held is not None:  # of a folder that was replaced
                os.close(held)
            self._locks[folder] = descriptor
            os.utime(folder)
            return True

    def keep(self, pins: Collection[VersionPin]) -> None:
        """Removes every other version but the newest two, and what downloads left long ago.

        What was fetched since the last call stays in any case: it may just be about to be used.

        Args:
            pins: In use, or to be gone back to; of one model at least one.
        """
        used = {self.folder(pin) for pin in pins}
        with self._changing:
            staying = used | self._fresh
            self._fresh.clear()
            for folder in self._locks.keys() - staying:
                os.close(self._locks.pop(folder))
            for models in {folder.parent for folder in used}:
                others = [path for path in _versions(models) if path not in staying]
                for folder in sorted(others, key=_age_seconds)[SPARE_VERSIONS:]:
                    self._remove_unused(folder)
                self._clear_left(models, LEFT_SECONDS)

    def make_room(self, pin: VersionPin) -> None:
        """Removes what downloads of other versions have left: the disk is full."""
        folder = self.folder(pin)
        with self._changing:
            self._clear_left(folder.parent, 0.0, but=folder)

    def close(self) -> None:
        """Unlocks everything."""
        with self._changing:
            for descriptor in self._locks.values():
                os.close(descriptor)
            self._locks.clear()

    def _remove_unused(self, folder: Path) -> None:
        with _locked_alone(folder) as free:
            if free:
                _LOG.info("removes %s from the cache", folder.name)
                _remove(folder)

    def _clear_left(self, models: Path, seconds: float, but: Path | None = None) -> None:
        """Removes what no download is at and none has touched for so long."""
        for path in _entries(models):
            spared = but is not None and path.name.startswith(f".{but.name}.")
            if path.name.startswith(".") and not spared and _age_seconds(path) >= seconds:
                self._remove_unused(path)


_DIGEST_CHARACTERS: Final = 16


def _versions(models: Path) -> list[Path]:
    """Folders of whole versions, whatever is in them."""
    return [path for path in _entries(models) if not path.name.startswith(".")]


def _entries(models: Path) -> list[Path]:
    try:
        return [path for path in models.iterdir() if path.is_dir() and not path.is_symlink()]
    except OSError:
        return []


def _age_seconds(folder: Path) -> float:
    """Since it, or a file in it, was touched."""
    with suppress(OSError):
        times = [path.stat().st_mtime for path in (folder, *folder.iterdir())]
        return time.time() - max(times)
    return 0.0


@contextmanager
def _locked_alone(folder: Path) -> Iterator[bool]:
    """Whether nobody else has a folder locked; while the block runs, nobody has."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    """What cannot be removed stays; a download into its place says so."""
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _is(folder: Path, descriptor: int) -> bool:
    """Whether a path still names an open folder."""
    try:
        return os.path.samestat(folder.stat(), os.fstat(descriptor))
    except OSError:
        return False
