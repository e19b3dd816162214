"""What tests of a running inference service share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.service import Service, running_service
from tests.fakes.models import write_stream_package, write_window_package


@pytest.fixture(scope="session")
def stream_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model of contract diarization-stream/1.0."""
    return write_stream_package(tmp_path_factory.mktemp("models") / "stream")


@pytest.fixture(scope="session")
def window_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model of contract diarization-window/1.0."""
    return write_window_package(tmp_path_factory.mktemp("models") / "window")


@pytest.fixture(scope="session")
def service(stream_package: Path) -> Iterator[Service]:
    """A process that serves the tiny streaming model, with room for many and patience."""
    room = {"streams": 1000, "streams_per_principal": 1000, "files_per_principal": 8}
    with running_service(stream_package, idle_seconds=600, **room) as service:
        yield service
