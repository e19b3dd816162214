"""Packages whose golden outputs are other than their model's, with digests that fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.fakes.models import FloatArray
from voiceflow.artifact import digest_of


def with_golden(package: Path, change: Callable[[dict[str, FloatArray]], None]) -> Path:
    """Changes the golden vectors of a package in their place; returns the package.

    Args:
        package: Its folder.
        change: Is given the arrays by name, `noise/audio` and others.
    """
    path = package / "golden.npz"
    golden = dict(np.load(path))
    change(golden)
    np.savez(path, allow_pickle=False, **golden)
    content = path.read_bytes()
    manifest = json.loads((package / "manifest.json").read_text())
    manifest["files"][path.name] = digest_of(content)
    manifest["sizes"][path.name] = len(content)
    (package / "manifest.json").write_text(json.dumps(manifest))
    return package


def broken(package: Path) -> Path:
    """It does not do what it says."""

    def louder(golden: dict[str, FloatArray]) -> None:
        golden["noise/speech"] = 1 - golden["noise/speech"]

    return with_golden(package, louder)
