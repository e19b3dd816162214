"""What a figure must carry: machine, commit, model digest, number of runs; and where it goes."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.paths import ROOT
from voiceflow.package import MODEL_FILE, ModelPackage


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where figures come from."""

    machine: str
    commit: str
    model: str
    model_digest: str
    runs: int
    at: str

    def __str__(self) -> str:
        return (
            f"{self.model} ({self.model_digest[:19]}…), commit {self.commit}, {self.machine}, "
            f"{self.runs} run{'s' if self.runs != 1 else ''}, {self.at}"
        )


def provenance(package: ModelPackage, runs: int) -> Provenance:
    """Of figures measured here and now with a model."""
    return Provenance(
        _machine(),
        _commit(),
        package.manifest.resource_name,
        package.manifest.files[MODEL_FILE],
        runs,
        datetime.now(UTC).date().isoformat(),
    )


def write_report(path: Path, report: Mapping[str, Any], table: str) -> None:
    """Writes figures as JSON, and their table beside it with the suffix `.md`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    path.with_suffix(".md").write_text(table + "\n", "utf-8")


def _machine() -> str:
    name = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        names = [line for line in info.read_text("utf-8").splitlines() if "model name" in line]
        name = names[0].partition(":")[2].strip() if names else name
    return (
        f"{name}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    )


def _commit() -> str:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603

    changed = git(
        "status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/results"
    )
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + ("+changes" if changed else "")
