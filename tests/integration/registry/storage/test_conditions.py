"""The one condition that everything stands on; and that these tests would notice its absence."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from tests.fakes.gcs import serving
from tests.fakes.gcs_bucket import Bucket
from tests.fakes.memory_store import MemoryStore
from tests.integration.registry.storage.conditions import KEY_CHECKS
from tests.integration.registry.storage.places import (
    FilesystemPlace,
    GcsPlace,
    MemoryPlace,
    Place,
)
from voiceflow_registry.storage.filesystem import FilesystemStore
from voiceflow_registry.storage.object_store import ObjectStore

Check = Callable[[Place], None]


@pytest.mark.parametrize("check", KEY_CHECKS, ids=lambda check: check.__name__)
def test_a_store_keeps_the_condition(check: Check, place: Place) -> None:
    """Each check holds for each kind of store."""
    check(place)


@pytest.mark.parametrize("check", KEY_CHECKS, ids=lambda check: check.__name__)
def test_a_store_without_the_condition_is_found_out(check: Check, careless: Place) -> None:
    """Each check fails for a store that writes whatever the condition says."""
    with pytest.raises(AssertionError):
        check(careless)


class _CarelessMemory(MemoryStore):
    def _expect(self, key: str, if_generation: int) -> None:
        """Lets everything pass."""


class _CarelessFilesystem(FilesystemStore):
    def put(self, key: str, content: bytes, *, if_generation: int) -> int:
        del if_generation
        path = self._objects / key
        path.parent.mkdir(parents=True, exist_ok=True)
        made = self._making / uuid.uuid4().hex
        made.write_bytes(content)
        made.replace(path)
        return path.stat().st_mtime_ns

    def put_stream(self, key: str, chunks: Iterable[bytes], *, size_bytes: int) -> int:
        del size_bytes
        return self.put(key, b"".join(chunks), if_generation=0)


class _CarelessPlace(FilesystemPlace):
    def open(self) -> ObjectStore:
        return _CarelessFilesystem(self.root)


class _CarelessBucket(Bucket):
    def expect(self, name: str, condition: int | None) -> None:
        """Lets everything pass, as some emulators do."""


@pytest.fixture(params=["memory", "filesystem", "gcs"])
def careless(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Places whose stores, or whose server, ignore the condition."""
    if request.param == "memory":
        yield MemoryPlace(_CarelessMemory())
    elif request.param == "filesystem":
        yield _CarelessPlace(tmp_path / "store")
    else:
        with serving() as fake:
            fake.buckets["models"] = _CarelessBucket("models")
            place = GcsPlace(fake.endpoint, "models", fake)
            yield place
            place.close()
