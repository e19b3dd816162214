"""What tests of a running inference service share."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.service import Service, running_service
from tests.fakes.models import write_stream_package, write_window_package

_WITH_SERVERS = (
    "tests/deploy/",
    "tests/faults/",
    "tests/integration/",
    "tests/unit/cli/",
    "tests/unit/client/",
    "tests/unit/inference/",
    "tests/unit/rollout/",
    "tests/unit/rpc/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of servers and processes have a second try, which the summary tells of.

    They share their machine with others: one that stands still for seconds can break what no event
    can be waited for. And gRPC cancels a call whose connection is told to close meanwhile. What
    fails twice, fails.
    """
    for item in items:
        if item.nodeid.startswith(_WITH_SERVERS):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture
def heeds_interrupts() -> Iterator[None]:
    """A shell has what runs in its background ignore SIGINT, and so would what that starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


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
