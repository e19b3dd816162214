"""Requests: the same again is known, another payload under the same id is refused."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from tests.fakes.channels import BOB, Clock, publish, version_name
from tests.fakes.memory_store import MemoryStore
from voiceflow.catalog.versions import VersionState
from voiceflow.errors import InvalidInput
from voiceflow.identity.caller import Caller
from voiceflow_registry.requests import RequestIndex, request_of, same_request
from voiceflow_registry.versions.versions import Versions

ANNA, BERT = Caller("spiffe://test/anna"), Caller("spiffe://test/bert")
ID = "6f1c1f2e-0a55-4d0c-9a0e-0d3a6c6f9a01"


def test_a_request_is_the_same_only_with_caller_id_and_payload() -> None:
    """Without an id none is; the same id of two callers are two."""
    first = request_of(ANNA, "YankVersion", ID, {"a": 1, "b": "x"})
    assert same_request(first, request_of(ANNA, "YankVersion", ID, {"b": "x", "a": 1}))
    assert not same_request(first, request_of(BERT, "YankVersion", ID, {"a": 1, "b": "x"}))
    nameless = request_of(ANNA, "YankVersion", "", {"a": 1})
    assert not same_request(nameless, nameless)


@pytest.mark.parametrize(
    ("method", "payload"), [("YankVersion", {"a": 2}), ("DeleteVersion", {"a": 1})]
)
def test_an_id_with_another_payload_is_refused(method: str, payload: dict[str, object]) -> None:
    """Another method counts as another payload; with an index and without."""
    first = request_of(ANNA, "YankVersion", ID, {"a": 1})
    other = request_of(ANNA, method, ID, payload)
    with pytest.raises(InvalidInput) as caught:
        same_request(other, first)
    assert (caught.value.reason, caught.value.field) == ("REQUEST_ID_REUSED", "request_id")
    index = RequestIndex(MemoryStore())
    index.note(first, "yanks/a")
    with pytest.raises(InvalidInput) as caught:
        index.find(other)
    assert caught.value.reason == "REQUEST_ID_REUSED"
    with pytest.raises(InvalidInput) as caught:
        index.note(other, "yanks/b")
    assert caught.value.reason == "REQUEST_ID_REUSED"


@pytest.mark.parametrize("request_id", ["x", "1", "../../versions/a", "\0", "é" * 36])
def test_an_id_that_is_no_uuid_is_refused(request_id: str) -> None:
    """It never reaches a key."""
    with pytest.raises(InvalidInput) as caught:
        request_of(ANNA, "YankVersion", request_id, {})
    assert (caught.value.reason, caught.value.field) == ("FIELD_INVALID", "request_id")


def test_an_id_may_be_written_in_any_way_a_uuid_may() -> None:
    """Capitals, braces and URN are the same id in the index."""
    index = RequestIndex(MemoryStore())
    index.note(request_of(ANNA, "YankVersion", ID, {}), "yanks/a")
    for text in (ID.upper(), f"{{{ID}}}", uuid.UUID(ID).urn):
        found = request_of(ANNA, "YankVersion", text, {})
        assert index.find(found) == "yanks/a"


def test_the_index_remembers_what_was_noted_first() -> None:
    """For each caller its own; nothing without an id."""
    store = MemoryStore()
    index = RequestIndex(store)
    request = request_of(ANNA, "ValidateVersion", ID, {})
    assert index.find(request) is None
    assert index.note(request, "reports/a") == "reports/a"
    assert index.note(request, "reports/b") == "reports/a"
    assert index.find(request) == "reports/a"
    assert index.find(request_of(BERT, "ValidateVersion", ID, {})) is None
    nameless = request_of(ANNA, "ValidateVersion", "", {})
    assert index.note(nameless, "reports/c") == "reports/c"
    assert index.find(nameless) is None
    assert len(list(store.list("requests/"))) == 1


class Overtaken(MemoryStore):
    """Does something else right before the first entry of the index is written."""

    def __init__(self, act: Callable[[], object]) -> None:
        super().__init__()
        self.act = act

    def put(self, key: str, content: bytes, *, if_generation: int) -> int:
        """See the port."""
        if key.startswith("requests/"):
            act, self.act = self.act, lambda: None
            act()
        return super().put(key, content, if_generation=if_generation)


def test_of_two_yanks_with_one_id_at_once_one_is_carried_out() -> None:
    """The second is refused, and its version is as it was."""

    def yank(version: str) -> None:
        Versions(store, Clock()).yank(
            BOB, version_name(version), reason="bad", request_id=ID, validate_only=False
        )

    store = Overtaken(lambda: yank("1.1.0"))
    publish(store, "1.0.0")
    publish(store, "1.1.0")
    with pytest.raises(InvalidInput) as caught:
        yank("1.0.0")
    assert caught.value.reason == "REQUEST_ID_REUSED"
    versions = Versions(store, Clock())
    assert versions.state(version_name("1.0.0")) is VersionState.PUBLISHED
    assert versions.state(version_name("1.1.0")) is VersionState.YANKED
