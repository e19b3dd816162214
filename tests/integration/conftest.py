"""What tests share that meet a service as a client does: one for each contract."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from benchmarks.streams import loaded_service
from tests.fakes.service import running
from voiceflow.bench.live import Server
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow.pipeline.model import BoundModel


@pytest.fixture(scope="module", params=["stream", "window"])
def model(request: pytest.FixtureRequest) -> BoundModel:
    """The small model of either contract."""
    package: Path = request.getfixturevalue(f"{request.param}_package")
    return bind(load_package(package))


@pytest.fixture(scope="session")
def open_server(stream_package: Path) -> Iterator[Server]:
    """A process that serves the tiny streaming model to all who come, however late it is."""
    with loaded_service(stream_package, 1000) as server:
        yield server


@pytest.fixture
async def address(model: BoundModel) -> AsyncIterator[str]:
    """Of a running service."""
    async with running(model) as (_, address):
        yield address
