"""What is told of operations on a store, and that they are as they were."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest
from opentelemetry import trace

from tests.fakes.memory_store import MemoryStore
from tests.fakes.metrics import histogram_count
from tests.fakes.spans import recorded
from voiceflow_registry.storage.object_store import (
    ABSENT,
    ObjectCorrupt,
    ObjectMissing,
    PreconditionFailed,
    StoreError,
    StoreUnavailable,
)
from voiceflow_registry.storage.observed import ObservedStore, retried

NAME = "voiceflow.storage.duration"


class Refusing(MemoryStore):
    """Raises what it is told to, and tells whether its streams were closed."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
        self.closed = False

    def info(self, key: str) -> None:
        """Raises."""
        del key
        raise self.error

    def get_stream(self, key: str, *, offset: int = 0) -> Iterator[bytes]:
        """One chunk, then the error; nobody but who reads it closes it."""
        del key, offset
        self.stream = self._chunks()
        return self.stream

    def _chunks(self) -> Iterator[bytes]:
        try:
            yield b"chunk"
            raise self.error
        finally:
            self.closed = True


@pytest.mark.parametrize(
    ("error", "outcome", "status"),
    [
        (ObjectMissing("no"), "missing", "UNSET"),
        (PreconditionFailed("no"), "precondition_failed", "UNSET"),
        (ObjectCorrupt("no"), "corrupt", "ERROR"),
        (StoreUnavailable("no"), "unavailable", "ERROR"),
        (ValueError("no"), "failed", "ERROR"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_each_end_of_an_operation_has_its_outcome(
    error: Exception, outcome: str, status: str
) -> None:
    """A missing object is an answer; a store that is away is a fault; both are raised as before."""
    before = histogram_count(NAME, operation="info", outcome=outcome)
    with recorded() as spans, trace.get_tracer("test").start_as_current_span("caller"):
        with pytest.raises(type(error)) as raised:
            ObservedStore(Refusing(error)).info("a/b")
        (span,) = spans.named("voiceflow.storage.info")
    assert raised.value is error
    assert histogram_count(NAME, operation="info", outcome=outcome) == before + 1
    assert span.attributes == {
        "voiceflow.storage.key": "a/b",
        "voiceflow.storage.outcome": outcome,
    }
    assert span.status.status_code.name == status


def test_a_stream_is_one_operation_and_is_closed_when_its_reader_leaves() -> None:
    """However many chunks were read, one value is recorded; what the store holds is given back."""
    inner = Refusing(StoreUnavailable("cut"))
    before = histogram_count(NAME, operation="get_stream", outcome="done")
    with recorded() as spans, trace.get_tracer("test").start_as_current_span("caller"):
        chunks = ObservedStore(inner).get_stream("a/b")
        assert not spans.begun[1:], "nothing is begun before the first chunk is asked for"
        assert next(chunks) == b"chunk"
        assert isinstance(chunks, Generator)
        chunks.close()
        assert len(spans.named("voiceflow.storage.get_stream")) == 1
    assert inner.closed
    assert histogram_count(NAME, operation="get_stream", outcome="done") == before + 1


def test_a_stream_that_is_cut_ends_as_what_cut_it() -> None:
    """The error is raised where the next chunk was asked for."""
    before = histogram_count(NAME, operation="get_stream", outcome="unavailable")
    chunks = ObservedStore(Refusing(StoreUnavailable("cut"))).get_stream("a/b")
    assert next(chunks) == b"chunk"
    with pytest.raises(StoreError):
        next(chunks)
    assert histogram_count(NAME, operation="get_stream", outcome="unavailable") == before + 1


def test_without_a_caller_nothing_is_traced_and_all_is_measured() -> None:
    """The registry looks at its channels once a second: that is no trace of anybody."""
    before = histogram_count(NAME, operation="put", outcome="done")
    with recorded() as spans:
        ObservedStore(MemoryStore()).put("a/b", b"", if_generation=ABSENT)
        assert spans.begun == []
    assert histogram_count(NAME, operation="put", outcome="done") == before + 1


def test_a_further_try_is_seen_in_the_span_of_its_operation() -> None:
    """With the kind of failure, and not what it says: that may name what is nobody's business."""

    class Retrying(MemoryStore):
        def put(self, key: str, content: bytes, *, if_generation: int) -> int:
            retried(ConnectionError("secret"))
            return super().put(key, content, if_generation=if_generation)

    with recorded() as spans, trace.get_tracer("test").start_as_current_span("caller"):
        ObservedStore(Retrying()).put("a/b", b"", if_generation=ABSENT)
        (span,) = spans.named("voiceflow.storage.put")
    (event,) = span.events
    assert (event.name, event.attributes) == ("retry", {"error.type": "ConnectionError"})
    retried(ConnectionError("outside of any operation: nothing happens"))
