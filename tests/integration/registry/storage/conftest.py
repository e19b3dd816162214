"""Every kind of store, for the tests that all of them must pass."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.fakes.gcs import FakeGcs, serving
from tests.integration.registry.storage.places import (
    ENDPOINT_VARIABLE,
    FilesystemPlace,
    GcsPlace,
    MemoryPlace,
    ObservedPlace,
    Place,
    external_place,
)

_BUCKET: Final = "models"
_KINDS: Final = [
    *("memory", "observed", "filesystem", "gcs"),
    *["external"] * (ENDPOINT_VARIABLE in os.environ),
]


@pytest.fixture(params=_KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty place of each kind."""
    if request.param == "memory":
        yield MemoryPlace()
    elif request.param == "observed":
        yield ObservedPlace()
    elif request.param == "filesystem":
        yield FilesystemPlace(tmp_path / "store")
    elif request.param == "gcs":
        yield request.getfixturevalue("gcs")
    else:
        external = external_place(os.environ[ENDPOINT_VARIABLE])
        yield external
        external.close()


@pytest.fixture
def fake() -> Iterator[FakeGcs]:
    """A server of its own for each test; in the end, nothing was asked that should not be."""
    with serving() as fake:
        fake.add_bucket(_BUCKET)
        yield fake
    assert fake.refused == []
    unconditional = [
        seen
        for seen in fake.seen
        if seen.operation in {"insert", "begin", "delete"} and "ifGenerationMatch" not in seen.query
    ]
    assert unconditional == []


@pytest.fixture
def gcs(fake: FakeGcs) -> Iterator[GcsPlace]:
    """An empty place in the bucket of the fake server."""
    place = GcsPlace(fake.endpoint, _BUCKET, fake)
    yield place
    place.close()
