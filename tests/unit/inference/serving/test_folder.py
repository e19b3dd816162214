"""Of what lies in a folder the highest version is wanted that is complete, as it comes and goes."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Self

import pytest
from watchdog.events import FileSystemEvent
from watchdog.observers.api import BaseObserver

from tests.fakes.publishing import Package, package
from tests.fakes.simulated_registry import NOW
from tests.fakes.trust import CHANNEL, publisher, signed_manifest, trust_root, trust_roots
from voiceflow.artifact import digest_of
from voiceflow.catalog.channels import RevertRules
from voiceflow.client.registry import open_package
from voiceflow.errors import NotFound, PackageInvalid, Untrusted, VoiceFlowError
from voiceflow.package import MANIFEST_FILE, SIGNATURE_FILE
from voiceflow.trust.offices import KeyStatus
from voiceflow_inference.serving import folder as folders
from voiceflow_inference.serving.alarms import Alarms
from voiceflow_inference.serving.folder import FolderSource
from voiceflow_inference.serving.state import Wanted
from voiceflow_inference.serving.state_file import StateFile
from voiceflow_inference.serving.trusting import TrustedChannel

RULES = RevertRules(minimum_streams=7)


@pytest.fixture(autouse=True)
def _looks_only_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that needs a look without being told says so."""
    monkeypatch.setattr(folders, "LOOK_SECONDS", 60.0)
    monkeypatch.setattr(folders, "CALM_SECONDS", 0.02)


def write(folder: Path, what: Package, *, signer: str | None = None) -> Path:
    """Puts a package there in one step, as `cp` to another name and `mv` do."""
    partial = folder.with_name(f".{folder.name}")
    partial.mkdir(parents=True)
    (partial / MANIFEST_FILE).write_bytes(what.manifest)
    for name, content in what.files.items():
        (partial / name).write_bytes(content)
    if signer is not None:
        signature = signed_manifest(what.manifest, signer)
        (partial / SIGNATURE_FILE).write_bytes(signature.content)
    return partial.rename(folder)


def drop(root: Path, version: str, **more: object) -> Path:
    """Drops a version into a folder."""
    return write(root / version, package(version, **more))  # type: ignore[arg-type]


class Following:
    """What a source wants, one after the other."""

    def __init__(self, source: FolderSource) -> None:
        self.source = source
        self.seen: list[Wanted] = []

    async def next(self) -> str:
        """The version that is wanted next; waits for it."""
        async with asyncio.timeout(30):
            self.seen.append(await anext(self._stream))
        return version_of(self.seen[-1])

    @asynccontextmanager
    async def expecting(self) -> AsyncIterator[asyncio.Task[str]]:
        """Waits for the next already when the block begins."""
        task = asyncio.create_task(self.next())
        await asyncio.sleep(0)
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def __aenter__(self) -> Self:
        self._stream = self.source.wanted()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stream.aclose()


def version_of(wanted: Wanted | None) -> str:
    """The primary's version."""
    assert wanted is not None
    return wanted.rollout.primary.version.rpartition("/")[2]


def following(root: Path, trusted: TrustedChannel | None = None, wait: float = 30.0) -> Following:
    """A source that is followed."""
    return Following(FolderSource(root, trusted, RULES, wait))


async def test_the_highest_version_is_wanted_as_they_come_and_go(tmp_path: Path) -> None:
    """By precedence, not by name or age; each change is told by the system."""
    drop(tmp_path, "9.0.0")
    async with following(tmp_path) as folder:
        assert await folder.next() == "9.0.0"
        for version, highest in (("10.0.0", "10.0.0"), ("2.0.0", "10.0.0"), ("10.0.1", "10.0.1")):
            async with folder.expecting() as wanted:
                drop(tmp_path, version)
                assert await wanted == highest
        async with folder.expecting() as wanted:
            shutil.rmtree(tmp_path / "10.0.1")
            assert await wanted == "10.0.0"
    assert [wanted.sequence for wanted in folder.seen] == [1, 2, 3, 4, 5]
    assert {wanted.rules for wanted in folder.seen} == {RULES}


async def test_a_prerelease_is_wanted_only_where_there_is_nothing_else(tmp_path: Path) -> None:
    """However high it is."""
    drop(tmp_path, "2.0.0-rc.1")
    drop(tmp_path, "2.0.0-rc.2")
    async with following(tmp_path) as folder:
        assert await folder.next() == "2.0.0-rc.2"
        async with folder.expecting() as wanted:
            drop(tmp_path, "1.0.0")
            assert await wanted == "1.0.0"


async def test_a_package_that_is_still_being_copied_waits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """File by file, and byte by byte, manifest first; until the last one it is not wanted."""
    caplog.set_level(logging.INFO)
    drop(tmp_path, "1.0.0")
    slow, what = tmp_path / "2.0.0", package("2.0.0", weights=b"w" * 1000)
    async with following(tmp_path) as folder:
        assert await folder.next() == "1.0.0"
        async with folder.expecting() as wanted:
            slow.mkdir()
            (slow / MANIFEST_FILE).write_bytes(what.manifest)
            for name, content in what.files.items():
                for half in (content[:3], content):
                    await looked(caplog, "may be on its way")
                    assert not wanted.done()
                    (slow / name).write_bytes(half)
                    caplog.clear()
            assert await wanted == "2.0.0"


async def looked(caplog: pytest.LogCaptureFixture, said: str) -> None:
    """Waits until something was said of what is in the folder."""
    async with asyncio.timeout(30):
        while said not in caplog.text:  # noqa: ASYNC110 - looked at by turns
            await asyncio.sleep(0.005)


def flipped(folder: Path) -> None:
    """One bit of a file, whose length stays."""
    (folder / "model.onnx").write_bytes(b"weighty")


def garbled(folder: Path) -> None:
    """No manifest at all."""
    (folder / MANIFEST_FILE).write_bytes(b"{")


def named_strangely(folder: Path) -> None:
    """A manifest without what every package has."""
    (folder / MANIFEST_FILE).write_bytes(package("3.0.0", files={}).manifest)


@pytest.mark.parametrize("harm", [flipped, garbled, named_strangely])
async def test_a_broken_package_is_skipped_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: object
) -> None:
    """The next highest is wanted; mended, it is wanted itself."""
    assert callable(harm)
    drop(tmp_path, "1.0.0")
    broken = drop(tmp_path, "3.0.0")
    harm(broken)
    async with following(tmp_path) as folder:
        assert await folder.next() == "1.0.0"
        for version in ("1.1.0", "1.2.0", "1.3.0"):
            async with folder.expecting() as wanted:
                drop(tmp_path, version)
                assert await wanted == version
        said = [record for record in caplog.records if str(broken) in record.getMessage()]
        assert [record.levelno for record in said] == [logging.WARNING]
        async with folder.expecting() as wanted:
            broken.rename(tmp_path / ".broken")
            drop(tmp_path, "3.0.0")
            assert await wanted == "3.0.0"


async def test_files_that_have_not_changed_are_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look at large packages costs next to nothing."""
    read: list[str] = []
    really = open_package

    def reading(folder: Path) -> object:
        read.append(folder.name)
        return really(folder)

    monkeypatch.setattr("voiceflow_inference.serving.folder.open_package", reading)
    drop(tmp_path, "1.0.0")
    async with following(tmp_path) as folder:
        assert await folder.next() == "1.0.0"
        for version in ("2.0.0", "3.0.0"):
            async with folder.expecting() as wanted:
                drop(tmp_path, version)
                assert await wanted == version
    assert read == ["1.0.0", "2.0.0", "3.0.0"]


async def test_a_look_wakes_no_other_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading what is there is no change of it: otherwise it would never be calm."""
    told: list[str] = []
    rings = folders._Bell.on_any_event

    def telling(bell: folders._Bell, event: FileSystemEvent) -> None:
        told.append(os.path.relpath(os.fsdecode(event.src_path), tmp_path))
        rings(bell, event)

    monkeypatch.setattr(folders._Bell, "on_any_event", telling)
    drop(tmp_path, "1.0.0")
    async with following(tmp_path) as folder:
        assert await folder.next() == "1.0.0"  # everything was read
        async with folder.expecting() as wanted:
            drop(tmp_path, "2.0.0")
            assert await wanted == "2.0.0"
        async with asyncio.timeout(30):
            while not told:  # noqa: ASYNC110 - a look may have seen it first
                await asyncio.sleep(0.005)
    assert not [path for path in told if path.startswith("1.0.0")]


async def test_what_nobody_tells_of_is_seen_at_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the system does not tell of changes, as on some network file systems."""

    def deaf(*_: object, **__: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr(BaseObserver, "schedule", deaf)
    monkeypatch.setattr(folders, "LOOK_SECONDS", 0.02)
    drop(tmp_path, "1.0.0")
    async with following(tmp_path) as folder:
        assert await folder.next() == "1.0.0"
        assert "inotify watch limit reached" in caplog.text
        looks, look = 0, folder.source._look

        def looking() -> object:
            nonlocal looks
            looks += 1
            return look()

        monkeypatch.setattr(folder.source, "_look", looking)
        async with folder.expecting() as wanted, asyncio.timeout(30):
            while looks < 2:  # noqa: ASYNC110 - so nothing but the next look can see it
                await asyncio.sleep(0.005)
            drop(tmp_path, "2.0.0")
            assert await wanted == "2.0.0"


async def test_a_link_to_another_folder_is_followed(tmp_path: Path) -> None:
    """As a deployment switches it: the link is replaced in one step."""
    one, two = drop(tmp_path / "store", "1.0.0"), drop(tmp_path / "store", "2.0.0")
    root = tmp_path / "served"
    root.mkdir()
    (root / "current").symlink_to(one)
    async with following(root) as folder:
        assert await folder.next() == "1.0.0"
        async with folder.expecting() as wanted:
            (root / "next").symlink_to(two)
            (root / "next").rename(root / "current")
            assert await wanted == "2.0.0"


async def test_what_cannot_be_looked_at_hides_nothing_else(tmp_path: Path) -> None:
    """One entry that gives an error, here a link to a name that no file can have."""
    drop(tmp_path, "1.0.0")
    async with following(tmp_path) as folder:
        assert await folder.next() == "1.0.0"
        async with folder.expecting() as wanted:
            (tmp_path / "broken").symlink_to("n" * 300)
            drop(tmp_path, "2.0.0")
            assert await wanted == "2.0.0"


async def test_a_folder_that_cannot_be_looked_at_now_is_followed_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As of a file system that is away for a while: that is no end of following."""
    drop(tmp_path / "here", "1.0.0")
    link = tmp_path / "models"
    link.symlink_to("here")
    source = FolderSource(link, None, RULES, 30.0)
    async with aclosing(source.wanted()) as stream:
        assert version_of(await anext(stream)) == "1.0.0"
        link.unlink()
        link.symlink_to("n" * 300)
        assert not await source._changed()
        assert "what is served stays" in caplog.text


async def test_one_package_may_be_replaced_in_its_place(tmp_path: Path) -> None:
    """Where the folder itself is the package, file by file; meanwhile nothing else is wanted."""
    root = tmp_path / "model"
    write(root, package("1.0.0"))
    async with following(root) as folder:
        assert await folder.next() == "1.0.0"
        async with folder.expecting() as wanted:
            newer = package("2.0.0", weights=b"newer weights")
            (root / "model.onnx").write_bytes(newer.files["model.onnx"])
            (root / MANIFEST_FILE).write_bytes(newer.manifest)
            assert await wanted == "2.0.0"
        found = await folder.source.fetch(folder.seen[-1].rollout.primary)
        assert found.folder == root
        assert found.manifest_digest == digest_of(newer.manifest)


async def test_an_emptied_folder_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is served stays; the same version back again is no change either."""
    folder_of_one = drop(tmp_path, "1.0.0")
    async with following(tmp_path) as folder:
        assert await folder.next() == "1.0.0"
        async with folder.expecting() as wanted:
            shutil.rmtree(folder_of_one)
            await looked(caplog, "what is served stays")
            drop(tmp_path, "1.0.0")
            drop(tmp_path, "2.0.0")
            assert await wanted == "2.0.0"
    assert [wanted.sequence for wanted in folder.seen] == [1, 2]


async def test_packages_of_other_models_are_not_mixed_in(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever their versions; the model that is served stays."""
    write(tmp_path / "b", package("1.0.0", model="b"))
    async with following(tmp_path) as folder:
        assert await folder.next() == "1.0.0"
        async with folder.expecting() as wanted:
            write(tmp_path / "a", package("5.0.0", model="a"))
            await looked(caplog, "of another model than b")
            write(tmp_path / "b2", package("1.1.0", model="b"))
            assert await wanted == "1.1.0"
    assert folder.seen[-1].rollout.primary.version == "models/b/versions/1.1.0"


async def test_the_next_lower_version_stands_in_for_one_that_cannot_be_served(
    tmp_path: Path,
) -> None:
    """And so on down to the last; also for one that is not there any more."""
    for version in ("1.0.0", "2.0.0", "3.0.0-rc.1", "3.0.0"):
        drop(tmp_path, version)
    async with following(tmp_path) as folder:
        assert await folder.next() == "3.0.0"
        wanted = folder.seen[-1]
        for lower in ("2.0.0", "1.0.0", "3.0.0-rc.1"):
            found = folder.source.instead(wanted)
            assert version_of(found) == lower
            assert found is not None
            assert found.sequence == wanted.sequence
            wanted = found
        assert folder.source.instead(wanted) is None
        gone = folder.seen[-1]
        async with folder.expecting() as next_one:
            shutil.rmtree(tmp_path / "3.0.0")
            assert await next_one == "2.0.0"
        assert version_of(folder.source.instead(gone)) == "2.0.0"
        with pytest.raises(NotFound):
            await folder.source.fetch(gone.rollout.primary)


# The start


async def test_a_folder_that_holds_nothing_yet_is_waited_for(tmp_path: Path) -> None:
    """For as long as a registry would be."""
    async with following(tmp_path) as folder, folder.expecting() as wanted:
        (tmp_path / "not-a-package").mkdir()
        drop(tmp_path, "1.0.0")
        assert await wanted == "1.0.0"


async def test_a_folder_in_which_nothing_comes_is_an_error(tmp_path: Path) -> None:
    """That says what is there instead."""
    flipped(drop(tmp_path, "1.0.0"))
    async with following(tmp_path, wait=0.05) as folder:
        with pytest.raises(NotFound, match=r"none came within 0\.05 s.*digest") as caught:
            await folder.next()
    assert caught.value.reason == "NO_PACKAGE"


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (flipped, "DIGEST_MISMATCH"),
        (garbled, "MANIFEST_INVALID"),
        (lambda folder: (folder / "model.onnx").unlink(), "FILE_MISSING"),
        (shutil.rmtree, "FILE_MISSING"),
    ],
)
async def test_a_package_that_is_damaged_from_the_start_is_an_error_at_once(
    tmp_path: Path, harm: object, reason: str
) -> None:
    """Where the folder is to be that package, there is nothing to wait for."""
    assert callable(harm)
    harm(write(tmp_path / "model", package()))
    async with following(tmp_path / "model") as folder:
        with pytest.raises(PackageInvalid) as caught:
            await folder.next()
    assert caught.value.reason == reason


# Signatures


@pytest.fixture
def alarms() -> Alarms:
    """None yet."""
    return Alarms()


@pytest.fixture
def roots() -> list[object]:
    """What is trusted; its last version counts."""
    return [trust_root()]


@pytest.fixture
def trusted(tmp_path: Path, alarms: Alarms, roots: list[object]) -> Iterator[TrustedChannel]:
    """Packages must be signed by `publisher`."""
    with StateFile(tmp_path / "state.json") as memory:
        yield TrustedChannel(
            CHANNEL,
            lambda: trust_roots(*roots),  # type: ignore[arg-type]
            memory,
            alarms,
            lambda: NOW,
        )


async def test_only_what_is_signed_is_wanted(tmp_path: Path, trusted: TrustedChannel) -> None:
    """By a key that may; nothing of any other is served, however high its version."""
    root = tmp_path / "models"
    write(root / "1.0.0", package("1.0.0"), signer="publisher")
    write(root / "2.0.0", package("2.0.0"), signer="attacker")
    write(root / "3.0.0", package("3.0.0"))
    async with following(root, trusted) as folder:
        assert await folder.next() == "1.0.0"
        found = await folder.source.fetch(folder.seen[-1].rollout.primary)
        assert found.check_manifest is not None
        with pytest.raises(Untrusted):
            found.check_manifest(package("3.0.0").manifest, None)
        async with folder.expecting() as wanted:
            signature = signed_manifest(package("3.0.0").manifest)
            (root / "3.0.0" / SIGNATURE_FILE).write_bytes(signature.content)
            assert await wanted == "3.0.0"


async def test_a_signed_package_that_states_no_sizes_is_not_wanted(
    tmp_path: Path, trusted: TrustedChannel
) -> None:
    """Nothing would bound what is read."""
    write(tmp_path / "model", package("1.0.0", sizes={}), signer="publisher")
    async with following(tmp_path / "model", trusted) as folder:
        with pytest.raises(VoiceFlowError) as caught:
            await folder.next()
    assert caught.value.reason == "SIZE_UNSIGNED"


async def test_a_key_that_is_revoked_sounds_an_alarm_about_what_is_served_alone(
    tmp_path: Path, trusted: TrustedChannel, alarms: Alarms, roots: list[object]
) -> None:
    """Also where several versions are; what was only looked at does not matter."""
    keys = [publisher("publisher"), publisher("second")]
    roots.append(trust_root(version=2, publishers=keys))
    trusted.look()
    root = tmp_path / "models"
    write(root / "1.0.0", package("1.0.0"), signer="publisher")
    write(root / "2.0.0", package("2.0.0"), signer="second")
    async with following(root, trusted) as folder:
        assert await folder.next() == "2.0.0"
        folder.source.keep([folder.seen[-1].rollout.primary])
        revoked = publisher("publisher", status=KeyStatus.REVOKED)
        roots.append(trust_root(version=3, publishers=[revoked, keys[1]]))
        trusted.look()
        assert alarms.raised == {}
        revoked_too = publisher("second", status=KeyStatus.REVOKED)
        roots.append(trust_root(version=4, publishers=[revoked, revoked_too]))
        trusted.look()
        assert alarms.raised["manifest"].reason == "KEY_REVOKED"


async def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """No thread, and no open file, once nobody follows the folder any more."""
    drop(tmp_path, "1.0.0")
    before = open_files()
    for _ in range(3):
        async with aclosing(FolderSource(tmp_path, None, RULES, 1.0).wanted()) as stream:
            await anext(stream)
    assert open_files() <= before


def open_files() -> int:
    """How many this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))
