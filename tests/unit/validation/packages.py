"""Packages as candidates, earlier versions and baselines."""

from __future__ import annotations

import json
from pathlib import Path

from voiceflow.artifact import Manifest, digest_of
from voiceflow.catalog.names import VersionName
from voiceflow.difference import Described
from voiceflow.validation import Baseline, Candidate, Earlier


def candidate(folder: Path) -> Candidate:
    """A package as it is put through the gates."""
    return Candidate((folder / "manifest.json").read_bytes(), folder)


def manifest_of(folder: Path) -> Manifest:
    """What stands in a package."""
    return Manifest.from_json((folder / "manifest.json").read_bytes())


def earlier(folder: Path, **tensors: object) -> Earlier:
    """A package as a version that was published before."""
    manifest = manifest_of(folder)
    name = VersionName(manifest.model, manifest.version)
    return Earlier(Described(name, manifest, **tensors), lambda: folder)  # type: ignore[arg-type]


def baseline(folder: Path) -> Baseline:
    """A package as the version that a channel serves."""
    content = (folder / "manifest.json").read_bytes()
    return Baseline(manifest_of(folder).resource_name, content, folder)


def state(folder: Path, **fields: object) -> None:
    """Changes fields of a package's manifest, whatever they mean; ... takes a field out.

    Other files without their sizes have none.
    """
    if "files" in fields:
        fields.setdefault("sizes", ...)
    path = folder / "manifest.json"
    stated = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({name: value for name, value in stated.items() if value is not ...}))


def put(folder: Path, name: str, content: bytes) -> None:
    """Replaces a file of a package, and its digest and size in the manifest."""
    (folder / name).write_bytes(content)
    manifest = manifest_of(folder)
    state(
        folder,
        files=manifest.files | {name: digest_of(content)},
        sizes=manifest.sizes | {name: len(content)},
    )
