"""Reads a model package from a folder: nothing in it is believed before its digest fits.

Where signatures are checked, no manifest is believed before its publisher's signature fits, which
stands beside it; then the manifest's digests and sizes vouch for the files.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from voiceflow.artifact import Digest, Manifest, digest_of
from voiceflow.catalog.values import Signature
from voiceflow.errors import PackageInvalid, Untrusted
from voiceflow.trust.envelopes import ENVELOPE_MEDIA_TYPE, MAXIMUM_ENVELOPE_BYTES

MANIFEST_FILE: Final = "manifest.json"
SIGNATURE_FILE: Final = "manifest.dsse.json"
"""The publisher's signature over the manifest's bytes; not among the files that these name."""
MODEL_FILE: Final = "model.onnx"
GOLDEN_FILE: Final = "golden.npz"
CARD_FILE: Final = "README.md"
REQUIRED_FILES: Final = (MODEL_FILE, GOLDEN_FILE, CARD_FILE)

MAXIMUM_FILE_BYTES: Final = 2 * 1024**3
MAXIMUM_MANIFEST_BYTES: Final = 1024 * 1024

CheckManifest = Callable[[bytes, Signature | None], None]
"""Refuses a manifest whose signature is missing or does not hold, as Untrusted."""


@dataclass(frozen=True, slots=True)
class ModelPackage:
    """A verified package.

    Attributes:
        manifest: What is said of the model.
        files: Content of each file that the manifest names.
    """

    manifest: Manifest
    files: dict[str, bytes]

    @property
    def model_bytes(self) -> bytes:
        """The ONNX graph."""
        return self.files[MODEL_FILE]


def load_package(
    folder: Path,
    *,
    manifest_digest: Digest | None = None,
    check_manifest: CheckManifest | None = None,
) -> ModelPackage:
    """Reads and verifies a package.

    Args:
        folder: Holds `manifest.json` and the files that it names, without subfolders.
        manifest_digest: That the manifest must have; None: any.
        check_manifest: Whom its signature must be of; None: it is not looked at.

    Raises:
        PackageInvalid: If a file is missing, too large, no regular file, or has another digest or
            size than stated.
        Untrusted: The manifest is not signed as it must be, or leaves sizes open.
    """
    content = read_manifest(folder)
    if manifest_digest not in {None, digest_of(content)}:
        raise _other(MANIFEST_FILE, f"digest is {digest_of(content)}, demanded {manifest_digest}")
    if check_manifest is not None:
        check_manifest(content, read_signature(folder))
    manifest = Manifest.from_json(content)
    if check_manifest is not None:
        check_sizes_stated(manifest)
    check_files_named(manifest)
    files = {}
    for name, stated in manifest.files.items():
        file = _read(folder, name, manifest.sizes.get(name))
        seen = digest_of(file)
        if seen != stated:
            raise _other(name, f"digest is {seen}, the manifest says {stated}")
        files[name] = file
    return ModelPackage(manifest, files)


def read_manifest(folder: Path) -> bytes:
    """The bytes of `manifest.json`.

    Raises:
        PackageInvalid: FILE_MISSING, FILE_TOO_LARGE, FILE_NOT_REGULAR.
    """
    path = folder / MANIFEST_FILE
    try:
        return _read_bounded(path, MAXIMUM_MANIFEST_BYTES)
    except OSError as error:
        raise file_missing(path, error) from error


def read_signature(folder: Path) -> Signature | None:
    """The publisher's signature beside the manifest, unchecked; None if there is none.

    Raises:
        PackageInvalid: FILE_MISSING (it cannot be read), FILE_TOO_LARGE, FILE_NOT_REGULAR.
    """
    path = folder / SIGNATURE_FILE
    try:
        content = _read_bounded(path, MAXIMUM_ENVELOPE_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise file_missing(path, error) from error
    return Signature(media_type=ENVELOPE_MEDIA_TYPE, content=content)


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


def size_of_file(path: Path) -> int:
    """Bytes of a file; raises as `open_file`."""
    with open_file(path) as file:
        return os.fstat(file.fileno()).st_size


def check_files_named(manifest: Manifest) -> None:
    """Refuses a manifest that does not name what every package has, or names no plain files.

    Raises:
        PackageInvalid: FILE_MISSING, FILE_NAME_INVALID.
    """
    missing = [name for name in REQUIRED_FILES if name not in manifest.files]
    if missing:
        raise PackageInvalid(
            f"manifest.json: files does not name {', '.join(missing)}; required are "
            + ", ".join(REQUIRED_FILES),
            reason="FILE_MISSING",
            field="files",
        )
    for name in manifest.files:
        if not plain_name(name):
            raise PackageInvalid(
                f"{name!r}: a file of a package has a plain name, other than {MANIFEST_FILE} and"
                f" {SIGNATURE_FILE}",
                reason="FILE_NAME_INVALID",
                field="files",
            )


def check_sizes_stated(manifest: Manifest) -> None:
    """Refuses a manifest that leaves open how much is to be read; the manifest is signed.

    Raises:
        Untrusted: SIZE_UNSIGNED.
    """
    if not manifest.sizes:
        raise Untrusted(
            f"{manifest.resource_name}: the signed manifest does not state the sizes of its files,"
            " without which nothing bounds what is read; pack and publish a version that does",
            reason="SIZE_UNSIGNED",
            field="sizes",
        )


def plain_name(name: str) -> bool:
    """Whether a manifest may name a file so: one in the folder itself, and not of the two."""
    return (
        Path(name).name == name
        and name not in {".", "..", MANIFEST_FILE, SIGNATURE_FILE}
        and "\0" not in name
    )


def file_missing(path: Path, error: OSError) -> PackageInvalid:
    """FILE_MISSING."""
    return PackageInvalid(
        f"{path}: cannot be read: {error.strerror}", reason="FILE_MISSING", field="files"
    )


def file_too_large(path: Path, limit: int) -> PackageInvalid:
    """FILE_TOO_LARGE."""
    return PackageInvalid(
        f"{path}: has more than the {limit} bytes that are allowed",
        reason="FILE_TOO_LARGE",
        field=f"files.{path.name}",
    )


def _read(folder: Path, name: str, stated_bytes: int | None) -> bytes:
    """A file of a package; of one that does not have the stated size, nothing is read."""
    path = folder / name
    try:
        with open_file(path) as file:
            size_bytes = os.fstat(file.fileno()).st_size
            if size_bytes > MAXIMUM_FILE_BYTES:
                raise file_too_large(path, MAXIMUM_FILE_BYTES)
            if stated_bytes not in {None, size_bytes}:
                raise _other(name, f"has {size_bytes} bytes, the manifest says {stated_bytes}")
            return file.read(size_bytes)
    except OSError as error:
        raise file_missing(path, error) from error


def _read_bounded(path: Path, limit: int) -> bytes:
    """All of a file; of one that is larger, nothing."""
    with open_file(path) as file:
        size_bytes = os.fstat(file.fileno()).st_size
        if size_bytes > limit:
            raise file_too_large(path, limit)
        return file.read(size_bytes)


def _other(name: str, seen: str) -> PackageInvalid:
    """It is not the file that it should be."""
    return PackageInvalid(f"{name}: {seen}", reason="DIGEST_MISMATCH", field=f"files.{name}")
