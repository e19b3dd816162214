"""Reads all records below a prefix, again and again, without reading what has not changed."""

from __future__ import annotations

import threading
from typing import Generic

from voiceflow_registry.records import Record, decode
from voiceflow_registry.storage.object_store import ObjectInfo, ObjectMissing, ObjectStore


class Listing(Generic[Record]):
    """Records of one kind. What was read is kept as long as its generation is listed.

    Args:
        store: Holds them.
        kind: Their type.
    """

    def __init__(self, store: ObjectStore, kind: type[Record]) -> None:
        self._store = store
        self._kind = kind
        self._lock = threading.Lock()
        self._kept: dict[str, dict[str, tuple[int, Record]]] = {}

    def read(self, prefix: str) -> list[tuple[ObjectInfo, Record]]:
        """All records whose key begins so, in order of key.

        Raises:
            StoreUnavailable: The store does not answer.
            ContentCorrupt: A record is not as it was stored.
        """
        with self._lock:
            kept = self._kept.get(prefix, {})
        found: list[tuple[ObjectInfo, Record]] = []
        for info in self._store.list(prefix):
            generation, record = kept.get(info.key, (None, None))
            if record is None or generation != info.generation:
                try:
                    record = decode(self._kind, self._store.get(info.key).content, info.key)
                except ObjectMissing:  # removed since it was listed
                    continue
            found.append((info, record))
        with self._lock:
            self._kept[prefix] = {info.key: (info.generation, record) for info, record in found}
        return found
