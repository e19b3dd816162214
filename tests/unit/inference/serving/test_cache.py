"""What is in use, and the two newest versions besides, stay on the disk; nothing else does."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from voiceflow.artifact import digest_of
from voiceflow.catalog.channels import VersionPin
from voiceflow.package import MANIFEST_FILE
from voiceflow_inference.serving.cache import LEFT_SECONDS, Cache


def pin(version: str, content: str = "") -> VersionPin:
    """A version, and other bytes under its name for every content."""
    digest = digest_of((version + content).encode())
    return VersionPin(version=f"models/tones/versions/{version}", manifest_digest=digest)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    """One process's."""
    made = Cache(tmp_path)
    yield made
    made.close()


def put(cache: Cache, what: VersionPin, *, age: float) -> Path:
    """Puts a version there, as a download did so long ago."""
    folder = cache.folder(what)
    folder.mkdir(parents=True)
    (folder / MANIFEST_FILE).write_text(what.version)
    touched(folder, age)
    return folder


def touched(folder: Path, age: float) -> None:
    """Makes it look as old as that."""
    for path in (*folder.iterdir(), folder):
        os.utime(path, (time.time() - age,) * 2)


def held(cache: Cache, model: str = "tones") -> set[str]:
    """The versions that are there."""
    folder = cache.folder(pin("1.0.0")).parent.parent / model
    return {path.name.rpartition("-")[0] for path in folder.iterdir() if path.name[0] != "."}


def test_the_two_newest_stay_besides_those_in_use(cache: Cache) -> None:
    """Newest is what was fetched or used last, whatever its number."""
    for age, version in enumerate(("1.0.0", "9.0.0", "2.0.0", "8.0.0", "3.0.0"), 1):
        put(cache, pin(version), age=100.0 * age)
    cache.keep([pin("3.0.0")])
    assert held(cache) == {"3.0.0", "1.0.0", "9.0.0"}


def test_other_bytes_under_one_name_are_another_version(cache: Cache) -> None:
    """Of another registry, or one that was set back."""
    for age, content in enumerate("abcd", 1):
        put(cache, pin("1.0.0", content), age=100.0 * age)
    cache.keep([pin("1.0.0", "d")])
    folders = [cache.folder(pin("1.0.0", content)).exists() for content in "abcd"]
    assert folders == [True, True, False, True]


def test_other_models_are_left_alone(cache: Cache, tmp_path: Path) -> None:
    """Whoever serves those sees to them."""
    for number in range(4):
        (tmp_path / "other" / f"{number}.0.0-abc").mkdir(parents=True)
    put(cache, pin("1.0.0"), age=1.0)
    cache.keep([pin("1.0.0")])
    assert len(held(cache, "other")) == 4


def test_a_version_that_was_used_again_is_the_newest(cache: Cache) -> None:
    """As one that was gone back to."""
    for age, version in enumerate(("1.0.0", "2.0.0", "3.0.0", "4.0.0"), 1):
        put(cache, pin(version), age=100.0 * age)
    assert cache.use(pin("4.0.0"))
    cache.keep([pin("1.0.0")])
    cache.keep([pin("1.0.0")])
    assert held(cache) == {"1.0.0", "4.0.0", "2.0.0"}


def test_what_was_just_fetched_stays_until_it_is_used(cache: Cache) -> None:
    """However old it looks."""
    for age, version in enumerate(("1.0.0", "2.0.0", "3.0.0", "4.0.0"), 1):
        put(cache, pin(version), age=100.0 * age)
    assert cache.use(pin("4.0.0"))
    touched(cache.folder(pin("4.0.0")), 10_000.0)
    cache.keep([pin("1.0.0")])
    assert held(cache) == {"1.0.0", "2.0.0", "3.0.0", "4.0.0"}
    cache.keep([pin("1.0.0")])
    assert held(cache) == {"1.0.0", "2.0.0", "3.0.0"}


def test_no_process_removes_what_another_uses(cache: Cache, tmp_path: Path) -> None:
    """Until that has ended, or leaves it."""
    for age, version in enumerate(("1.0.0", "2.0.0", "3.0.0", "4.0.0"), 1):
        put(cache, pin(version), age=100.0 * age)
    other = Cache(tmp_path)
    assert other.use(pin("4.0.0"))
    touched(cache.folder(pin("4.0.0")), 400.0)
    cache.keep([pin("1.0.0")])
    assert "4.0.0" in held(cache)
    other.close()
    cache.keep([pin("1.0.0")])
    assert held(cache) == {"1.0.0", "2.0.0", "3.0.0"}


def test_a_version_that_another_process_has_removed_is_not_used(cache: Cache) -> None:
    """Nor one whose folder was replaced since: the new one is locked instead."""
    assert not cache.use(pin("1.0.0"))
    folder = put(cache, pin("1.0.0"), age=1.0)
    assert cache.use(pin("1.0.0"))
    folder.rename(folder.with_name(".gone"))
    assert not cache.use(pin("1.0.0"))
    put(cache, pin("1.0.0"), age=1.0)
    assert cache.use(pin("1.0.0"))
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(descriptor)


def left(cache: Cache, version: str, *, age: float) -> Path:
    """What a download that was cut has left."""
    folder = cache.folder(pin(version))
    partial = folder.with_name(f".{folder.name}.abc.partial")
    partial.mkdir(parents=True)
    (partial / "model.onnx").write_bytes(b"half")
    touched(partial, age)
    return partial


def test_what_a_download_left_is_gone_on_with_for_a_day(cache: Cache) -> None:
    """Then it is removed, but for one that somebody is at."""
    put(cache, pin("1.0.0"), age=1.0)
    young = left(cache, "2.0.0", age=LEFT_SECONDS - 60)
    old = left(cache, "3.0.0", age=LEFT_SECONDS + 60)
    busy = left(cache, "4.0.0", age=LEFT_SECONDS + 60)
    descriptor = os.open(busy, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        cache.keep([pin("1.0.0")])
    finally:
        os.close(descriptor)
    assert [path.exists() for path in (young, old, busy)] == [True, False, True]


def test_a_full_disk_gets_room_from_what_other_downloads_left(cache: Cache) -> None:
    """Not from the versions that are kept, nor from what is wanted itself."""
    put(cache, pin("1.0.0"), age=1.0)
    wanted, other = left(cache, "2.0.0", age=1.0), left(cache, "3.0.0", age=1.0)
    cache.make_room(pin("2.0.0"))
    assert [path.exists() for path in (wanted, other)] == [True, False]
    assert held(cache) == {"1.0.0"}


def test_what_is_no_package_is_removed_from_its_place(cache: Cache, tmp_path: Path) -> None:
    """A file, a folder of something else, a link; what that leads to stays."""
    folder = cache.folder(pin("1.0.0"))
    folder.parent.mkdir(parents=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "letters").write_text("dear")
    for make in (Path.touch, lambda path: path.symlink_to(elsewhere)):
        make(folder)
        cache.clear(pin("1.0.0"))
        assert not folder.is_symlink()
        assert not folder.exists()
    put(cache, pin("1.0.0"), age=1.0)
    cache.clear(pin("1.0.0"))
    assert folder.exists()
    assert (elsewhere / "letters").exists()
