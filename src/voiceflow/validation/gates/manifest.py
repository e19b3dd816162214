"""Gate 1: the manifest, and whether the files are those that it states. No model is run."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from voiceflow.artifact import SAMPLE_RATE_HERTZ, Digest, Manifest
from voiceflow.catalog.gates import Figure, Finding
from voiceflow.catalog.names import VersionName
from voiceflow.contract import Contract, contracts
from voiceflow.difference import Described
from voiceflow.package import (
    MANIFEST_FILE,
    MAXIMUM_FILE_BYTES,
    REQUIRED_FILES,
    SIGNATURE_FILE,
)
from voiceflow.validation.findings import finding
from voiceflow.validation.gates import bump
from voiceflow.validation.values import Candidate, Earlier, GateOutcome

MAXIMUM_MANIFEST_BYTES: Final = 1024**2

_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class FileSeen:
    """A file of the candidate; None where there is none."""

    size_bytes: int | None
    digest: Digest | None


def manifest_gate(
    candidate: Candidate, earlier: Sequence[Earlier]
) -> tuple[GateOutcome, Manifest | None]:
    """Reads the manifest and checks the files against it.

    Returns:
        What was found, and the manifest if it can be read.
    """
    manifest, findings = read_manifest(candidate.manifest)
    if manifest is None:
        return GateOutcome(tuple(findings)), None
    findings += judge_fields(manifest)
    names = [name for name in manifest.files if _PLAIN_NAME.fullmatch(name)]
    seen = {name: _look(candidate.folder / name) for name in names}
    findings += judge_files(manifest, seen)
    name = VersionName(manifest.model, manifest.version)
    findings += bump.too_small(
        "manifest.bump-too-small", Described(name, manifest), earlier, tensors=False
    )
    total = sum(file.size_bytes or 0 for file in seen.values())
    return GateOutcome(tuple(findings), (Figure(name="files_bytes", value=total),)), manifest


def read_manifest(content: bytes) -> tuple[Manifest | None, list[Finding]]:
    """The manifest, or everything that its schema forbids."""
    if len(content) > MAXIMUM_MANIFEST_BYTES:
        return None, [
            finding(
                "manifest.too-large",
                MANIFEST_FILE,
                seen=f"{len(content)} bytes",
                allowed=f"{MAXIMUM_MANIFEST_BYTES} bytes",
                message="the manifest is too long: say less in it",
            )
        ]
    try:
        return Manifest.model_validate_json(content), []
    except ValidationError as error:
        return None, [
            finding(
                "manifest.schema",
                ".".join(str(part) for part in fault["loc"]) or MANIFEST_FILE,
                seen=_shown(fault["input"]),
                allowed=fault["msg"],
                message=f"{MANIFEST_FILE}: {fault['msg']}",
            )
            for fault in error.errors(include_url=False)
        ]


def judge_fields(manifest: Manifest) -> Iterator[Finding]:
    """What the contract says of the manifest's own fields."""
    known = contracts()
    if manifest.contract not in known:
        yield finding(
            "manifest.contract-unknown",
            "contract",
            seen=manifest.contract,
            allowed=", ".join(sorted(known)),
            message="name a contract that this release has",
        )
        return
    contract = known[manifest.contract]
    yield from _dimensions(manifest, contract)
    if contract.stateful and manifest.window_samples is not None:
        yield _field("window_samples", str(manifest.window_samples), "nothing", contract)
    if not contract.stateful and manifest.window_samples is None:
        yield _field("window_samples", "nothing", "samples of a window", contract)
    window = manifest.window_samples or 0
    if not contract.stateful and manifest.context_seconds * SAMPLE_RATE_HERTZ < window:
        least = f"at least its window, {window / SAMPLE_RATE_HERTZ:g} s"
        yield _field("context_seconds", f"{manifest.context_seconds:g} s", least, contract)
    if not contract.stateful and manifest.state_space is not None:
        yield _field("state_space", manifest.state_space, "nothing: it keeps no state", contract)


def judge_files(manifest: Manifest, seen: dict[str, FileSeen]) -> Iterator[Finding]:
    """Whether the files that are there are those that the manifest names."""
    for name in REQUIRED_FILES:
        if name not in manifest.files:
            yield finding(
                "manifest.file-missing",
                name,
                seen=f"files names {', '.join(manifest.files) or 'nothing'}",
                allowed=", ".join(REQUIRED_FILES),
                message=f"every package has {name}: add it, and its digest to files",
            )
    for name, stated in manifest.files.items():
        if name not in seen or name in {MANIFEST_FILE, SIGNATURE_FILE}:
            yield finding(
                "manifest.file-name",
                name,
                seen=repr(name),
                allowed="letters, digits, dot, hyphen, underscore; not "
                f"{MANIFEST_FILE}, {SIGNATURE_FILE}",
                message="give the file a plain name",
            )
            continue
        yield from _judge_file(name, stated, manifest.sizes.get(name), seen[name])


def _judge_file(
    name: str, stated: Digest, size_bytes: int | None, file: FileSeen
) -> Iterator[Finding]:
    if file.size_bytes is None:
        yield finding(
            "manifest.file-missing",
            name,
            seen="no such file",
            allowed="every file that the manifest names",
            message=f"{name} is named in the manifest and is not there: add it",
        )
    elif file.size_bytes > MAXIMUM_FILE_BYTES:
        yield finding(
            "manifest.file-too-large",
            name,
            seen=f"{file.size_bytes} bytes",
            allowed=f"{MAXIMUM_FILE_BYTES} bytes",
            message="make the file smaller",
        )
    elif size_bytes is not None and file.size_bytes != size_bytes:
        yield finding(
            "manifest.file-size",
            name,
            seen=f"{file.size_bytes} bytes",
            allowed=f"{size_bytes} bytes",
            message=f"{name} is not the file that the manifest states: pack again",
        )
    elif file.digest != stated:
        yield finding(
            "manifest.file-digest",
            name,
            seen=str(file.digest),
            allowed=stated,
            message=f"{name} is not the file that the manifest states: pack again",
        )


def _dimensions(manifest: Manifest, contract: Contract) -> Iterator[Finding]:
    for dimension in contract.dims.values():
        if dimension.from_manifest is None:
            continue
        value = getattr(manifest, dimension.from_manifest)
        low, high = dimension.minimum, dimension.maximum
        if value is not None and (
            (low is not None and value < low) or (high is not None and value > high)
        ):
            allowed = f"{low} or more" if high is None else f"{low} to {high}"
            yield _field(dimension.from_manifest, str(value), allowed, contract)


def _field(field: str, seen: str, allowed: str, contract: Contract) -> Finding:
    return finding(
        "manifest.contract-field",
        field,
        seen=seen,
        allowed=allowed,
        message=f"{field} is {seen}; {contract.identifier} wants {allowed}",
    )


def _look(path: Path) -> FileSeen:
    try:
        if not path.is_file():
            return FileSeen(None, None)
        size = path.stat().st_size
        if size > MAXIMUM_FILE_BYTES:
            return FileSeen(size, None)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return FileSeen(None, None)
    return FileSeen(size, f"sha256:{digest}")


def _shown(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else repr(value)
