"""Reads a model package from a folder: nothing in it is believed before its digest fits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from voiceflow.artifact import Manifest, digest_of
from voiceflow.errors import PackageInvalid

MANIFEST_FILE = "manifest.json"
MODEL_FILE = "model.onnx"
GOLDEN_FILE = "golden.npz"
CARD_FILE = "README.md"
REQUIRED_FILES = (MODEL_FILE, GOLDEN_FILE, CARD_FILE)

MAXIMUM_FILE_BYTES = 2 * 1024**3


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


def load_package(folder: Path) -> ModelPackage:
    """Reads and verifies a package.

    Args:
        folder: Holds `manifest.json` and the files that it names, without subfolders.

    Raises:
        PackageInvalid: If a file is missing, too large, or has another digest than stated.
    """
    manifest = Manifest.from_json(_read(folder, MANIFEST_FILE))
    for name in REQUIRED_FILES:
        if name not in manifest.files:
            raise PackageInvalid(
                f"manifest.json: files does not name {name}; required are "
                + ", ".join(REQUIRED_FILES),
                reason="FILE_MISSING",
                field="files",
            )
    files = {}
    for name, stated in manifest.files.items():
        content = _read(folder, name)
        seen = digest_of(content)
        if seen != stated:
            raise PackageInvalid(
                f"{name}: digest is {seen}, the manifest says {stated}",
                reason="DIGEST_MISMATCH",
                field=f"files.{name}",
            )
        files[name] = content
    return ModelPackage(manifest, files)


def _read(folder: Path, name: str) -> bytes:
    if Path(name).name != name or name in {".", ".."}:
        raise PackageInvalid(
            f"{name!r}: a file of a package has a plain name",
            reason="FILE_NAME_INVALID",
            field="files",
        )
    path = folder / name
    try:
        size = path.stat().st_size
        if size > MAXIMUM_FILE_BYTES:
            raise PackageInvalid(
                f"{name}: {size} bytes, at most {MAXIMUM_FILE_BYTES} are allowed",
                reason="FILE_TOO_LARGE",
                field=f"files.{name}",
            )
        return path.read_bytes()
    except OSError as error:
        raise PackageInvalid(
            f"{path}: cannot be read: {error.strerror}", reason="FILE_MISSING", field="files"
        ) from error
