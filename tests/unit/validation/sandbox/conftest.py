"""What tests of the sandbox share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from voiceflow.validation.sandbox import Sandbox

HOSTILE = "tests.fakes.hostile"


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """All the layers that this machine has, and probes that do what they must not."""
    with Sandbox(floor=frozenset(), probes=HOSTILE) as sandbox:
        yield sandbox
