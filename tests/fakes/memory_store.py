"""An object store in memory: for tests of what stands on the port."""

from __future__ import annotations

import bisect
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from voiceflow_registry.storage.keys import check_folder, check_key, check_prefix
from voiceflow_registry.storage.object_store import (
    ABSENT,
    ObjectInfo,
    ObjectMissing,
    PreconditionFailed,
    StoredObject,
)

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class _Held:
    content: bytes
    generation: int
    create_time: datetime


class MemoryStore:
    """Keeps the promises of `ObjectStore`, but for the one that anything outlives the process.

    Generations are unique in the whole store, and grow. Safe to use from many threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._objects: dict[str, _Held] = {}
        self._keys: list[str] = []
        self._generation = 0

    def put(self, key: str, content: bytes, *, if_generation: int) -> int:
        """See the port."""
        check_key(key)
        with self._lock:
            self._expect(key, if_generation)
            return self._keep(key, bytes(content))

    def put_stream(self, key: str, chunks: Iterable[bytes], *, size_bytes: int) -> int:
        """See the port; here it is kept in memory whole."""
        check_key(key)
        content = bytearray()
        for chunk in chunks:
            content += chunk
            if len(content) > size_bytes:
                break
        if len(content) != size_bytes:
            raise ValueError(f"{key}: {len(content)} bytes came, {size_bytes} were announced")
        return self.put(key, bytes(content), if_generation=ABSENT)

    def get(self, key: str) -> StoredObject:
        """See the port."""
        held = self._held(key)
        return StoredObject(held.content, held.generation)

    def get_stream(self, key: str, *, offset: int = 0) -> Iterator[bytes]:
        """See the port."""
        held = self._held(key)
        if not 0 <= offset <= len(held.content):
            raise ValueError(f"offset: {offset} is beyond the {len(held.content)} bytes of {key}")
        for start in range(offset, len(held.content), _CHUNK_BYTES):
            with self._lock:
                if self._objects.get(key) is not held:
                    raise ObjectMissing(f"{key} was removed or replaced while it was read")
            yield held.content[start : start + _CHUNK_BYTES]

    def info(self, key: str) -> ObjectInfo | None:
        """See the port."""
        check_key(key)
        with self._lock:
            return self._info(key) if key in self._objects else None

    def list(
        self, prefix: str, *, start_after: str = "", limit: int | None = None
    ) -> Iterator[ObjectInfo]:
        """See the port; the list is that of the moment when its first object is asked for."""
        check_prefix(prefix)
        with self._lock:
            first = bisect.bisect_right(self._keys, start_after) if start_after else 0
            keys = [key for key in self._keys[first:] if key.startswith(prefix)]
            infos = [self._info(key) for key in keys[:limit]]
        yield from infos

    def list_folders(self, prefix: str, *, start_after: str = "") -> Iterator[str]:
        """See the port."""
        check_folder(prefix)
        with self._lock:
            below = [key[len(prefix) :] for key in self._keys if key.startswith(prefix)]
        folders = {key.partition("/")[0] for key in below if "/" in key}
        yield from sorted(folder for folder in folders if folder > start_after)

    def delete(self, key: str, *, if_generation: int) -> bool:
        """See the port."""
        check_key(key)
        with self._lock:
            if key not in self._objects:
                return False
            self._expect(key, if_generation)
            del self._objects[key]
            self._keys.remove(key)
            return True

    def _held(self, key: str) -> _Held:
        check_key(key)
        with self._lock:
            try:
                return self._objects[key]
            except KeyError:
                raise ObjectMissing(f"there is no object {key}") from None

    def _info(self, key: str) -> ObjectInfo:
        held = self._objects[key]
        return ObjectInfo(key, len(held.content), held.generation, held.create_time)

    def _expect(self, key: str, if_generation: int) -> None:
        held = self._objects.get(key)
        found = held.generation if held else ABSENT
        if found != if_generation:
            raise PreconditionFailed(f"{key} has generation {found}, not {if_generation}")

    def _keep(self, key: str, content: bytes) -> int:
        if key not in self._objects:
            self._check_apart(key)
            bisect.insort(self._keys, key)
        self._generation += 1
        self._objects[key] = _Held(content, self._generation, datetime.now(UTC))
        return self._generation

    def _check_apart(self, key: str) -> None:
        parts = key.split("/")
        above = ("/".join(parts[:count]) for count in range(1, len(parts)))
        following = bisect.bisect_left(self._keys, f"{key}/")
        below = self._keys[following : following + 1]
        for other in [other for other in above if other in self._objects] + below:
            if other.startswith(f"{key}/") or key.startswith(f"{other}/"):
                raise ValueError(f"key: {key} and {other} cannot both be objects")
