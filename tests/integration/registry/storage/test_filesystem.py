"""What only a folder can do to its users, and what the filesystem store does about it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.integration.registry.storage.conditions import refused
from tests.integration.registry.storage.places import system_calls
from voiceflow_registry.storage.filesystem import FilesystemStore
from voiceflow_registry.storage.object_store import (
    ABSENT,
    ObjectCorrupt,
    ObjectStore,
    StoreUnavailable,
)

_KEY: Final = "versions/diarizer/1.0.0.json"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the store is."""
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> FilesystemStore:
    """An empty store."""
    return FilesystemStore(root)


def _put(store: ObjectStore) -> object:
    return store.put("new/object", b"content", if_generation=ABSENT)


def _put_stream(store: ObjectStore) -> object:
    return store.put_stream("new/object", [b"content"], size_bytes=7)


def _replace(store: ObjectStore) -> object:
    info = store.info(_KEY)
    return store.put(_KEY, b"content", if_generation=info.generation if info else ABSENT)


def _delete(store: ObjectStore) -> object:
    info = store.info(_KEY)
    return store.delete(_KEY, if_generation=info.generation if info else ABSENT)


def _get(store: ObjectStore) -> object:
    return store.get(_KEY)


def _get_stream(store: ObjectStore) -> object:
    return list(store.get_stream(_KEY))


def _list(store: ObjectStore) -> object:
    return list(store.list(""))


def _list_folders(store: ObjectStore) -> object:
    return list(store.list_folders(""))


_WRITES: Final = [_put, _put_stream, _replace, _delete]
_READS: Final = [_get, _get_stream, _list, _list_folders]


@pytest.mark.parametrize("act", _WRITES + _READS, ids=lambda act: act.__name__.strip("_"))
@pytest.mark.parametrize("number", [28, 13, 5], ids=["full", "forbidden", "broken"])
def test_what_the_disk_refuses_is_unavailable_and_never_half_done(
    root: Path, act: Callable[[ObjectStore], object], number: int
) -> None:
    """An error of any system call is StoreUnavailable with its cause; what is seen stays whole."""

    def refuse() -> None:
        raise OSError(number, os.strerror(number))

    FilesystemStore(root).put(_KEY, b"old" * 999, if_generation=ABSENT)
    call = unavailable = 0
    while True:
        store = FilesystemStore(root)
        failure: StoreUnavailable | None = None
        try:
            with system_calls(call, refuse, after=False):
                act(store)
        except StoreUnavailable as error:
            failure = error
        if failure is not None:
            assert isinstance(failure.__cause__, OSError)
            assert os.strerror(number) in str(failure)
            unavailable += 1
        elif call > 40:
            break
        call += 1
        contents = {info.key: store.get(info.key).content for info in store.list("")}
        assert contents.pop(_KEY, None) in {b"old" * 999, b"content", None}
        assert contents in ({}, {"new/object": b"content"})
        if act in {_put, _put_stream} and contents:
            generation = store.get("new/object").generation
            store.delete("new/object", if_generation=generation)
        if act is _delete and store.info(_KEY) is None:
            store.put(_KEY, b"old" * 999, if_generation=ABSENT)
    assert unavailable >= 3


def test_a_write_is_durable_before_it_is_told(
    store: FilesystemStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The content before it has a name, then the name and the folders that lead to it."""
    calls: list[str] = []

    def noted(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if name == "fsync":
                calls.append(f"fsync {_name(arguments[0])}")
            else:
                calls.append(name)
            return original(*arguments, **options)

        return call

    for name in ("fsync", "write", "link", "rename", "utime"):
        monkeypatch.setattr(os, name, noted(name, getattr(os, name)))
    generation = store.put(_KEY, b"first", if_generation=ABSENT)
    store.put(_KEY, b"second", if_generation=generation)
    for step in ("link", "rename"):
        at = calls.index(step)
        assert calls[at - 1].startswith("fsync ")
        assert calls.index("write") < at
        assert calls[at - 2] == "utime"
        assert calls[at + 1 : at + 4] == ["fsync diarizer", "fsync versions", "fsync objects"]
        del calls[: at + 4]
    assert calls == []


def test_who_loses_makes_durable_what_it_lost_to(
    store: FilesystemStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The winner may have died before it did; whoever is told of its object can rely on it."""
    store.put(_KEY, b"first", if_generation=ABSENT)
    synced: list[str] = []
    fsync = os.fsync

    def noted(file: int) -> None:
        synced.append(_name(file))
        fsync(file)

    monkeypatch.setattr(os, "fsync", noted)
    assert refused(lambda: store.put(_KEY, b"second", if_generation=ABSENT))
    assert synced == ["diarizer", "versions", "objects"]


def test_generations_grow_whatever_the_clock_says(
    store: FilesystemStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that stands still or goes back gives no generation twice, removals or not."""
    now = time.time_ns()
    generations = []
    generation = ABSENT
    for step in range(12):
        monkeypatch.setattr(time, "time_ns", lambda step=step: now - 10**12 * (step // 3))
        generation = store.put(_KEY, b"x", if_generation=generation)
        generations.append(generation)
        if step % 2:
            store.delete(_KEY, if_generation=generation)
            generation = ABSENT
    assert generations == sorted(set(generations))


def test_a_dead_writers_file_is_removed_at_the_next_start_and_a_living_ones_is_not(
    root: Path, store: FilesystemStore
) -> None:
    """Files in the making are never seen in lists, and go when their makers have gone."""
    making = root / "making"
    (making / "dead").write_bytes(b"half a model")

    def chunks() -> Any:
        yield b"half"
        assert len(list(making.iterdir())) == 2
        other = FilesystemStore(root)
        assert len(list(making.iterdir())) == 1
        assert list(other.list("")) == []
        yield b"half"

    store.put_stream(_KEY, chunks(), size_bytes=8)
    assert store.get(_KEY).content == b"halfhalf"
    assert list(making.iterdir()) == []


def test_a_store_that_has_gone_is_unavailable(root: Path, store: FilesystemStore) -> None:
    """A disk that is no longer mounted is not an empty store."""
    store.put(_KEY, b"x", if_generation=ABSENT)
    shutil.rmtree(root)
    root.mkdir()
    for act in _WRITES + _READS:
        with pytest.raises(StoreUnavailable):
            act(store)


def test_a_root_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    """A file in its way is told at the start."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreUnavailable, match="cannot be used"):
        FilesystemStore(tmp_path / "file" / "store")


@pytest.mark.parametrize("place", ["versions", "versions/diarizer", _KEY])
def test_symbolic_links_are_not_followed(root: Path, tmp_path: Path, place: str) -> None:
    """Neither out of the folder, nor past what a list would then leave out."""
    elsewhere = FilesystemStore(tmp_path / "elsewhere")
    elsewhere.put(_KEY, b"secret", if_generation=ABSENT)
    store = FilesystemStore(root)
    link = root / "objects" / place
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(tmp_path / "elsewhere" / "objects" / place)
    acts: list[Callable[[], object]] = [
        lambda: store.get(_KEY),
        lambda: store.info(_KEY),
        lambda: list(store.list("")),
        lambda: store.put(_KEY, b"x", if_generation=ABSENT),
        lambda: store.delete(_KEY, if_generation=1),
    ]
    for act in acts:
        with pytest.raises(StoreUnavailable, match="symbolic link"):
            act()
    assert elsewhere.get(_KEY).content == b"secret"


def test_a_folder_removed_under_a_writer_is_made_again(
    root: Path, store: FilesystemStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever removes the last object of a folder removes the folder, just then if need be."""
    utime = os.utime
    folder = root / "objects" / Path(_KEY).parent

    def removing(path: Any, *, ns: tuple[int, int]) -> None:
        utime(path, ns=ns)
        if removals:
            removals.pop()
            folder.rmdir()
            folder.parent.rmdir()

    removals = [1, 2, 3]
    monkeypatch.setattr(os, "utime", removing)
    store.put(_KEY, b"x", if_generation=ABSENT)
    assert removals == []
    assert store.get(_KEY).content == b"x"


def test_what_is_no_object_is_not_listed(root: Path, store: FilesystemStore) -> None:
    """Files whose names no key can have are none of ours; empty folders are no folders."""
    store.put("a/b", b"", if_generation=ABSENT)
    (root / "objects" / "a" / "b~").write_bytes(b"")
    (root / "objects" / "lost+found").mkdir()
    (root / "objects" / "empty" / "er").mkdir(parents=True)
    assert [info.key for info in store.list("")] == ["a/b"]
    assert list(store.list_folders("")) == ["a"]


@pytest.mark.parametrize("key", ["versions", "versions/diarizer", f"{_KEY}/more"])
def test_an_object_is_not_a_folder_too(store: FilesystemStore, key: str) -> None:
    """A key above or below an object's is refused."""
    store.put(_KEY, b"x", if_generation=ABSENT)
    with pytest.raises(ValueError, match="key"):
        store.put(key, b"", if_generation=ABSENT)
    assert [info.key for info in store.list("")] == [_KEY]


def test_a_file_cut_while_it_is_read_is_corrupt(root: Path, store: FilesystemStore) -> None:
    """Fewer bytes than the file had when it was opened are not passed off as all."""
    content = bytes(3 << 20)
    store.put_stream(_KEY, [content], size_bytes=len(content))
    stream = store.get_stream(_KEY)
    next(stream)
    path = root / "objects" / _KEY
    path.chmod(0o600)
    os.truncate(path, 2 << 20)
    with pytest.raises(ObjectCorrupt, match="ends after"):
        list(stream)


def test_stored_files_cannot_be_written_by_accident(root: Path, store: FilesystemStore) -> None:
    """Nothing that is stored is changed in place, and the file's mode says so."""
    store.put(_KEY, b"x", if_generation=ABSENT)
    assert (root / "objects" / _KEY).stat().st_mode & 0o222 == 0


def test_a_filesystem_without_nanoseconds_is_refused(
    store: FilesystemStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where two writes could look alike, none is made."""
    utime = os.utime

    def coarse(path: Any, *, ns: tuple[int, int]) -> None:
        utime(path, ns=(ns[0] // 10**9 * 10**9, ns[1] // 10**9 * 10**9))

    monkeypatch.setattr(os, "utime", coarse)
    with pytest.raises(StoreUnavailable, match="nanoseconds"):
        store.put(_KEY, b"x", if_generation=ABSENT)
    assert store.info(_KEY) is None


def _name(file: int) -> str:
    return Path(f"/proc/self/fd/{file}").readlink().name
