"""Where the tests of the port keep objects: every kind of store, and how to make it fail."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol

import requests

from tests.fakes.gcs import FakeGcs, Fault, Trouble
from tests.fakes.memory_store import MemoryStore
from tests.fakes.storage import Crashed, FaultyStore
from tests.fakes.storage import Fault as StoreFault
from voiceflow_registry.storage.filesystem import FilesystemStore
from voiceflow_registry.storage.gcs import GcsStore
from voiceflow_registry.storage.object_store import ObjectStore
from voiceflow_registry.storage.observed import ObservedStore, retried

ENDPOINT_VARIABLE: Final = "VOICEFLOW_TEST_GCS_ENDPOINT"
"""Of another server to test against, such as googleapis/storage-testbench: http://host:port."""


class Place(Protocol):
    """A kind of store."""

    def open(self) -> ObjectStore:
        """A store on what is kept here, as another process would open it."""

    def fresh(self) -> Place:
        """An empty place of the same kind."""

    def troubled(self, number: int, kind: int) -> tuple[ObjectStore, Trigger]:
        """A store whose step `number` goes wrong while the trigger is held.

        Args:
            number: From 0, in what the store itself does one by one.
            kind: Any number; chooses what goes wrong.
        """


Trigger = contextlib.AbstractContextManager[None]


class MemoryPlace:
    """A store in memory."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self._store = store or MemoryStore()

    def open(self) -> ObjectStore:
        """See the protocol."""
        return self._store

    def fresh(self) -> MemoryPlace:
        """See the protocol."""
        return MemoryPlace()

    def troubled(self, number: int, kind: int) -> tuple[ObjectStore, Trigger]:
        """See the protocol; steps are operations."""
        fault = list(StoreFault)[kind % len(StoreFault)]
        return FaultyStore(self._store, {number + 1: fault}), contextlib.nullcontext()


class ObservedPlace(MemoryPlace):
    """The same, measured as the registry measures its store."""

    def open(self) -> ObjectStore:
        """See the protocol."""
        return ObservedStore(super().open())

    def fresh(self) -> ObservedPlace:
        """See the protocol."""
        return ObservedPlace()

    def troubled(self, number: int, kind: int) -> tuple[ObjectStore, Trigger]:
        """See the protocol."""
        store, trigger = super().troubled(number, kind)
        return ObservedStore(store), trigger


class FilesystemPlace:
    """A folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self) -> ObjectStore:
        """See the protocol."""
        return FilesystemStore(self.root)

    def fresh(self) -> FilesystemPlace:
        """See the protocol."""
        return FilesystemPlace(self.root.parent / uuid.uuid4().hex)

    def troubled(self, number: int, kind: int) -> tuple[ObjectStore, Trigger]:
        """See the protocol; steps are system calls."""
        trouble = [_full, _broken, _dead][kind % 3]
        return FilesystemStore(self.root), system_calls(number, trouble, after=kind % 2 == 1)


class GcsPlace:
    """A prefix of a bucket of some server."""

    def __init__(self, endpoint: str, bucket: str, fake: FakeGcs | None = None) -> None:
        self.endpoint = endpoint
        self.bucket = bucket
        self.prefix = uuid.uuid4().hex
        self.fake = fake
        self._stores: list[GcsStore] = []

    def open(self, *, timeout_seconds: float = 20.0, retry_seconds: float = 5.0) -> GcsStore:
        """See the protocol."""
        store = GcsStore(
            self.bucket,
            prefix=self.prefix,
            endpoint=self.endpoint,
            timeout_seconds=timeout_seconds,
            retry_seconds=retry_seconds,
            on_retry=retried,
        )
        self._stores.append(store)
        return store

    def fresh(self) -> GcsPlace:
        """See the protocol."""
        place = GcsPlace(self.endpoint, self.bucket, self.fake)
        place._stores = self._stores
        return place

    def troubled(self, number: int, kind: int) -> tuple[ObjectStore, Trigger]:
        """See the protocol; steps are requests. Another server does not fail at will."""
        trouble = [Trouble.LOSE_REPLY, Trouble.REFUSE, Trouble.CUT][kind % 3]
        # Fails once, which the store gets over, or so often that it gives up.
        times = 1 if kind % 2 else None
        store = self.open(retry_seconds=0.02) if times is None else self.open()
        return store, self._planned(Fault(trouble, times=times, skip=number))

    @contextlib.contextmanager
    def _planned(self, fault: Fault) -> Iterator[None]:
        if self.fake:
            self.fake.plan(fault)
        try:
            yield
        finally:
            if self.fake:
                self.fake.heal()

    def close(self) -> None:
        """Closes the stores that were opened."""
        for store in self._stores:
            store.close()


def external_place(endpoint: str) -> GcsPlace:
    """A place on another server, in a bucket of its own."""
    bucket = f"voiceflow-{uuid.uuid4().hex[:12]}"
    made = requests.post(f"{endpoint}/storage/v1/b?project=test", json={"name": bucket}, timeout=20)
    made.raise_for_status()
    return GcsPlace(endpoint, bucket)


def _full() -> None:
    raise OSError(28, "No space left on device")


def _broken() -> None:
    raise OSError(5, "Input/output error")


def _dead() -> None:
    raise Crashed


_CALLS: Final = (
    *(
        (os, name)
        for name in (
            "mkdir",
            "open",
            "write",
            "fsync",
            "utime",
            "link",
            "rename",
            "unlink",
            "rmdir",
            "pread",
        )
    ),
    (fcntl, "flock"),
)


@contextlib.contextmanager
def system_calls(number: int, trouble: Callable[[], None], *, after: bool) -> Iterator[None]:
    """Makes one of the system calls that change something, or read, go wrong.

    Args:
        number: Which, from 0.
        trouble: What happens.
        after: When it has been done, instead of before.
    """
    count = itertools.count()
    originals = [(module, name, getattr(module, name)) for module, name in _CALLS]

    def troubled(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if next(count) != number:
                return original(*arguments, **options)
            if after:
                original(*arguments, **options)
            return trouble()

        return call

    for module, name, original in originals:
        setattr(module, name, troubled(original))
    try:
        yield
    finally:
        for module, name, original in originals:
            setattr(module, name, original)
