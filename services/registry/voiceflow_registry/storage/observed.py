"""A store whose operations are measured, and seen in the trace of whoever asks for them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Final, Self, TypeVar

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from voiceflow.telemetry.metrics import STORAGE_DURATION, STORAGE_RETRIES
from voiceflow_registry.storage.object_store import (
    ObjectCorrupt,
    ObjectInfo,
    ObjectMissing,
    ObjectStore,
    PreconditionFailed,
    StoredObject,
    StoreUnavailable,
)

Item = TypeVar("Item")

_TRACER: Final = trace.get_tracer("voiceflow")

_OUTCOMES: Final[dict[type[BaseException], str]] = {
    ObjectMissing: "missing",
    PreconditionFailed: "precondition_failed",
    ObjectCorrupt: "corrupt",
    StoreUnavailable: "unavailable",
}
_DONE: Final = "done"
_ANSWERS: Final = frozenset({_DONE, "missing", "precondition_failed"})
"""Outcomes with which the store has done its work."""


class ObservedStore:
    """An `ObjectStore` that measures another one.

    Spans are made within a trace alone: what the registry reads by itself, once a second, has none.
    Of what comes in pieces, the time counts that the store takes, not what is done in between.

    Args:
        store: Does the work.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def put(self, key: str, content: bytes, *, if_generation: int) -> int:
        """See the port."""
        with _Operation("put", key) as operation, operation.at_work():
            return self._store.put(key, content, if_generation=if_generation)

    def put_stream(self, key: str, chunks: Iterable[bytes], *, size_bytes: int) -> int:
        """See the port."""
        with _Operation("put_stream", key) as operation, operation.at_work():
            return self._store.put_stream(key, chunks, size_bytes=size_bytes)

    def get(self, key: str) -> StoredObject:
        """See the port."""
        with _Operation("get", key) as operation, operation.at_work():
            return self._store.get(key)

    def get_stream(self, key: str, *, offset: int = 0) -> Iterator[bytes]:
        """See the port."""
        return _pieces("get_stream", key, self._store.get_stream(key, offset=offset))

    def info(self, key: str) -> ObjectInfo | None:
        """See the port."""
        with _Operation("info", key) as operation, operation.at_work():
            return self._store.info(key)

    def list(
        self, prefix: str, *, start_after: str = "", limit: int | None = None
    ) -> Iterator[ObjectInfo]:
        """See the port."""
        found = self._store.list(prefix, start_after=start_after, limit=limit)
        return _pieces("list", prefix, found)

    def list_folders(self, prefix: str, *, start_after: str = "") -> Iterator[str]:
        """See the port."""
        found = self._store.list_folders(prefix, start_after=start_after)
        return _pieces("list_folders", prefix, found)

    def delete(self, key: str, *, if_generation: int) -> bool:
        """See the port."""
        with _Operation("delete", key) as operation, operation.at_work():
            return self._store.delete(key, if_generation=if_generation)


def retried(error: Exception) -> None:
    """An adapter tells that it tries again; called where the operation runs.

    Args:
        error: Why the last try failed.
    """
    operation = _at_work.get()
    if operation is not None:
        operation.retried(error)


class _Operation:
    """One operation, from its begin to its end, in which the store works once or several times."""

    def __init__(self, name: str, key: str) -> None:
        self._name = name
        self._seconds = 0.0
        self._outcome = _DONE
        self._span: Span = trace.INVALID_SPAN
        if trace.get_current_span().is_recording():
            self._span = _TRACER.start_span(
                f"voiceflow.storage.{name}",
                kind=SpanKind.CLIENT,
                attributes={"voiceflow.storage.key": key},
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        STORAGE_DURATION.record(self._seconds, {"operation": self._name, "outcome": self._outcome})
        self._span.set_attribute("voiceflow.storage.outcome", self._outcome)
        if self._outcome not in _ANSWERS:
            self._span.set_status(Status(StatusCode.ERROR, self._outcome))
        self._span.end()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """The store works while the block runs."""
        token = _at_work.set(self)
        began = time.monotonic()
        try:
            yield
        except Exception as error:
            self._outcome = _OUTCOMES.get(type(error), "failed")
            raise
        finally:
            self._seconds += time.monotonic() - began
            _at_work.reset(token)

    def retried(self, error: Exception) -> None:
        STORAGE_RETRIES.add(1, {"operation": self._name})
        self._span.add_event("retry", {"error.type": type(error).__name__})


_at_work: Final[ContextVar[_Operation | None]] = ContextVar("at_work", default=None)


def _pieces(name: str, key: str, items: Iterator[Item]) -> Iterator[Item]:
    """The same items; the operation begins when the first one is asked for."""
    try:
        with _Operation(name, key) as operation:
            while True:
                with operation.at_work():
                    try:
                        item = next(items)
                    except StopIteration:
                        return
                yield item
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            close()
