"""Removes what nothing refers to and nobody goes on with, once it is older than a grace period.

Blobs of no version, reports on manifests of no version, uploads that were given up, reports of pods
long gone, holds whose place in a history is taken. Versions, histories, yanks, deletions, policies,
reverts and the index of requests are never removed. How removing is kept apart from publishing
stands in `voiceflow_registry.files.condemned`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby, islice
from typing import Final

from voiceflow.artifact import Manifest
from voiceflow.catalog.names import ChannelName, VersionName
from voiceflow.catalog.pods import CollectedObject, Collection
from voiceflow.catalog.versions import VersionState
from voiceflow.errors import InvalidInput
from voiceflow.identity.caller import Caller
from voiceflow_registry.files.condemned import Condemned
from voiceflow_registry.files.uploads import UPLOADS_PREFIX, begun_in, upload_of_key
from voiceflow_registry.records import (
    HOLDS_PREFIX,
    CondemnedObject,
    blob_key,
    held_by,
    history_key,
    report_prefix,
)
from voiceflow_registry.requests import request_of
from voiceflow_registry.storage.object_store import ObjectInfo, ObjectStore
from voiceflow_registry.versions.index import VersionIndex
from voiceflow_registry.versions.versions import Versions

DEFAULT_MAXIMUM_OBJECTS: Final = 1000
MOST_MAXIMUM_OBJECTS: Final = 10_000

_TRIES: Final = 3
_POD_IS_LONG_GONE_AFTER: Final = timedelta(hours=1)
_LONGEST_GRACE_SECONDS: Final = 100 * 365 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class _Spared:
    """What is referred to, or gone on with.

    Attributes:
        keys: Of blobs.
        folders: Below which reports and uploads are spared.
    """

    keys: frozenset[str]
    folders: frozenset[str]

    def has(self, key: str) -> bool:
        """Whether an object is spared, whatever its age."""
        folder = upload_of_key(key) if key.startswith(UPLOADS_PREFIX) else f"{_parent(key)}/"
        return key in self.keys or folder in self.folders


class Collector:
    """Collects garbage. Any number may run at once, beside publishers.

    Args:
        store: Where.
        versions: What is published in it.
        clock: Tells how old things are. It decides what is spared for its youth, never whether
            what is referred to stays.
        grace_seconds: What is younger is spared.
        upload_seconds: After so long without anything new an upload is given up.
    """

    def __init__(
        self,
        store: ObjectStore,
        versions: Versions,
        clock: Callable[[], datetime],
        grace_seconds: float,
        upload_seconds: float,
    ) -> None:
        self._store = store
        self._versions = versions
        self._clock = clock
        self._grace_seconds = grace_seconds
        self._upload_seconds = upload_seconds
        self._condemned = Condemned(store)

    def collect(
        self,
        caller: Caller,
        *,
        validate_only: bool,
        grace_seconds: float | None,
        maximum_objects: int,
        request_id: str = "",
    ) -> Collection:
        """Removes garbage, and what a collection that died has left undone.

        Args:
            caller: Who.
            validate_only: Tell what would be removed.
            grace_seconds: Spare what is younger; the registry's own grace holds at least.
            maximum_objects: At most so many; 0 means 1000, more than 10 000 means 10 000.
            request_id: Collecting again does no harm, so it is checked and not remembered.

        Raises:
            InvalidInput: FIELD_INVALID.
        """
        request_of(caller, "CollectGarbage", request_id, {})
        if maximum_objects < 0:
            raise _invalid("maximum_objects", str(maximum_objects))
        if grace_seconds is not None and not grace_seconds >= 0.0:
            raise _invalid("grace_period", f"{grace_seconds} seconds")
        limit = min(maximum_objects or DEFAULT_MAXIMUM_OBJECTS, MOST_MAXIMUM_OBJECTS)
        grace = max(self._grace_seconds, grace_seconds or 0.0)
        oldest = self._before(grace)
        if validate_only:
            found = self._find(oldest, limit + 1)
            return _collection(found[:limit], more=len(found) > limit)
        removed = list(islice(self._condemned.finish(), limit))
        for _ in range(_TRIES):
            found = self._find(oldest, limit + 1 - len(removed))
            if not found or len(removed) >= limit:
                return _collection(removed, more=bool(found))
            proposed = found[: limit - len(removed)]
            proposal = self._condemned.propose(proposed)
            spared = self._spared(oldest)  # read after the proposal stands
            decided = [item for item in proposed if not spared.has(item.key)]
            if self._condemned.decide(proposal, decided):
                removed += self._condemned.finish()
                return _collection(removed, more=len(found) > len(proposed))
        return _collection(removed, more=True)  # publishers need it; another call may find less

    def _before(self, seconds: float) -> datetime:
        return self._clock() - timedelta(seconds=min(seconds, _LONGEST_GRACE_SECONDS))

    def _find(self, oldest: datetime, limit: int) -> list[CondemnedObject]:
        return list(islice(self._garbage(oldest, self._spared(oldest)), limit))

    def _garbage(self, oldest: datetime, spared: _Spared) -> Iterator[CondemnedObject]:
        pods_oldest = min(oldest, self._clock() - _POD_IS_LONG_GONE_AFTER)
        kinds = (
            (UPLOADS_PREFIX, oldest),
            ("reports/", oldest),
            ("blobs/", oldest),
            ("pods/", pods_oldest),
        )
        for prefix, before in kinds:
            for info in self._store.list(prefix):
                if info.create_time <= before and not spared.has(info.key):
                    yield _condemned(info)
        for info in self._store.list(HOLDS_PREFIX):
            if info.create_time <= oldest and self._is_taken(*held_by(info.key)):
                yield _condemned(info)

    def _is_taken(self, channel: ChannelName, sequence: int) -> bool:
        return self._store.info(history_key(channel, sequence)) is not None

    def _spared(self, oldest: datetime) -> _Spared:
        """What is referred to. Uploads are read before the versions that they become."""
        given_up = min(oldest, self._before(self._upload_seconds))
        keys: set[str] = set()
        folders: set[str] = set()
        for upload, infos in groupby(
            self._store.list(UPLOADS_PREFIX), key=lambda info: upload_of_key(info.key)
        ):
            if any(info.create_time > given_up for info in infos):
                folders.add(upload)
                begun = begun_in(self._store, upload)
                if begun is not None:
                    keys |= set(map(blob_key, Manifest.from_json(begun.manifest).files.values()))
        for model in self._store.list_folders("versions/"):
            index = VersionIndex.read(self._store, model)
            for version in index.versions:
                record = self._versions.record(VersionName(model, version))
                folders.add(report_prefix(record.manifest_digest))
                if index.state(version) is not VersionState.DELETED:
                    keys |= {blob_key(file.digest) for file in record.files}
        return _Spared(frozenset(keys), frozenset(folders))


def _parent(key: str) -> str:
    return key.rpartition("/")[0]


def _condemned(info: ObjectInfo) -> CondemnedObject:
    return CondemnedObject(
        key=info.key,
        generation=info.generation,
        size_bytes=info.size_bytes,
        create_time=info.create_time,
    )


def _collection(items: list[CondemnedObject], *, more: bool) -> Collection:
    return Collection(
        objects=tuple(
            CollectedObject(key=item.key, size_bytes=item.size_bytes, create_time=item.create_time)
            for item in items
        ),
        collected_bytes=sum(item.size_bytes for item in items),
        more=more,
    )


def _invalid(field: str, seen: str) -> InvalidInput:
    return InvalidInput(
        f"{field}: {seen}; allowed is 0 or more", reason="FIELD_INVALID", field=field
    )
