"""Lists are the keys in order of code points, from anywhere on: laws, for every kind of store."""

from __future__ import annotations

import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.registry.storage.places import Place
from voiceflow_registry.storage import gcs
from voiceflow_registry.storage.object_store import ABSENT, ObjectStore

# `-` and `.` come before the slash, everything else after it: where orders go wrong.
_PARTS = st.sampled_from(["a", "a-", "a.b", "a0", "aB", "-", "_"])
_KEYS = st.lists(_PARTS, min_size=1, max_size=3).map("/".join)
_PREFIXES = st.builds("".join, st.tuples(_KEYS, st.sampled_from(["", "/"]))) | st.just("")


def _apart(keys: set[str]) -> set[str]:
    """Those of which none is a folder of another."""
    return {key for key in keys if not any(other.startswith(f"{key}/") for other in keys)}


def _chosen(found: list[str], start: str | int | None) -> str:
    """Where to start: one of those that there are, something else, or the beginning."""
    if isinstance(start, int):
        return found[start % len(found)] if found else ""
    return start or ""


def _filled(store: ObjectStore, keys: set[str]) -> None:
    for key in keys:
        store.put(key, key.encode(), if_generation=ABSENT)


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    keys=st.sets(_KEYS, max_size=12).map(_apart),
    prefixes=st.lists(_PREFIXES, min_size=1, max_size=3),
    start=st.none() | _KEYS | st.integers(0, 11),
    limit=st.none() | st.integers(0, 5),
)
def test_a_list_is_the_sorted_keys_that_fit(
    place: Place, keys: set[str], prefixes: list[str], start: str | int | None, limit: int | None
) -> None:
    """Any prefix, any start, any limit: as if the keys were in one sorted array."""
    store = place.fresh().open()
    _filled(store, keys)
    start_after = _chosen(sorted(keys), start)
    for prefix in ["", *prefixes]:
        expected = sorted(key for key in keys if key.startswith(prefix) and key > start_after)
        listed = list(store.list(prefix, start_after=start_after, limit=limit))
        assert [info.key for info in listed] == expected[:limit]
        assert all(info.size_bytes == len(info.key) for info in listed)


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    keys=st.sets(_KEYS, max_size=12).map(_apart),
    folder=st.just("") | _KEYS.map(lambda key: f"{key}/"),
    start=st.none() | _PARTS | st.integers(0, 11),
)
def test_folders_are_the_sorted_next_parts(
    place: Place, keys: set[str], folder: str, start: str | int | None
) -> None:
    """Each part that keys go on with after a folder and before a slash, once, in order."""
    store = place.fresh().open()
    _filled(store, keys)
    for prefix in ("", folder):
        below = {key.removeprefix(prefix) for key in keys if key.startswith(prefix)}
        parts = {rest.partition("/")[0] for rest in below if "/" in rest}
        start_after = _chosen(sorted(parts), start)
        expected = sorted(part for part in parts if part > start_after)
        assert list(store.list_folders(prefix, start_after=start_after)) == expected


def test_a_list_of_many_pages_is_whole(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a list comes in pages, nothing is missed or repeated between them."""
    monkeypatch.setattr(gcs, "_PAGE", 3)
    store = place.open()
    keys = {f"m{number:02}/k-{part}" for number in range(10) for part in "ab"}
    _filled(store, keys)
    assert [info.key for info in store.list("")] == sorted(keys)
    assert [info.key for info in store.list("", limit=8)] == sorted(keys)[:8]
    assert list(store.list_folders("")) == [f"m{number:02}" for number in range(10)]


def test_what_was_removed_is_listed_no_more(place: Place) -> None:
    """Nor is a folder that held nothing else, and its name can be used as a key then."""
    store = place.open()
    generation = store.put("a/b/c", b"", if_generation=ABSENT)
    store.delete("a/b/c", if_generation=generation)
    assert list(store.list("")) == []
    assert list(store.list_folders("")) == []
    store.put("a", b"", if_generation=ABSENT)
    assert [info.key for info in store.list("")] == ["a"]


def test_listing_bears_writers(place: Place) -> None:
    """Objects that stay are listed, each once, however others come and go meanwhile."""
    store = place.open()
    stay = {f"stay/{number:02}" for number in range(10)}
    _filled(store, stay)
    done = threading.Event()

    def disturb(writer: ObjectStore) -> None:
        number = 0
        while not done.is_set():
            key = f"stay/x{number % 7}/y"
            generation = writer.put(key, b"", if_generation=ABSENT)
            writer.delete(key, if_generation=generation)
            number += 1

    thread = threading.Thread(target=disturb, args=(place.open(),))
    thread.start()
    try:
        for _ in range(30):
            listed = [info.key for info in store.list("stay/")]
            assert listed == sorted(set(listed))
            assert stay <= set(listed)
            assert set(store.list_folders("stay/")) <= {f"x{number}" for number in range(7)}
    finally:
        done.set()
        thread.join()
