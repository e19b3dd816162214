"""What the tests of attacks share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.simulated_registry import (
    Pod,
    SimulatedRegistry,
    serving,
)
from tests.faults.attacks.world import NEW, OLD, World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """An honest registry, and a pod that is one promotion behind."""
    simulated = SimulatedRegistry()
    simulated.promote(OLD)
    async with serving(simulated) as address:
        (tmp_path / "warm").mkdir()
        warm = Pod(tmp_path / "warm", address)
        assert await warm.start() == OLD
        simulated.promote(NEW)
        yield World(simulated, address, warm, tmp_path)
