"""A local folder as the source of versions: dropping a package in is a reload, taking it out too.

The folder is one package, or holds packages; of these the highest version is wanted that is
complete. What the system tells of changes only wakes a look at what is there; a look is taken every
so often besides, so that nothing rests on being told. A package that is still being copied waits
until every file is as its manifest states.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import semver
from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from voiceflow.artifact import Manifest, digest_of
from voiceflow.catalog.channels import RevertRules, Rollout, VersionPin
from voiceflow.catalog.names import VersionName
from voiceflow.client.registry import open_package
from voiceflow.errors import NotFound, PackageInvalid, VoiceFlowError
from voiceflow.package import (
    MANIFEST_FILE,
    check_files_named,
    check_sizes_stated,
    read_manifest,
    read_signature,
    size_of_file,
)
from voiceflow_inference.serving.download import Found
from voiceflow_inference.serving.state import Wanted
from voiceflow_inference.serving.trusting import TrustedChannel

_LOG = logging.getLogger(__name__)

LOOK_SECONDS: Final = 10.0
"""A look is taken at least so often."""

CALM_SECONDS: Final = 0.2
"""Changes come in crowds: a look waits a little for the rest of them."""


@dataclass(frozen=True, slots=True)
class Package:
    """A complete package.

    Attributes:
        folder: Where it is.
        pin: Which version, and which bytes.
        name: The version.
    """

    folder: Path
    pin: VersionPin
    name: VersionName

    @property
    def rank(self) -> tuple[bool, semver.Version, str]:
        """Orders packages: a pre-release is lower than every release."""
        return (self.name.version.prerelease is None, self.name.version, self.folder.name)


class FolderSource:
    """What lies in a folder; a `Source`.

    Args:
        folder: A package, or a folder of packages of one model.
        trusted: Says whose signatures count; None: they are not checked.
        rules: When a version is left.
        wait_seconds: How long the folder may hold nothing at the start.
    """

    def __init__(
        self,
        folder: Path,
        trusted: TrustedChannel | None,
        rules: RevertRules,
        wait_seconds: float,
    ) -> None:
        self._folder = folder
        self._trusted = trusted
        self._rules = rules
        self._wait_seconds = wait_seconds
        self._packages: tuple[Package, ...] = ()
        self._sequence = 0
        self._verified: dict[Path, tuple[_Fingerprint, PackageInvalid | None]] = {}
        self._said: dict[Path, str] = {}

    async def wanted(self) -> AsyncGenerator[Wanted, None]:
        """See `Source`; the sequence counts how often what lies in the folder has changed.

        Raises:
            PackageInvalid: The folder is not there, or is a package and damaged; at the start.
            Untrusted: It is a package, and not signed as it must be; at the start.
            NotFound: NO_PACKAGE: it holds none that is complete.
        """
        bell = asyncio.Event()
        async with _ringing(self._folder, bell):
            await self._wait_for_first(bell)
            while True:
                yield self._wanted(self._packages[0])
                while not await self._changed():
                    await _rung(bell, LOOK_SECONDS)

    async def fetch(self, pin: VersionPin) -> Found:
        """See `Source`: says where it is; whoever loads it verifies it."""
        for package in self._packages:
            if package.pin == pin:
                check = None if self._trusted is None else self._trusted.check_manifest(pin)
                return Found(package.folder, pin.manifest_digest, check)
        raise NotFound(f"{pin.version} is not in {self._folder} any more", reason="NO_PACKAGE")

    def instead(self, wanted: Wanted) -> Wanted | None:
        """See `Source`: the next lower version."""
        primary = wanted.rollout.primary
        known = [package.pin for package in self._packages]
        if primary in known:
            lower = self._packages[known.index(primary) + 1 :]
        else:
            version = VersionName.parse(primary.version).version
            lower = tuple(one for one in self._packages if one.name.version < version)
        if not lower:
            return None
        return Wanted(wanted.sequence, Rollout(primary=lower[0].pin), self._rules)

    def holds(self, wanted: Wanted) -> None:
        """See `Source`: the folder is there over a restart by itself."""

    def keep(self, pins: Collection[VersionPin]) -> None:
        """See `Source`: what lies in the folder is its owner's."""
        if self._trusted is not None:
            self._trusted.serve(pins)

    def _wanted(self, package: Package) -> Wanted:
        return Wanted(self._sequence, Rollout(primary=package.pin), self._rules)

    async def _wait_for_first(self, bell: asyncio.Event) -> None:
        if not self._folder.is_dir():
            read_manifest(self._folder)  # says what is wrong
        try:
            async with asyncio.timeout(self._wait_seconds):
                while not await self._changed():
                    if _is_package(self._folder):  # not one that is still to come
                        await asyncio.to_thread(self._check, self._folder)
                    await _rung(bell, LOOK_SECONDS)
        except TimeoutError:
            raise NotFound(
                f"{self._folder} holds no package that is complete, and none came within "
                f"{self._wait_seconds:g} s; {'; '.join(self._said.values()) or 'it is empty'}",
                reason="NO_PACKAGE",
                field="model_dir",
            ) from None

    async def _changed(self) -> bool:
        """Takes a look; whether there is something else to be wanted than before."""
        packages = await asyncio.to_thread(self._look)
        if not packages and self._packages:
            self._say(self._folder, logging.WARNING, "nothing is left there; what is served stays")
            return False
        if [package.pin for package in packages] == [package.pin for package in self._packages]:
            self._packages = packages  # one may have moved
            return False
        self._packages = packages
        self._sequence += 1
        _LOG.info(
            "%s: %s is the highest of %d", self._folder, packages[0].pin.version, len(packages)
        )
        return True

    def _look(self) -> tuple[Package, ...]:
        """Every complete package of the model, the highest version first."""
        found = sorted(self._complete(), key=lambda package: package.rank, reverse=True)
        served = {package.name.model for package in self._packages or found}
        model = min(served, default="")
        for package in found:
            if package.name.model != model:
                what = f"it is of another model than {model}, which is served from here"
                self._say(package.folder, logging.WARNING, what)
        return tuple(package for package in found if package.name.model == model)

    def _complete(self) -> Iterator[Package]:
        folders = [self._folder] if _is_package(self._folder) else _folders(self._folder)
        for gone in [path for path in self._verified if path not in folders]:
            del self._verified[gone]
            self._said.pop(gone, None)
        for folder in folders:
            try:
                package = self._check(folder)
            except _Incomplete as error:
                self._say(folder, logging.INFO, error.message)
            except VoiceFlowError as error:
                self._say(folder, logging.WARNING, f"it is not served: {error.message}")
            else:
                self._said.pop(folder, None)
                yield package

    def _check(self, folder: Path) -> Package:
        """Verifies a package; files that have not changed are not read again.

        Raises:
            PackageInvalid: It is damaged, or not complete yet.
            Untrusted: It is not signed as it must be.
        """
        content = read_manifest(folder)
        if self._trusted is not None:
            self._trusted.check_any_manifest(content, read_signature(folder))
        manifest = Manifest.from_json(content)
        if self._trusted is not None:
            check_sizes_stated(manifest)
        name = VersionName.parse(manifest.resource_name)
        check_files_named(manifest)
        seen = _fingerprint(folder)
        known = self._verified.get(folder)
        if known is None or known[0] != seen:
            _check_all_came(folder, manifest)
            known = (seen, _fault(folder))
            self._verified[folder] = known
        if known[1] is not None:
            raise known[1].with_traceback(None)  # it would grow with every look
        pin = VersionPin(version=str(name), manifest_digest=digest_of(content))
        return Package(folder, pin, name)

    def _say(self, folder: Path, level: int, what: str) -> None:
        """Logs it once, until there is something else to say."""
        message = f"{folder}: {what}"
        if self._said.get(folder) != message:
            self._said[folder] = message
            _LOG.log(level, "%s", message)


class _Incomplete(PackageInvalid):
    """Files are still to come."""


_Fingerprint: TypeAlias = tuple[tuple[str, int, int, int], ...]
"""Of each file: name, inode, bytes, time of its last change."""

_TOLD: Final[Sequence[type[FileSystemEvent]]] = (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
)
"""Changes; that a file is read, as a look does, is none."""


def _is_package(folder: Path) -> bool:
    try:
        return (folder / MANIFEST_FILE).exists()
    except OSError:  # it cannot be looked at now: its file system may be away
        return False


def _folders(folder: Path) -> list[Path]:
    """What may be packages; a name that begins with a dot hides one that is still being made."""
    try:
        found = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError:
        return []
    return sorted(path for path in found if _is_package(path))


def _fingerprint(folder: Path) -> _Fingerprint:
    seen = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                stat = entry.stat()
                seen.append((entry.name, stat.st_ino, stat.st_size, stat.st_mtime_ns))
    except OSError as error:
        raise _Incomplete(
            f"it changes: {error.strerror}", reason="FILE_MISSING", field="files"
        ) from error
    return tuple(sorted(seen))


def _check_all_came(folder: Path, manifest: Manifest) -> None:
    """Refuses a package of which something is still to come, before any of it is read."""
    for file in manifest.files:
        stated = manifest.sizes.get(file, 0)
        try:
            bytes_here = size_of_file(folder / file)
        except OSError:
            raise _Incomplete(
                f"{folder / file} is not there; it may be on its way",
                reason="FILE_MISSING",
                field="files",
            ) from None
        if bytes_here < stated:
            raise _Incomplete(
                f"{folder / file} has {bytes_here} of {stated} bytes; the rest may be on its way",
                reason="DIGEST_MISMATCH",
                field=f"files.{file}",
            )


def _fault(folder: Path) -> PackageInvalid | None:
    """What is wrong with a package's files."""
    try:
        open_package(folder)
    except PackageInvalid as error:
        return error
    return None


class _Bell(FileSystemEventHandler):
    """Rings in the event loop, for what a thread is told."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._loop = asyncio.get_running_loop()

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Something has changed."""
        del event
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ring)


@asynccontextmanager
async def _ringing(folder: Path, bell: asyncio.Event) -> AsyncIterator[None]:
    """Rings whenever something changes in a folder, if the system tells of it."""
    observer = Observer()
    try:
        observer.schedule(_Bell(bell.set), str(folder), recursive=True, event_filter=list(_TOLD))
        observer.start()
    except OSError as error:
        _LOG.warning("%s is looked at every %g s only: %s", folder, LOOK_SECONDS, error.strerror)
        yield
        return
    try:
        yield
    finally:
        await asyncio.to_thread(_end, observer)


def _end(observer: BaseObserver) -> None:
    observer.stop()
    observer.join()


async def _rung(bell: asyncio.Event, seconds: float) -> None:
    """Waits until it has rung and it is calm again, or until it is time for a look anyway."""
    try:
        async with asyncio.timeout(seconds):
            await bell.wait()
    except TimeoutError:
        return
    await asyncio.sleep(CALM_SECONDS)
    bell.clear()
