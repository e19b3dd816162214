"""An object store with faults at chosen operations: crashes, lost replies, refusals."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeVar

from voiceflow_registry.storage.object_store import (
    ObjectInfo,
    ObjectStore,
    StoredObject,
    StoreUnavailable,
)

Answer = TypeVar("Answer")


class Crashed(BaseException):
    """The process that uses the store has died here. Like a kill, `except Exception` misses it."""


class Fault(Enum):
    """What goes wrong with an operation."""

    CRASH_BEFORE = auto()
    """The process dies, nothing is done."""
    CRASH_AFTER = auto()
    """It is done, then the process dies."""
    LOSE_REPLY = auto()
    """It is done, but the caller is told StoreUnavailable. A stream of a read is cut after its
    first chunk."""
    REFUSE = auto()
    """Nothing is done, and the caller is told StoreUnavailable."""
    REPEAT = auto()
    """It is done, the reply is lost, and the adapter tries again: a create-only write that was
    committed then says PreconditionFailed. Operations that take or give streams are done once."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One use of the store, in the order of `FaultyStore.operations`."""

    method: str
    key: str


class FaultyStore:
    """Wraps a store; its operation n (from 1, of any kind, each listing being one) goes wrong.

        for n in itertools.count(1):
            store = FaultyStore(inner, {n: Fault.CRASH_AFTER})
            try:
                act(store)
            except Crashed:
                ...  # look at `inner`, act again
            if len(store.operations) < n:
                break

    After a crash every further operation says Crashed, as a dead process does nothing more.

    Args:
        store: Any store.
        faults: By operation.
        when: A fault for an operation chosen by what it does: None for no fault. Asked only if
            `faults` has none for it.
    """

    def __init__(
        self,
        store: ObjectStore,
        faults: Mapping[int, Fault] | None = None,
        *,
        when: Callable[[Operation], Fault | None] = lambda _: None,
    ) -> None:
        self._store = store
        self._faults = dict(faults or {})
        self._when = when
        self._lock = threading.Lock()
        self._crashed = False
        self.operations: list[Operation] = []

    def put(self, key: str, content: bytes, *, if_generation: int) -> int:
        """See the port."""
        return self._do(
            "put", key, lambda: self._store.put(key, content, if_generation=if_generation)
        )

    def put_stream(self, key: str, chunks: Iterable[bytes], *, size_bytes: int) -> int:
        """See the port."""
        return self._do(
            "put_stream",
            key,
            lambda: self._store.put_stream(key, chunks, size_bytes=size_bytes),
            repeatable=False,
        )

    def get(self, key: str) -> StoredObject:
        """See the port."""
        return self._do("get", key, lambda: self._store.get(key))

    def get_stream(self, key: str, *, offset: int = 0) -> Iterator[bytes]:
        """See the port."""
        return self._stream("get_stream", key, lambda: self._store.get_stream(key, offset=offset))

    def info(self, key: str) -> ObjectInfo | None:
        """See the port."""
        return self._do("info", key, lambda: self._store.info(key))

    def list(
        self, prefix: str, *, start_after: str = "", limit: int | None = None
    ) -> Iterator[ObjectInfo]:
        """See the port."""
        return self._stream(
            "list", prefix, lambda: self._store.list(prefix, start_after=start_after, limit=limit)
        )

    def list_folders(self, prefix: str, *, start_after: str = "") -> Iterator[str]:
        """See the port."""
        return self._stream(
            "list_folders",
            prefix,
            lambda: self._store.list_folders(prefix, start_after=start_after),
        )

    def delete(self, key: str, *, if_generation: int) -> bool:
        """See the port."""
        return self._do("delete", key, lambda: self._store.delete(key, if_generation=if_generation))

    def _do(
        self, method: str, key: str, act: Callable[[], Answer], *, repeatable: bool = True
    ) -> Answer:
        fault = self._before(Operation(method, key))
        answer = act()
        if fault is Fault.REPEAT and repeatable:
            answer = act()
        if fault is Fault.LOSE_REPLY:
            raise StoreUnavailable(f"the reply to {method} {key} was lost")
        self._after(fault)
        return answer

    def _stream(
        self, method: str, key: str, act: Callable[[], Iterator[Answer]]
    ) -> Iterator[Answer]:
        fault = self._before(Operation(method, key))
        for count, item in enumerate(act()):
            if count == 1 and fault is Fault.LOSE_REPLY:
                break
            yield item
        if fault is Fault.LOSE_REPLY:
            raise StoreUnavailable(f"the reply to {method} {key} was cut")
        self._after(fault)

    def _before(self, operation: Operation) -> Fault | None:
        with self._lock:
            if self._crashed:
                raise Crashed(f"dead since operation {len(self.operations)}")
            self.operations.append(operation)
            fault = self._faults.get(len(self.operations)) or self._when(operation)
            if fault is Fault.CRASH_BEFORE:
                self._crashed = True
                raise Crashed(f"before {operation}")
        if fault is Fault.REFUSE:
            raise StoreUnavailable(f"{operation} was refused")
        return fault

    def _after(self, fault: Fault | None) -> None:
        if fault is Fault.CRASH_AFTER:
            with self._lock:
                self._crashed = True
            raise Crashed(f"after {self.operations[-1]}")
