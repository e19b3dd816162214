"""What a publisher says of a version before its files come, and whether that can be so: pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from voiceflow.artifact import Digest, Manifest, digest_of
from voiceflow.catalog.gates import PUBLISHING_GATES, Gate
from voiceflow.catalog.names import UploadName, VersionName
from voiceflow.catalog.values import Signature
from voiceflow.catalog.versions import DeclaredFile, VersionFile
from voiceflow.errors import InvalidInput, PackageInvalid, TooLarge
from voiceflow.package import MANIFEST_FILE, MAXIMUM_FILE_BYTES, REQUIRED_FILES, SIGNATURE_FILE

MAXIMUM_MANIFEST_BYTES: Final = 1 << 20
MAXIMUM_SIGNATURE_BYTES: Final = 64 << 10
MAXIMUM_FILES: Final = 100

_FILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class PublishLimits:
    """What a version may be, and how it is taken in.

    Attributes:
        file_bytes: Of one file.
        version_bytes: Of all files of a version.
        part_bytes: An upload holds less than this and a chunk in memory, whatever its files; what
            reaches it is kept as a part.
        upload_seconds: After so long an upload that nobody goes on with is given up.
        gates: That every version must pass.
        validating: Versions in these gates at once in this process; others wait.
        wait_seconds: For at most so long.
    """

    file_bytes: int = MAXIMUM_FILE_BYTES
    version_bytes: int = 2 * MAXIMUM_FILE_BYTES
    part_bytes: int = 8 << 20
    upload_seconds: float = 24 * 3600.0
    gates: tuple[Gate, ...] = PUBLISHING_GATES
    validating: int = 2
    wait_seconds: float = 120.0


@dataclass(frozen=True, slots=True)
class Submission:
    """A version as its publisher states it.

    Attributes:
        name: The version.
        manifest: The bytes of its `manifest.json`.
        signature: The publisher's, over these.
        files: In the manifest's order.
    """

    name: VersionName
    manifest: bytes
    signature: Signature | None
    files: tuple[VersionFile, ...]

    @property
    def manifest_digest(self) -> Digest:
        """Digest of the manifest's bytes."""
        return digest_of(self.manifest)

    @property
    def upload(self) -> UploadName:
        """Name under which what came is kept."""
        return UploadName(self.name, self.manifest_digest.removeprefix("sha256:"))


def read_submission(
    name: VersionName,
    manifest: bytes,
    signature: Signature | None,
    declared: Sequence[DeclaredFile],
    limits: PublishLimits,
) -> Submission:
    """Checks all that can be checked before the first byte of a file.

    Raises:
        InvalidInput: MANIFEST_INVALID, FILE_UNKNOWN, FIELD_INVALID, FIELD_REQUIRED.
        TooLarge: SIZE_LIMIT.
    """
    parsed = _read(name, manifest)
    if signature is not None and len(signature.content) > MAXIMUM_SIGNATURE_BYTES:
        raise InvalidInput(
            f"signature: {len(signature.content)} bytes; at most {MAXIMUM_SIGNATURE_BYTES} are "
            "allowed",
            reason="FIELD_INVALID",
            field="begin.signature.content",
        )
    sizes = _sizes_of(parsed, declared)
    for file, size_bytes in sizes.items():
        if size_bytes > limits.file_bytes:
            raise _too_large(file, size_bytes, limits.file_bytes)
    if sum(sizes.values()) > limits.version_bytes:
        raise _too_large("all files", sum(sizes.values()), limits.version_bytes)
    for file, stated in parsed.sizes.items():
        if sizes[file] != stated:
            raise InvalidInput(
                f"begin.files: {file} with {sizes[file]} bytes; the manifest states {stated}",
                reason="FIELD_INVALID",
                field="begin.files",
            )
    return Submission(
        name=name,
        manifest=manifest,
        signature=signature,
        files=tuple(
            VersionFile(file=file, size_bytes=sizes[file], digest=digest)
            for file, digest in parsed.files.items()
        ),
    )


def _read(name: VersionName, manifest: bytes) -> Manifest:
    """A manifest that is of this version, with files as they may be."""
    if not 1 <= len(manifest) <= MAXIMUM_MANIFEST_BYTES:
        raise _manifest_invalid(
            f"{len(manifest)} bytes; 1 to {MAXIMUM_MANIFEST_BYTES} are allowed", ""
        )
    try:
        parsed = Manifest.from_json(manifest)
    except PackageInvalid as error:
        raise InvalidInput(
            error.message, reason="MANIFEST_INVALID", field=f"begin.manifest.{error.field}"
        ) from error
    if parsed.resource_name != str(name):
        raise _manifest_invalid(f"it is of {parsed.resource_name}; begun was {name}", ".version")
    for required in REQUIRED_FILES:
        if required not in parsed.files:
            raise _manifest_invalid(
                f"files does not name {required}; required are {', '.join(REQUIRED_FILES)}",
                ".files",
            )
    for file in parsed.files:
        if not _FILE_NAME.fullmatch(file) or file in {MANIFEST_FILE, SIGNATURE_FILE}:
            raise _manifest_invalid(
                f"files: {file[:200]!r}; a file has a plain name of 1 to 128 of A-Z a-z 0-9 . _ - "
                f"that begins with a letter or digit, not {MANIFEST_FILE}, {SIGNATURE_FILE}",
                ".files",
            )
    if len(parsed.files) > MAXIMUM_FILES:
        raise _manifest_invalid(
            f"files: {len(parsed.files)}; at most {MAXIMUM_FILES} are allowed", ".files"
        )
    return parsed


def _sizes_of(manifest: Manifest, declared: Sequence[DeclaredFile]) -> Mapping[str, int]:
    sizes: dict[str, int] = {}
    for number, entry in enumerate(declared):
        field = f"begin.files[{number}]"
        if entry.file not in manifest.files:
            raise InvalidInput(
                f"{field}.file: {entry.file[:200]!r} is not in the manifest; it names "
                f"{', '.join(manifest.files)}",
                reason="FILE_UNKNOWN",
                field=f"{field}.file",
            )
        if entry.file in sizes or entry.size_bytes < 0:
            raise InvalidInput(
                f"{field}: {entry.file} with {entry.size_bytes} bytes; each file is stated once, "
                "with 0 or more bytes",
                reason="FIELD_INVALID",
                field=field,
            )
        sizes[entry.file] = entry.size_bytes
    missing = manifest.files.keys() - sizes.keys()
    if missing:
        raise InvalidInput(
            f"begin.files: no size of {', '.join(sorted(missing))}; state that of every file in "
            "the manifest",
            reason="FIELD_REQUIRED",
            field="begin.files",
        )
    return sizes


def _manifest_invalid(what: str, subfield: str) -> InvalidInput:
    return InvalidInput(
        f"manifest.json: {what}", reason="MANIFEST_INVALID", field=f"begin.manifest{subfield}"
    )


def _too_large(what: str, size_bytes: int, allowed_bytes: int) -> TooLarge:
    return TooLarge(
        f"{what}: {size_bytes} bytes; at most {allowed_bytes} are allowed",
        reason="SIZE_LIMIT",
        field="begin.files",
    )
