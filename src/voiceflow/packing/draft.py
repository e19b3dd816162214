"""Reads what a publisher states of a model: fields of the manifest, in TOML, JSON or YAML."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from voiceflow.artifact import Manifest
from voiceflow.errors import PackageInvalid

Stated = Mapping[str, Any]
"""Fields of the manifest, by name; what is not there is not stated."""


def read_draft(path: Path) -> dict[str, Any]:
    """Reads a draft of a manifest.

    A manifest of an earlier version is a draft too.

    Args:
        path: Ends with `.toml`, `.json`, `.yaml` or `.yml`.

    Raises:
        PackageInvalid: DRAFT_INVALID: it cannot be read, is no table of fields, or states a field
            that manifests do not have.
    """
    stated = read_values(path)
    if not isinstance(stated, dict):
        raise _invalid(path, "is no table of fields")
    unknown = sorted(str(field) for field in stated if field not in Manifest.model_fields)
    if unknown:
        allowed = ", ".join(field for field in Manifest.model_fields if field not in _MADE)
        raise _invalid(path, f"states {', '.join(unknown)}; fields of a manifest are {allowed}")
    return stated


def read_values(path: Path) -> Any:
    """What stands in a TOML, JSON or YAML file.

    Raises:
        PackageInvalid: DRAFT_INVALID: it cannot be read.
    """
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise _invalid(path, f"ends with none of {', '.join(_READERS)}")
    try:
        return read(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _invalid(path, f"cannot be read: {error.strerror}") from error
    except (ValueError, yaml.YAMLError) as error:  # bad UTF-8, TOML and JSON are ValueErrors
        raise _invalid(path, f"cannot be read: {error}") from error


_MADE: Final = ("schema_version", "files", "sizes")
"""Fields that packing makes itself."""

_READERS: Final[Mapping[str, Callable[[str], Any]]] = {
    ".toml": tomllib.loads,
    ".json": json.loads,
    ".yaml": yaml.safe_load,
    ".yml": yaml.safe_load,
}


def _invalid(path: Path, what: str) -> PackageInvalid:
    return PackageInvalid(f"{path}: {what}", reason="DRAFT_INVALID", field="draft")
