"""Fetches a version into a folder: resumed after a cut, verified whole, put in place in one step.

Nothing that came is believed: the manifest must have the digest that the caller pins and the
signature that the caller demands, each file the digest and size that the manifest states, and
nothing is read once a file has that size. What is not complete stands beside the folder under
another name, where the next call finds it.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

import google_crc32c
import grpc

from voiceflow.artifact import Digest, Manifest, digest_of
from voiceflow.catalog.versions import Version, VersionFile
from voiceflow.client.registry.connection import Connection
from voiceflow.client.registry.local import digest_of_file, open_package
from voiceflow.client.registry.progress import OnProgress, Progress, Stage
from voiceflow.errors import ContentCorrupt, NotAllowedNow, Unavailable, VoiceFlowError
from voiceflow.package import (
    MANIFEST_FILE,
    MAXIMUM_FILE_BYTES,
    MAXIMUM_MANIFEST_BYTES,
    SIGNATURE_FILE,
    CheckManifest,
    check_sizes_stated,
    plain_name,
    read_manifest,
    read_signature,
)
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.rpc.registry import version_file_from_wire
from voiceflow.telemetry.context import metadata

STALLED_SECONDS: Final = 60.0
SLOWEST_BYTES: Final = 64 * 1024
"""A stream that brings less in so many seconds is given up, before a byte at a time takes years."""


class Downloading:
    """One version on its way to a folder.

    Args:
        connection: To the registry.
        folder: Where it shall be.
        check_manifest: Whom the manifest's signature must be of; None: it is not looked at.
        on_progress: Told how far it is.
    """

    def __init__(
        self,
        connection: Connection,
        folder: Path,
        check_manifest: CheckManifest | None,
        on_progress: OnProgress,
    ) -> None:
        self._connection = connection
        self._folder = folder
        self._check_manifest = check_manifest
        self._tell = on_progress
        self._done_bytes = 0
        self._total_bytes = 0

    async def run(self, version: Version, manifest_digest: Digest) -> Path:
        """Fetches it.

        Args:
            version: In full view.
            manifest_digest: That the manifest must have.

        Returns:
            The folder, complete and verified.

        Raises:
            ContentCorrupt: What the registry sends is not what is pinned.
            Untrusted: The manifest is not signed as it must be.
            NotAllowedNow: FOLDER_TAKEN, if there is something else in the folder.
            VoiceFlowError: What the registry says, or the last cut.
        """
        files = self._checked(version, manifest_digest)
        self._total_bytes = sum(file.size_bytes for file in files)
        check_replaceable(self._folder)
        with _writing(self._folder), _partial_folder(self._folder, manifest_digest) as partial:
            for file in files:
                await self._fetch(version.name, file, partial / file.file)
                self._done_bytes += file.size_bytes
                self._say(Stage.RECEIVING, 0)
            await asyncio.to_thread(self._put_in_place, partial, version, manifest_digest)
        return self._folder

    def _checked(self, version: Version, manifest_digest: Digest) -> tuple[VersionFile, ...]:
        """The files to fetch, of a version that is the pinned one and signed as it must be."""
        content = version.manifest or b""
        if len(content) > MAXIMUM_MANIFEST_BYTES:
            raise _corrupt(MANIFEST_FILE, f"has {len(content)} bytes", f"{MAXIMUM_MANIFEST_BYTES}")
        if digest_of(content) != manifest_digest:
            raise _corrupt(MANIFEST_FILE, f"has digest {digest_of(content)}", manifest_digest)
        if self._check_manifest is not None:
            self._check_manifest(content, version.signature)
        manifest = Manifest.from_json(content)
        if self._check_manifest is not None:
            check_sizes_stated(manifest)
        if manifest.resource_name != version.name:
            raise _corrupt(MANIFEST_FILE, f"is that of {manifest.resource_name}", version.name)
        return _files(version, manifest)

    async def _fetch(self, version: str, file: VersionFile, path: Path) -> None:
        """Fetches one file, from what is there of it on; once anew if its digest does not fit."""
        for last in (False, True):
            with _open_rest(path) as handle:
                if last or handle.tell() > file.size_bytes:
                    handle.truncate(0)
                    handle.seek(0)
                await self._receive(version, file, handle)
            seen, _ = await asyncio.to_thread(digest_of_file, path)
            if seen == file.digest:
                return
        raise _corrupt(file.file, f"has digest {seen}", file.digest)

    async def _receive(self, version: str, file: VersionFile, handle: IO[bytes]) -> None:
        """Reads until the file has its size; a try that kept its pace is no failure."""
        failures, pace = 0, _Pace(handle.tell())
        while True:
            try:
                await self._stream(version, file, handle)
            except VoiceFlowError as error:
                failures = 1 if pace.is_kept(handle.tell()) else failures + 1
                pace = _Pace(handle.tell())
                self._say(Stage.WAITING, handle.tell())
                await self._connection.pause(error, failures)
            else:
                await asyncio.to_thread(_flush, handle)
                return

    async def _stream(self, version: str, file: VersionFile, handle: IO[bytes]) -> None:
        """One stream from where the file ends so far, until it has its size.

        What may come after that is not read: a stream need not end.

        Raises:
            Unavailable: It was cut or is too slow, or a chunk was damaged on the way.
            ContentCorrupt: It is not the file that was stated.
        """
        request = pb.DownloadVersionRequest(name=version, file=file.file, offset=handle.tell())
        call = self._connection.stub.DownloadVersion(request, metadata=metadata())
        try:
            first, pace = True, _Pace(handle.tell())
            while first or handle.tell() < file.size_bytes:
                async with asyncio.timeout_at(pace.end):
                    reply = await call.read()
                if reply is None:  # so gRPC says that it could not be decoded
                    raise _corrupt(file.file, "is sent as what cannot be read", "chunks")
                if not isinstance(reply, pb.DownloadVersionResponse):
                    raise _cut(file, handle.tell(), "ended")
                _check(reply, file, handle.tell(), first=first)
                first = False
                await asyncio.to_thread(handle.write, reply.data)
                if handle.tell() >= pace.begun_at + SLOWEST_BYTES:
                    pace = _Pace(handle.tell())
                self._say(Stage.RECEIVING, handle.tell())
        except grpc.aio.AioRpcError as error:
            raise self._connection.error_of(error) from None
        except TimeoutError:
            slow = f"sent less than {SLOWEST_BYTES} bytes in {STALLED_SECONDS:g} s"
            raise _cut(file, handle.tell(), slow) from None
        finally:
            call.cancel()

    def _put_in_place(self, partial: Path, version: Version, manifest_digest: Digest) -> None:
        """Gives a complete folder its name; a reader sees what was there before, or all of this."""
        folder = self._folder
        for name in (SIGNATURE_FILE, MANIFEST_FILE):  # another call may have left one
            (partial / name).unlink(missing_ok=True)
        if version.signature is not None:
            _write(partial / SIGNATURE_FILE, version.signature.content)
        _write(partial / MANIFEST_FILE, version.manifest or b"")
        _sync(partial)
        try:
            if folder.exists() and not self._is_complete(manifest_digest):
                with tempfile.TemporaryDirectory(
                    prefix=f".{folder.name}.old.", dir=folder.parent
                ) as aside:
                    folder.rename(Path(aside) / folder.name)
            partial.rename(folder)  # over an empty folder, too
        except OSError:
            if not self._is_complete(manifest_digest):
                raise
            shutil.rmtree(partial)  # another call was quicker
        _sync(folder.parent)

    def _is_complete(self, manifest_digest: Digest) -> bool:
        return is_complete(self._folder, manifest_digest, self._check_manifest)

    def _say(self, stage: Stage, of_file_bytes: int) -> None:
        self._tell(Progress(stage, self._done_bytes + of_file_bytes, self._total_bytes))


def is_complete(
    folder: Path, manifest_digest: Digest, check_manifest: CheckManifest | None
) -> bool:
    """Whether a folder holds exactly this version, signed as it must be, each file as stated."""
    try:
        if digest_of(read_manifest(folder)) != manifest_digest:
            return False
        if check_manifest is not None:
            check_manifest(read_manifest(folder), read_signature(folder))
        open_package(folder)
    except VoiceFlowError:
        return False
    return True


def check_replaceable(folder: Path) -> None:
    """Refuses a folder that holds anything but a package.

    Raises:
        NotAllowedNow: FOLDER_TAKEN.
    """
    if folder.exists() and not (
        folder.is_dir() and (not any(folder.iterdir()) or (folder / MANIFEST_FILE).exists())
    ):
        raise NotAllowedNow(
            f"{folder} is there and holds no package; give a folder that is empty or not there yet",
            reason="FOLDER_TAKEN",
            field="folder",
        )


def _files(version: Version, manifest: Manifest) -> tuple[VersionFile, ...]:
    """The files to fetch: as the manifest names them, with the sizes that it states.

    A manifest without sizes leaves them to the registry.
    """
    told = {file.file: file for file in version.files}
    files = []
    for name, digest in manifest.files.items():
        if not plain_name(name):
            raise _corrupt(MANIFEST_FILE, f"names {name!r}", "plain names of files")
        seen = told.get(name)
        size_bytes = manifest.sizes.get(name, seen.size_bytes if seen else 0)
        file = VersionFile(file=name, size_bytes=size_bytes, digest=digest)
        if seen != file:
            raise _corrupt(name, f"is told as {seen}", str(file))
        if not 0 <= size_bytes <= MAXIMUM_FILE_BYTES:
            raise _corrupt(name, f"has {size_bytes} bytes", f"at most {MAXIMUM_FILE_BYTES}")
        files.append(file)
    return tuple(files)


@contextmanager
def _partial_folder(folder: Path, manifest_digest: Digest) -> Iterator[Path]:
    """Where an incomplete version stands: the same at every call, unless another call is at it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    name = f".{folder.name}.{manifest_digest.removeprefix('sha256:')[:16]}.partial"
    partial = folder.parent / name
    partial.mkdir(exist_ok=True)
    descriptor = os.open(partial, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shared = not _is(partial, descriptor)  # it was put in place just now
    except BlockingIOError:
        shared = True
    try:
        if not shared:
            yield partial
            return
        own = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=folder.parent))
        try:
            yield own
        finally:
            shutil.rmtree(own, ignore_errors=True)
    finally:
        os.close(descriptor)


def _is(path: Path, descriptor: int) -> bool:
    """Whether a path still names an open folder."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise VoiceFlowError(
            f"{folder}: cannot be written: {error.strerror}", reason="FOLDER_NOT_WRITABLE"
        ) from error


def _open_rest(path: Path) -> IO[bytes]:
    """Opens what there is of a file, to be gone on with; nothing outside the folder is touched.

    A link, or what is no file, was not left by a download: it is removed.
    """
    with suppress(FileNotFoundError):
        seen = path.lstat()
        if not stat.S_ISREG(seen.st_mode) or seen.st_nlink > 1:
            path.unlink()
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o666), "ab")


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as handle:
        handle.write(content)
        _flush(handle)


def _flush(handle: IO[bytes]) -> None:
    """Until it outlasts a loss of power."""
    handle.flush()
    os.fsync(handle.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Pace:
    """How fast a file comes at least, from a place in it on."""

    def __init__(self, begun_at: int) -> None:
        self.begun_at = begun_at
        self._begun = asyncio.get_running_loop().time()

    @property
    def end(self) -> float:
        """When SLOWEST_BYTES must have come, by the clock of the event loop."""
        return self._begun + STALLED_SECONDS

    def is_kept(self, at: int) -> bool:
        """Whether enough has come for the time that it took."""
        seconds = asyncio.get_running_loop().time() - self._begun
        return (at - self.begun_at) * STALLED_SECONDS >= SLOWEST_BYTES * seconds


def _check(
    reply: pb.DownloadVersionResponse, file: VersionFile, offset: int, *, first: bool
) -> None:
    """Refuses a chunk that is of another file, does not go on where the last ended, or too far."""
    if first and version_file_from_wire(reply.file) != file:
        told = f"is told to have {reply.file.size_bytes} bytes, {reply.file.digest}"
        raise _corrupt(file.file, told, f"{file.size_bytes} bytes, {file.digest}")
    if reply.offset != offset or offset + len(reply.data) > file.size_bytes:
        told = f"has {len(reply.data)} bytes sent at {reply.offset}"
        raise _corrupt(file.file, told, f"bytes from {offset} up to {file.size_bytes}")
    if not first and not reply.data:
        raise _corrupt(file.file, "is sent in chunks of nothing", "chunks of at least one byte")
    if google_crc32c.value(reply.data) != reply.crc32c:
        raise Unavailable(f"{file.file}: damaged on the way", reason="CHUNK_CORRUPT")


def _cut(file: VersionFile, offset: int, how: str) -> Unavailable:
    return Unavailable(
        f"{file.file}: the registry {how} at {offset} of {file.size_bytes} bytes",
        reason="DOWNLOAD_CUT",
    )


def _corrupt(what: str, seen: str, allowed: str) -> ContentCorrupt:
    return ContentCorrupt(f"{what} {seen}; allowed is {allowed}", reason=_REASON)


_REASON: Final = "CONTENT_CORRUPT"
