"""What tests of deploy/ share."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.gcp_project import Project
from tests.deploy.queries import ROOT


@pytest.fixture(scope="session")
def settled_once(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project of Google Cloud that the scripts have set up; to be looked at only."""
    project = Project(tmp_path_factory.mktemp("settled"))
    project.settle()
    return project


@pytest.fixture
def settled(settled_once: Project, tmp_path: Path) -> Project:
    """A copy of it."""
    return settled_once.copied(tmp_path)


@pytest.fixture(scope="session")
def metrics() -> frozenset[str]:
    """The names of every instrument, as Prometheus has them."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.deploy.exposition"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return frozenset(json.loads(ended.stdout))
