"""A folder that was downloaded is complete and verified, whatever was sent or lay there before."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import google_crc32c
import pytest

from tests.fakes.models import write_stream_package
from tests.fakes.trust import signed_manifest, trust_root
from tests.unit.client.registry.scripted import (
    SOON,
    Step,
    answering,
    cut,
    pieces,
    scripted,
    version_of,
)
from voiceflow.catalog.values import Signature
from voiceflow.catalog.versions import Version, VersionFile
from voiceflow.client.registry import LocalPackage, Progress, Stage, downloading, open_package
from voiceflow.errors import ContentCorrupt, NotAllowedNow, Unavailable, Untrusted, VoiceFlowError
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.rpc.registry import version_to_wire
from voiceflow.trust.authority import check_manifest

NAME = "models/tones/versions/1.0.0"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> LocalPackage:
    """What the registry holds."""
    return open_package(write_stream_package(tmp_path_factory.mktemp("held")))


class Sender:
    """Sends files as a registry does.

    Args:
        package: That it holds.
        cut_after: Every stream is cut after so many chunks.
        damage: What to do to the replies of the n-th stream.
    """

    def __init__(
        self, package: LocalPackage, *, cut_after: int | None = None, damage: Any = None
    ) -> None:
        self.version = version_of(package)
        self.package = package
        self.streams: list[tuple[str, int]] = []
        self._cut_after = cut_after
        self._damage = damage

    async def get(self, _request: Any, _context: Any) -> pb.GetVersionResponse:
        """The version in full."""
        return pb.GetVersionResponse(version=version_to_wire(self.version))

    async def download(self, request: pb.DownloadVersionRequest, context: Any) -> None:
        """One stream."""
        self.streams.append((request.file, request.offset))
        (file,) = (one for one in self.version.files if one.file == request.file)
        content = (self.package.folder / request.file).read_bytes()
        replies = pieces(file, content, request.offset)
        if self._damage is not None:
            self._damage(len(self.streams), replies)
        for reply in replies[: self._cut_after]:
            await context.write(reply)
        if self._cut_after is not None and len(replies) > self._cut_after:
            await cut(request, context)


def same(folder: Path, package: LocalPackage) -> bool:
    """Both hold the same files, and nothing else."""
    seen, held = (
        {path.name: path.read_bytes() for path in one.iterdir()} for one in (folder, package.folder)
    )
    return seen == held


def beside(folder: Path) -> list[str]:
    """What else is in the folder around it."""
    return sorted(path.name for path in folder.parent.iterdir() if path != folder)


async def test_a_version_is_fetched_with_nothing_left_beside_it(
    package: LocalPackage, tmp_path: Path
) -> None:
    """And the progress ends at the whole."""
    sender, seen = Sender(package), list[Progress]()
    folder = tmp_path / "cache" / "1.0.0"
    async with scripted(GetVersion=sender.get, DownloadVersion=sender.download) as (_, client):
        assert await client.download(NAME, folder, on_progress=seen.append) == folder
    assert same(folder, package)
    assert beside(folder) == []
    assert seen[-1] == Progress(Stage.RECEIVING, package.size_bytes, package.size_bytes)


async def test_every_byte_is_fetched_once_over_many_cuts(
    package: LocalPackage, tmp_path: Path
) -> None:
    """Each stream begins where the one before it ended."""
    sender, folder = Sender(package, cut_after=3), tmp_path / "1.0.0"
    async with scripted(GetVersion=sender.get, DownloadVersion=sender.download) as (_, client):
        await client.download(NAME, folder)
    assert same(folder, package)
    offsets = [offset for name, offset in sender.streams if name == "model.onnx"]
    assert len(offsets) > 3
    assert offsets == [3000 * number for number in range(len(offsets))]


async def test_a_later_call_goes_on_where_one_gave_up(
    package: LocalPackage, tmp_path: Path
) -> None:
    """Nothing stands under the folder's name meanwhile."""
    folder = tmp_path / "1.0.0"
    sender = Sender(package)

    async def once(request: Any, context: Any) -> None:
        for reply in pieces(sender.version.files[0], content, request.offset)[:2]:
            await context.write(reply)
        await cut(request, context)

    content = (package.folder / "model.onnx").read_bytes()
    async with scripted(GetVersion=sender.get, DownloadVersion=[once, cut]) as (_, client):
        with pytest.raises(Unavailable):
            await client.download(NAME, folder)
    assert not folder.exists()
    async with scripted(GetVersion=sender.get, DownloadVersion=sender.download) as (_, client):
        await client.download(NAME, folder)
    assert sender.streams[0] == ("model.onnx", 2000)
    assert same(folder, package)
    assert beside(folder) == []


async def test_a_complete_folder_is_used_without_asking(
    package: LocalPackage, tmp_path: Path
) -> None:
    """Where the digest is pinned, the registry may be away."""
    folder = write_stream_package(tmp_path / "1.0.0")
    async with scripted(GetVersion=cut, DownloadVersion=cut) as (script, client):
        digest = package.manifest_digest
        assert await client.download(NAME, folder, manifest_digest=digest) == folder
        assert script.calls == {"GetVersion": [], "DownloadVersion": []}


@pytest.mark.parametrize("name", ["model.onnx", "golden.npz", "README.md", "manifest.json"])
@pytest.mark.parametrize("harm", ["flipped", "short", "gone"])
async def test_a_damaged_folder_is_replaced(
    package: LocalPackage, tmp_path: Path, name: str, harm: str
) -> None:
    """Whichever file was damaged, and however."""
    folder = write_stream_package(tmp_path / "1.0.0")
    content = bytearray((folder / name).read_bytes())
    if harm == "gone":
        (folder / name).unlink()
    else:
        content[-1] ^= 1
        (folder / name).write_bytes(content[:-5] if harm == "short" else content)
    sender = Sender(package)
    async with scripted(GetVersion=sender.get, DownloadVersion=sender.download) as (_, client):
        if harm == "gone" and name == "manifest.json":  # no package any more
            with pytest.raises(NotAllowedNow):
                await client.download(NAME, folder, manifest_digest=package.manifest_digest)
            return
        await client.download(NAME, folder, manifest_digest=package.manifest_digest)
    assert same(folder, package)
    assert beside(folder) == []


async def test_a_damaged_rest_of_an_earlier_call_is_fetched_anew(
    package: LocalPackage, tmp_path: Path
) -> None:
    """Its digest does not fit, so the file is sent once more from its beginning."""
    folder = tmp_path / "1.0.0"
    partial = tmp_path / f".1.0.0.{package.manifest_digest[7:23]}.partial"
    partial.mkdir()
    (partial / "model.onnx").write_bytes(b"x" * 1500)
    (partial / "golden.npz").write_bytes(b"x" * 10_000_000)
    sender = Sender(package)
    async with scripted(GetVersion=sender.get, DownloadVersion=sender.download) as (_, client):
        await client.download(NAME, folder)
    assert [offset for name, offset in sender.streams if name == "model.onnx"] == [1500, 0]
    assert same(folder, package)


async def test_a_chunk_damaged_on_the_way_is_fetched_again(
    package: LocalPackage, tmp_path: Path
) -> None:
    """Its checksum does not fit; nothing of it is kept."""

    def flip(stream: int, replies: list[pb.DownloadVersionResponse]) -> None:
        if stream == 1:
            replies[1].data = bytes(1000)

    sender, folder = Sender(package, damage=flip), tmp_path / "1.0.0"
    async with scripted(GetVersion=sender.get, DownloadVersion=sender.download) as (_, client):
        await client.download(NAME, folder)
    assert sender.streams[:2] == [("model.onnx", 0), ("model.onnx", 1000)]
    assert same(folder, package)


def sizes(folder: Path, name: str) -> list[int]:
    """Of all files of that name below a folder."""
    return [path.stat().st_size for path in folder.rglob(name)]


def endless(_stream: int, replies: list[pb.DownloadVersionResponse]) -> None:
    """Goes on past the size that was stated."""
    replies[-1].data += b"more"
    replies[-1].crc32c = google_crc32c.value(replies[-1].data)


def empty(_stream: int, replies: list[pb.DownloadVersionResponse]) -> None:
    """Sends a chunk of nothing, of which there could be any number."""
    replies.insert(1, pb.DownloadVersionResponse(offset=1000))


def shifted(_stream: int, replies: list[pb.DownloadVersionResponse]) -> None:
    """Leaves a chunk out."""
    del replies[1]


def larger(_stream: int, replies: list[pb.DownloadVersionResponse]) -> None:
    """States another size than the version does."""
    replies[0].file.size_bytes += 1


def other(_stream: int, replies: list[pb.DownloadVersionResponse]) -> None:
    """Sends other bytes, with a checksum that fits them."""
    replies[0].data = bytes(len(replies[0].data))
    replies[0].crc32c = google_crc32c.value(replies[0].data)


@pytest.mark.parametrize("damage", [endless, empty, shifted, larger, other])
async def test_what_is_not_the_stated_file_is_refused(
    package: LocalPackage, tmp_path: Path, damage: Any
) -> None:
    """Nothing comes to stand under the folder's name."""
    sender, folder = Sender(package, damage=damage), tmp_path / "1.0.0"
    async with scripted(GetVersion=sender.get, DownloadVersion=sender.download) as (_, client):
        with pytest.raises(ContentCorrupt):
            await client.download(NAME, folder)
    assert not folder.exists()
    for size in sizes(tmp_path, "model.onnx"):
        assert size <= package.files[0].size_bytes


async def test_nothing_is_read_once_a_file_has_its_size(
    package: LocalPackage, tmp_path: Path
) -> None:
    """A stream that does not end after it holds nobody up, and brings nothing more."""

    def trailing(_stream: int, replies: list[pb.DownloadVersionResponse]) -> None:
        end = replies[-1].offset + len(replies[-1].data)
        replies += [pb.DownloadVersionResponse(offset=end, data=b"more")] * 3

    sender, folder = Sender(package, damage=trailing), tmp_path / "1.0.0"
    async with scripted(GetVersion=sender.get, DownloadVersion=sender.download) as (_, client):
        assert same(await client.download(NAME, folder), package)


async def test_a_stream_that_stands_still_is_taken_up_anew(
    package: LocalPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From where it stood."""
    monkeypatch.setattr(downloading, "STALLED_SECONDS", 0.3)
    monkeypatch.setattr(downloading, "SLOWEST_BYTES", 1000)
    sender, folder = Sender(package), tmp_path / "1.0.0"
    content = (package.folder / "model.onnx").read_bytes()

    async def still(request: Any, context: Any) -> None:
        await context.write(pieces(sender.version.files[0], content, request.offset)[0])
        await asyncio.Event().wait()

    download: list[Step] = [still, sender.download]
    async with scripted(GetVersion=sender.get, DownloadVersion=download) as (_, client):
        assert same(await client.download(NAME, folder), package)
    assert sender.streams[0] == ("model.onnx", 1000)


@pytest.mark.parametrize("end", ["never", "at once"])
async def test_a_stream_that_is_too_slow_is_a_failed_try(
    package: LocalPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """Bytes that come one by one do not count as coming."""
    monkeypatch.setattr(downloading, "STALLED_SECONDS", 0.2)
    sender, folder = Sender(package), tmp_path / "1.0.0"
    content = (package.folder / "model.onnx").read_bytes()

    async def slow(request: Any, context: Any) -> None:
        for reply in pieces(sender.version.files[0], content, request.offset, size=1):
            await context.write(reply)
            if end == "at once":
                return
            await asyncio.sleep(0.05)

    async with scripted(GetVersion=sender.get, DownloadVersion=slow) as (script, client):
        with pytest.raises(Unavailable):
            await client.download(NAME, folder)
        assert len(script.calls["DownloadVersion"]) == SOON.attempts


async def test_nothing_outside_the_folder_is_written(package: LocalPackage, tmp_path: Path) -> None:
    """Links and pipes in what seems the rest of an earlier call are not followed, and go."""
    outside, folder = tmp_path / "outside", tmp_path / "1.0.0"
    outside.write_bytes(b"precious" * 1000)
    partial = tmp_path / f".1.0.0.{package.manifest_digest[7:23]}.partial"
    partial.mkdir()
    (partial / "model.onnx").symlink_to(outside)
    (partial / "golden.npz").hardlink_to(outside)
    os.mkfifo(partial / "README.md")
    (partial / "manifest.json").symlink_to(outside)
    sender = Sender(package)
    async with scripted(GetVersion=sender.get, DownloadVersion=sender.download) as (_, client):
        await client.download(NAME, folder)
    assert outside.read_bytes() == b"precious" * 1000
    assert same(folder, package)
    assert all(path.is_file() and not path.is_symlink() for path in folder.iterdir())


async def test_a_link_in_the_place_of_a_rest_is_not_followed(
    package: LocalPackage, tmp_path: Path
) -> None:
    """Whoever made it would have files written elsewhere."""
    outside, sender = tmp_path / "outside", Sender(package)
    outside.mkdir()
    (tmp_path / f".1.0.0.{package.manifest_digest[7:23]}.partial").symlink_to(outside)
    async with scripted(GetVersion=sender.get, DownloadVersion=sender.download) as (_, client):
        with pytest.raises(VoiceFlowError) as caught:
            await client.download(NAME, tmp_path / "1.0.0")
    assert caught.value.reason == "FOLDER_NOT_WRITABLE"
    assert list(outside.iterdir()) == []


async def test_a_manifest_other_than_the_pinned_one_is_refused(
    package: LocalPackage, tmp_path: Path
) -> None:
    """Before a file is asked for."""
    sender = Sender(package)
    async with scripted(GetVersion=sender.get, DownloadVersion=sender.download) as (_, client):
        with pytest.raises(ContentCorrupt):
            await client.download(NAME, tmp_path / "a", manifest_digest="sha256:" + 64 * "0")
    assert sender.streams == []


def renamed(version: Version) -> Version:
    """Another version's name over this one's manifest."""
    return version.model_copy(update={"name": "models/tones/versions/2.0.0"})


def other_digest(version: Version) -> Version:
    """A file whose digest is not the manifest's."""
    files = [file.model_copy(update={"digest": "sha256:" + 64 * "0"}) for file in version.files]
    return version.model_copy(update={"files": tuple(files)})


def no_files(version: Version) -> Version:
    """Files that the manifest names and the version does not."""
    return version.model_copy(update={"files": ()})


def too_large(version: Version) -> Version:
    """A size beyond what any file may have."""
    files = [file.model_copy(update={"size_bytes": 2**40}) for file in version.files]
    return version.model_copy(update={"files": tuple(files)})


@pytest.mark.parametrize("lie", [renamed, other_digest, no_files, too_large])
async def test_a_version_that_is_not_its_manifest_is_refused(
    package: LocalPackage, tmp_path: Path, lie: Any
) -> None:
    """Mixed from several, without files, or endless."""
    answer = pb.GetVersionResponse(version=version_to_wire(lie(version_of(package))))
    async with scripted(GetVersion=answering(answer), DownloadVersion=cut) as (script, client):
        with pytest.raises(ContentCorrupt):
            await client.download(NAME, tmp_path / "a")
        assert script.calls["DownloadVersion"] == []


def signed(version: Version, signer: str = "publisher") -> Version:
    """With its publisher's signature."""
    assert version.manifest is not None
    return version.model_copy(update={"signature": signed_manifest(version.manifest, signer)})


def check(manifest: bytes, signature: Signature | None) -> None:
    """Lets nothing in but what the publisher of this model has signed."""
    check_manifest(trust_root(), model="tones", manifest=manifest, signature=signature, new=False)


async def test_the_publishers_signature_is_kept_beside_the_manifest(
    package: LocalPackage, tmp_path: Path
) -> None:
    """Whether or not it is checked; of a version without one, there is none."""
    sender = Sender(package)
    async with scripted(GetVersion=sender.get, DownloadVersion=sender.download) as (_, client):
        unsigned = await client.download(NAME, tmp_path / "unsigned")
        sender.version = signed(sender.version)
        for checked in (None, check):
            folder = tmp_path / str(checked)
            await client.download(NAME, folder, check_manifest=checked)
            assert open_package(folder).signature == sender.version.signature
    assert open_package(unsigned).signature is None


@pytest.mark.parametrize("harm", ["gone", "forged"])
async def test_a_folder_without_a_signature_that_holds_is_replaced(
    package: LocalPackage, tmp_path: Path, harm: str
) -> None:
    """Where it is checked, that is; otherwise the folder is complete."""
    sender, folder = Sender(package), tmp_path / "1.0.0"
    digest = package.manifest_digest
    if harm == "forged":
        sender.version = signed(sender.version, "nobody")
    async with scripted(GetVersion=sender.get, DownloadVersion=sender.download) as (_, client):
        await client.download(NAME, folder)
        sender.version = signed(sender.version)
        before = open_package(folder).signature
        await client.download(NAME, folder, manifest_digest=digest)
        assert open_package(folder).signature == before
        await client.download(NAME, folder, manifest_digest=digest, check_manifest=check)
    assert open_package(folder).signature == sender.version.signature
    assert beside(folder) == []


@pytest.mark.parametrize(
    ("signer", "reason"), [(None, "SIGNATURE_MISSING"), ("nobody", "SIGNATURE_INVALID")]
)
async def test_nothing_is_fetched_of_what_is_not_signed(
    package: LocalPackage, tmp_path: Path, signer: str | None, reason: str
) -> None:
    """Where that is checked: before a file is asked for."""
    sender = Sender(package)
    if signer is not None:
        sender.version = signed(sender.version, signer)
    async with scripted(GetVersion=sender.get, DownloadVersion=sender.download) as (_, client):
        with pytest.raises(Untrusted) as caught:
            await client.download(NAME, tmp_path / "a", check_manifest=check)
    assert caught.value.reason == reason
    assert sender.streams == []


async def test_the_size_in_the_manifest_counts_and_not_the_one_that_is_told(
    package: LocalPackage, tmp_path: Path
) -> None:
    """A registry that tells another one is not asked for a file."""
    files = package.files
    told = version_of(package).model_copy(
        update={
            "files": tuple(
                VersionFile(file=file.name, size_bytes=file.size_bytes + 1, digest=file.digest)
                for file in files
            )
        }
    )
    answer = pb.GetVersionResponse(version=version_to_wire(told))
    async with scripted(GetVersion=answering(answer), DownloadVersion=cut) as (script, client):
        with pytest.raises(ContentCorrupt):
            await client.download(NAME, tmp_path / "a")
        assert script.calls["DownloadVersion"] == []


async def test_a_folder_with_something_else_is_left_alone(
    package: LocalPackage, tmp_path: Path
) -> None:
    """Before anything is fetched; an empty one is used."""
    sender = Sender(package)
    (tmp_path / "letters").write_text("dear")
    async with scripted(GetVersion=sender.get, DownloadVersion=sender.download) as (_, client):
        for folder in (tmp_path, tmp_path / "letters"):
            with pytest.raises(NotAllowedNow) as caught:
                await client.download(NAME, folder)
            assert caught.value.reason == "FOLDER_TAKEN"
        (tmp_path / "empty").mkdir()
        assert same(await client.download(NAME, tmp_path / "empty"), package)
    assert (tmp_path / "letters").read_text() == "dear"


async def test_many_calls_for_one_folder_leave_one_complete_version(
    package: LocalPackage, tmp_path: Path
) -> None:
    """All of them find it; none reads what another one has not finished."""
    sender, folder = Sender(package), tmp_path / "1.0.0"
    async with scripted(GetVersion=sender.get, DownloadVersion=sender.download) as (_, client):
        found = await asyncio.gather(*(client.download(NAME, folder) for _ in range(6)))
    assert found == [folder] * 6
    assert same(folder, package)
    assert beside(folder) == []


async def test_a_place_that_cannot_be_written_is_one_error(
    package: LocalPackage, tmp_path: Path
) -> None:
    """With the path."""
    sender = Sender(package)
    (tmp_path / "file").write_text("")
    async with scripted(GetVersion=sender.get, DownloadVersion=sender.download) as (_, client):
        with pytest.raises(VoiceFlowError, match="cannot be written") as caught:
            await client.download(NAME, tmp_path / "file" / "1.0.0")
    assert caught.value.reason == "FOLDER_NOT_WRITABLE"
