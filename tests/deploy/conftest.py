"""What tests of deploy/ share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deploy.gcp_project import Project


@pytest.fixture(scope="session")
def settled_once(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project of Google Cloud that the scripts have set up; to be looked at only."""
    project = Project(tmp_path_factory.mktemp("settled"))
    project.settle()
    return project


@pytest.fixture
def settled(settled_once: Project, tmp_path: Path) -> Project:
    """A copy of it."""
    project = Project(tmp_path)
    project.set(**settled_once.state)
    return project
