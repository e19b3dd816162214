"""A package on this machine, read in memory that does not grow with it."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from voiceflow.artifact import Digest, Manifest, digest_of
from voiceflow.errors import PackageInvalid
from voiceflow.package import MANIFEST_FILE, MAXIMUM_FILE_BYTES, REQUIRED_FILES

MAXIMUM_MANIFEST_BYTES: Final = 1024 * 1024
PIECE_BYTES: Final = 1024 * 1024
"""Read and sent at once."""


@dataclass(frozen=True, slots=True)
class LocalFile:
    """One file of a package."""

    name: str
    path: Path
    size_bytes: int
    digest: Digest


@dataclass(frozen=True, slots=True)
class LocalPackage:
    """A package whose files have the digests that its manifest states.

    Attributes:
        folder: Where it is.
        content: The bytes of `manifest.json`.
        manifest: The same as a value.
        files: In the manifest's order.
    """

    folder: Path
    content: bytes
    manifest: Manifest
    files: tuple[LocalFile, ...]

    @property
    def manifest_digest(self) -> Digest:
        """Digest of the manifest's bytes."""
        return digest_of(self.content)

    @property
    def size_bytes(self) -> int:
        """Of all files but the manifest."""
        return sum(file.size_bytes for file in self.files)


def open_package(folder: Path) -> LocalPackage:
    """Reads a package's manifest and checks the digest of every file.

    Raises:
        PackageInvalid: A file is missing, too large, no regular file, or has another digest than
            stated.
    """
    content = read_manifest(folder)
    manifest = Manifest.from_json(content)
    missing = [name for name in REQUIRED_FILES if name not in manifest.files]
    if missing:
        raise PackageInvalid(
            f"manifest.json: files does not name {', '.join(missing)}; required are "
            + ", ".join(REQUIRED_FILES),
            reason="FILE_MISSING",
            field="files",
        )
    files = tuple(_checked(folder, name, stated) for name, stated in manifest.files.items())
    return LocalPackage(folder, content, manifest, files)


def read_manifest(folder: Path) -> bytes:
    """The bytes of `manifest.json`.

    Raises:
        PackageInvalid: FILE_MISSING, FILE_TOO_LARGE, FILE_NOT_REGULAR.
    """
    path = folder / MANIFEST_FILE
    try:
        with open_file(path) as file:
            content = file.read(MAXIMUM_MANIFEST_BYTES + 1)
    except OSError as error:
        raise _missing(path, error) from error
    if len(content) > MAXIMUM_MANIFEST_BYTES:
        raise _too_large(path, len(content), MAXIMUM_MANIFEST_BYTES)
    return content


def open_file(path: Path) -> BinaryIO:
    """Opens a file of a package for reading; waits for no other process.

    Raises:
        PackageInvalid: FILE_NOT_REGULAR: a pipe, a device or the like, which may never end.
        OSError: It cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise PackageInvalid(
            f"{path}: is no regular file, which is what a package may hold",
            reason="FILE_NOT_REGULAR",
            field="files",
        )
    return os.fdopen(descriptor, "rb")


def digest_of_file(path: Path) -> tuple[Digest, int]:
    """Digest and size of a file."""
    hasher, size = hashlib.sha256(), 0
    with open_file(path) as file:
        while piece := file.read(PIECE_BYTES):
            hasher.update(piece)
            size += len(piece)
    return "sha256:" + hasher.hexdigest(), size


def plain_name(name: str) -> bool:
    """Whether a name is that of a file in the folder itself."""
    return Path(name).name == name and name not in {".", "..", MANIFEST_FILE} and "\0" not in name


def _checked(folder: Path, name: str, stated: Digest) -> LocalFile:
    if not plain_name(name):
        raise PackageInvalid(
            f"{name!r}: a file of a package has a plain name, other than {MANIFEST_FILE}",
            reason="FILE_NAME_INVALID",
            field="files",
        )
    path = folder / name
    try:
        size = path.stat().st_size
        if size > MAXIMUM_FILE_BYTES:
            raise _too_large(path, size, MAXIMUM_FILE_BYTES)
        seen, size = digest_of_file(path)
    except OSError as error:
        raise _missing(path, error) from error
    if seen != stated:
        raise PackageInvalid(
            f"{path}: digest is {seen}, the manifest says {stated}; pack it again",
            reason="DIGEST_MISMATCH",
            field=f"files.{name}",
        )
    return LocalFile(name, path, size, stated)


def _missing(path: Path, error: OSError) -> PackageInvalid:
    return PackageInvalid(
        f"{path}: cannot be read: {error.strerror}", reason="FILE_MISSING", field="files"
    )


def _too_large(path: Path, size: int, limit: int) -> PackageInvalid:
    return PackageInvalid(
        f"{path}: {size} bytes or more, at most {limit} are allowed",
        reason="FILE_TOO_LARGE",
        field="files",
    )
