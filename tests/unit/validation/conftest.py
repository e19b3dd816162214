"""What tests of the gates share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.validation.here import Here
from voiceflow.validation.sandbox import Sandbox


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """The real one, with the layers that the registry demands."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def here() -> Here:
    """Probes in this process: quick, for what gates measure and judge."""
    return Here()
