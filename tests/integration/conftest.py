"""What tests share that meet a service as a client does: one for each contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.service import running
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow.pipeline.model import BoundModel


@pytest.fixture(scope="module", params=["stream", "window"])
def model(request: pytest.FixtureRequest) -> BoundModel:
    """The small model of either contract."""
    package: Path = request.getfixturevalue(f"{request.param}_package")
    return bind(load_package(package))


@pytest.fixture
async def address(model: BoundModel) -> AsyncIterator[str]:
    """Of a running service."""
    async with running(model) as (_, address):
        yield address
