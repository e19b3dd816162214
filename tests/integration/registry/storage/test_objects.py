"""What goes in comes out: whole objects, streams, sizes, keys; for every kind of store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.integration.registry.storage.conditions import refused
from tests.integration.registry.storage.places import Place
from voiceflow_registry.storage.object_store import ABSENT, ObjectMissing, ObjectStore
from voiceflow_registry.storage.uploads import PIECE_BYTES

_MIB = 1 << 20


def content_of(size_bytes: int) -> bytes:
    """Bytes in which no two megabytes are alike."""
    pieces = (bytes([piece % 251]) * (64 << 10) for piece in range(size_bytes // (64 << 10) + 1))
    return b"".join(pieces)[:size_bytes]


def test_an_object_is_read_as_it_was_written(place: Place) -> None:
    """Content, size and generation agree between put, get, info and list, also when it is empty."""
    store = place.open()
    for key, content in (("a/b", b"\x00\xff" * 700), ("a/empty", b"")):
        generation = store.put(key, content, if_generation=ABSENT)
        read = place.open().get(key)
        assert (read.content, read.generation) == (content, generation)
        info = store.info(key)
        assert info is not None
        assert (info.key, info.size_bytes, info.generation) == (key, len(content), generation)
        assert list(store.list(key)) == [info]
        assert abs(datetime.now(UTC) - info.create_time) < timedelta(hours=1)


def test_what_is_missing_is_said_to_be(place: Place) -> None:
    """A key without an object is missing to get and get_stream, None to info, False to delete."""
    store = place.open()
    store.put("a/b", b"", if_generation=ABSENT)
    for key in ("a", "a/c", "b", "b/c", "a/b/c"):
        with pytest.raises(ObjectMissing):
            store.get(key)
        with pytest.raises(ObjectMissing):
            list(store.get_stream(key))
        assert store.info(key) is None
        assert not store.delete(key, if_generation=1)


@pytest.mark.parametrize(
    "size_bytes", [0, 1, _MIB, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES, 2 * PIECE_BYTES + 77]
)
def test_a_stream_is_read_as_it_was_written(place: Place, size_bytes: int) -> None:
    """Whatever the sizes of chunks and object, a stream comes back from any offset on."""
    store = place.open()
    content = content_of(size_bytes)
    chunks = (content[start : start + 700_001] for start in range(0, size_bytes, 700_001))
    generation = store.put_stream("blobs/x", chunks, size_bytes=size_bytes)
    info = store.info("blobs/x")
    assert info is not None
    assert (info.generation, info.size_bytes) == (generation, size_bytes)
    for offset in {0, size_bytes // 2, max(size_bytes - 1, 0), size_bytes}:
        pieces = list(store.get_stream("blobs/x", offset=offset))
        assert b"".join(pieces) == content[offset:]
        assert all(0 < len(piece) <= _MIB for piece in pieces)
    for offset in (-1, size_bytes + 1):
        with pytest.raises(ValueError, match="offset"):
            list(store.get_stream("blobs/x", offset=offset))


def test_put_takes_what_is_larger_than_a_piece(place: Place) -> None:
    """A whole object of more than one piece is written under its condition as well."""
    store = place.open()
    content = content_of(PIECE_BYTES + 5)
    generation = store.put("big", content, if_generation=ABSENT)
    assert refused(lambda: store.put("big", content, if_generation=ABSENT))
    store.put("big", content[::-1], if_generation=generation)
    assert store.get("big").content == content[::-1]


@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize("off_by", [-1, 1])
def test_a_stream_of_another_size_leaves_nothing(place: Place, pieces: int, off_by: int) -> None:
    """More or fewer bytes than announced are a ValueError, and no object."""
    store = place.open()
    content = content_of(pieces * 3 * _MIB)
    chunks = [content[start : start + _MIB] for start in range(0, len(content), _MIB)]
    with pytest.raises(ValueError, match="announced"):
        store.put_stream("blobs/x", chunks, size_bytes=len(content) + off_by)
    assert list(store.list("")) == []
    store.put_stream("blobs/x", chunks, size_bytes=len(content))


def test_a_stream_without_end_is_ended(place: Place) -> None:
    """No more is taken than was announced, but the piece that shows it."""
    taken = 0

    def chunks() -> Iterator[bytes]:
        nonlocal taken
        while taken < 1000:
            taken += 1
            yield b"x" * 100

    store = place.open()
    with pytest.raises(ValueError, match="announced"):
        store.put_stream("blobs/x", chunks(), size_bytes=1000)
    assert taken == 11


class _Left(Exception):
    """The publisher has left."""


@pytest.mark.parametrize(
    "error", [_Left(), OSError("the source cannot be read")], ids=["own", "os"]
)
def test_what_chunks_raise_is_raised_and_leaves_nothing(place: Place, error: Exception) -> None:
    """An iterator that fails midway makes no object, and its error comes through as it is."""

    def chunks() -> Iterator[bytes]:
        yield content_of(9 * _MIB)
        raise error

    store = place.open()
    with pytest.raises(type(error)) as raised:
        store.put_stream("blobs/x", chunks(), size_bytes=20 * _MIB)
    assert raised.value is error
    assert list(store.list("")) == []


_BAD_KEYS = [
    "",
    "/",
    "a/",
    "/a",
    "a//b",
    "../a",
    "a/../../b",
    ".",
    "a/./b",
    "a\0b",
    "a b",
    "a\\b",
    "é",
    "a%2e",
    "a\n",
    "a+b",
    "x" * 256,
    "/".join(["x" * 100] * 6),
]


@pytest.mark.parametrize("key", _BAD_KEYS)
def test_a_bad_key_is_refused_by_every_operation(place: Place, key: str) -> None:
    """What is no key is a ValueError before anything is done."""
    store = place.open()
    acts: list[Callable[[], object]] = [
        lambda: store.put(key, b"", if_generation=ABSENT),
        lambda: store.put_stream(key, [], size_bytes=0),
        lambda: store.get(key),
        lambda: list(store.get_stream(key)),
        lambda: store.info(key),
        lambda: store.delete(key, if_generation=1),
    ]
    for act in acts:
        with pytest.raises(ValueError, match="key"):
            act()
    assert list(store.list("")) == []


@pytest.mark.parametrize("prefix", ["/", "a//", "../", "a/../b", "a b", "\0", "x" * 513])
def test_a_bad_prefix_is_refused(place: Place, prefix: str) -> None:
    """What no key begins with is a ValueError."""
    store = place.open()
    with pytest.raises(ValueError, match="prefix"):
        list(store.list(prefix))
    with pytest.raises(ValueError, match="prefix"):
        list(store.list_folders(prefix))


def test_folders_are_listed_below_a_whole_folder_only(place: Place) -> None:
    """`list_folders` wants a prefix that ends with a slash, or none."""
    store = place.open()
    with pytest.raises(ValueError, match="slash"):
        list(store.list_folders("a"))


def test_long_keys_are_kept(place: Place) -> None:
    """The longest part and the longest key work."""
    store = place.open()
    for key in ("x" * 255, "/".join(["y" * 127] * 4 + ["z"])[-512:]):
        store.put(key, key.encode(), if_generation=ABSENT)
        assert store.get(key).content == key.encode()
        assert [info.key for info in store.list(key)] == [key]


def test_readers_see_whole_objects_only(place: Place) -> None:
    """While an object is being replaced, every read gives all of one generation."""
    store = place.open()
    generation = store.put("a", bytes([0]) * 50_000, if_generation=ABSENT)
    done = threading.Event()
    seen: list[tuple[int, bytes]] = []

    def read(reader: ObjectStore) -> None:
        while not done.is_set():
            found = reader.get("a")
            seen.append((found.generation, bytes(set(found.content))))

    threads = [threading.Thread(target=read, args=(place.open(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    written = {generation: bytes([0])}
    for value in range(1, 40):
        generation = store.put("a", bytes([value]) * 50_000, if_generation=generation)
        written[generation] = bytes([value])
    done.set()
    for thread in threads:
        thread.join()
    assert {written[generation] == values for generation, values in seen} <= {True}


def test_a_stream_is_of_one_generation(place: Place) -> None:
    """A stream begun before its object was replaced ends as it began, or says that it is gone."""
    store = place.open()
    old = b"o" * (3 * PIECE_BYTES)
    generation = store.put_stream("a", [old], size_bytes=len(old))
    stream = store.get_stream("a")
    pieces = [next(stream)]
    store.put("a", b"n" * len(old), if_generation=generation)
    try:
        pieces.extend(stream)
    except ObjectMissing:
        assert set(b"".join(pieces)) == {ord("o")}
    else:
        assert b"".join(pieces) == old
