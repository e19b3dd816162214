"""A package on this machine, read in memory that does not grow with it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from voiceflow.artifact import Digest, Manifest, digest_of
from voiceflow.catalog.values import Signature
from voiceflow.errors import PackageInvalid
from voiceflow.package import (
    MAXIMUM_FILE_BYTES,
    check_files_named,
    file_missing,
    file_too_large,
    open_file,
    read_manifest,
    read_signature,
    size_of_file,
)

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
        signature: The publisher's over `content`, as it lies beside it; unchecked.
    """

    folder: Path
    content: bytes
    manifest: Manifest
    files: tuple[LocalFile, ...]
    signature: Signature | None = None

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
        PackageInvalid: A file is missing, too large, no regular file, or has another digest or size
            than stated.
    """
    content = read_manifest(folder)
    manifest = Manifest.from_json(content)
    check_files_named(manifest)
    files = tuple(_checked(folder, name, manifest) for name in manifest.files)
    return LocalPackage(folder, content, manifest, files, read_signature(folder))


def digest_of_file(path: Path) -> tuple[Digest, int]:
    """Digest and size of a file."""
    hasher, size = hashlib.sha256(), 0
    with open_file(path) as file:
        while piece := file.read(PIECE_BYTES):
            hasher.update(piece)
            size += len(piece)
    return "sha256:" + hasher.hexdigest(), size


def _checked(folder: Path, name: str, manifest: Manifest) -> LocalFile:
    path, stated = folder / name, manifest.files[name]
    try:
        size = size_of_file(path)
        if size > MAXIMUM_FILE_BYTES:
            raise file_too_large(path, MAXIMUM_FILE_BYTES)
        if size != manifest.sizes.get(name, size):
            raise _other(path, f"it has {size} bytes, the manifest says {manifest.sizes[name]}")
        seen, size = digest_of_file(path)
    except OSError as error:
        raise file_missing(path, error) from error
    if seen != stated:
        raise _other(path, f"digest is {seen}, the manifest says {stated}")
    return LocalFile(name, path, size, stated)


def _other(path: Path, seen: str) -> PackageInvalid:
    """It is not the file that the manifest states."""
    return PackageInvalid(
        f"{path}: {seen}; pack it again",
        reason="DIGEST_MISMATCH",
        field=f"files.{path.name}",
    )
