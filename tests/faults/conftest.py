"""Where faults happen: a service, and somebody else who is being served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.service import Service
from tests.fakes.models import Spoken, tones
from tests.fakes.service import pcm16
from tests.faults.place import Place, untroubled


@pytest.fixture(scope="session")
def conversation() -> bytes:
    """Two voices, a pause, an overlap: 20 s of PCM16 at 16 kHz."""
    return pcm16(
        tones(
            Spoken((3,), 4.0),
            Spoken((), 0.6),
            Spoken((9,), 4.0),
            Spoken((9, 3), 1.4),
            Spoken((3,), 5.0),
            Spoken((), 0.5),
            Spoken((12,), 4.5),
        )
    )


@pytest.fixture
def place(service: Service, stream_package: Path, conversation: bytes) -> Iterator[Place]:
    """The service with default limits that tests share."""
    with untroubled(service):
        yield Place(service, stream_package, conversation)
