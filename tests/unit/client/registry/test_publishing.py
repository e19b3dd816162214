"""Publishing goes on by itself after a cut, sends only what is lacking, and gives up in the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import google_crc32c
import pytest

from tests.fakes.models import write_stream_package
from tests.unit.client.registry.scripted import (
    NOW,
    answering,
    cut,
    published,
    refusing,
    scripted,
    version_of,
)
from voiceflow.artifact import Manifest, digest_of
from voiceflow.catalog.versions import Upload, UploadedFile
from voiceflow.client.registry import LocalPackage, Progress, Stage, open_package, publishing
from voiceflow.errors import (
    AlreadyExists,
    Conflict,
    ContentCorrupt,
    InvalidInput,
    NotAllowedNow,
    NotFound,
    PackageInvalid,
    Unavailable,
    Violation,
)
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.rpc.registry import upload_to_wire, version_to_wire
from voiceflow.rpc.status import abort_arguments

NOTHING_KEPT = refusing(NotFound("no such upload", reason="UPLOAD_NOT_FOUND"))


@pytest.fixture
def package(tmp_path: Path) -> LocalPackage:
    """A small model, and a card that takes three chunks."""
    folder = write_stream_package(tmp_path / "package")
    card = b"# Tones\n" + bytes(range(256)) * 10_000
    (folder / "README.md").write_bytes(card)
    manifest = folder / "manifest.json"
    before = Manifest.from_json(manifest.read_bytes())
    changed = {
        "files": before.files | {"README.md": digest_of(card)},
        "sizes": before.sizes | {"README.md": len(card)},
    }
    manifest.write_text(before.model_copy(update=changed).to_json())
    return open_package(folder)


class Receiver:
    """Takes chunks as a registry does, and keeps them over streams.

    Args:
        package: That is published.
        cuts: Chunks after which each stream is cut; later streams are not.
    """

    def __init__(self, package: LocalPackage, cuts: list[int]) -> None:
        self.package = package
        self.files: dict[str, bytes] = {}
        self.begun = False
        self.chunks = 0
        self.request_ids: list[str] = []
        self._cuts = cuts

    async def publish(self, requests: Any, context: Any) -> pb.PublishVersionResponse:
        """One stream."""
        limit = self._cuts.pop(0) if self._cuts else None
        seen = 0
        async for request in requests:
            if request.HasField("begin"):
                self.begun = True
                self.request_ids.append(request.begin.request_id)
                await context.send_initial_metadata(())
                continue
            chunk = request.chunk
            if seen == limit:
                await cut(request, context)
            seen += 1
            self.chunks += 1
            assert google_crc32c.value(chunk.data) == chunk.crc32c
            assert chunk.offset == len(self.files.get(chunk.file, b""))
            self.files[chunk.file] = self.files.get(chunk.file, b"") + chunk.data
        if seen == limit:
            await cut(None, context)
        return published(self.package)

    async def upload(self, request: pb.GetUploadRequest, context: Any) -> pb.GetUploadResponse:
        """How far it came."""
        hexadecimal = self.package.manifest_digest.removeprefix("sha256:")
        assert request.name == f"models/tones/versions/1.0.0/uploads/{hexadecimal}"
        if not self.begun:
            await NOTHING_KEPT(request, context)
        files = tuple(
            UploadedFile(
                file=file.name,
                received_bytes=len(self.files.get(file.name, b"")),
                size_bytes=file.size_bytes,
                complete=len(self.files.get(file.name, b"")) == file.size_bytes,
            )
            for file in self.package.files
        )
        upload = Upload(name=request.name, files=files, begin_time=NOW, expire_time=NOW)
        return pb.GetUploadResponse(upload=upload_to_wire(upload))

    def is_whole(self) -> bool:
        """All files came, as they are."""
        return self.files == {f.name: f.path.read_bytes() for f in self.package.files}


async def test_every_byte_is_sent_once_over_many_cuts(package: LocalPackage) -> None:
    """More cuts than tries are allowed: a try that got farther is no failure."""
    receiver = Receiver(package, cuts=[1, 1, 1, 1, 0, 1])
    async with scripted(PublishVersion=receiver.publish, GetUpload=receiver.upload) as (_, client):
        result = await client.publish(package.folder)
    assert receiver.is_whole()
    assert receiver.chunks == 5
    assert len(set(receiver.request_ids)) == 1
    assert result.version.name == "models/tones/versions/1.0.0"
    assert result.report.passed


async def test_what_the_registry_holds_is_not_sent(package: LocalPackage) -> None:
    """A file that is there by its digest is counted as done."""
    receiver = Receiver(package, cuts=[])
    card = package.files[-1]
    receiver.files[card.name] = card.path.read_bytes()
    seen: list[Progress] = []
    async with scripted(PublishVersion=receiver.publish, GetUpload=receiver.upload) as (_, client):
        await client.publish(package.folder, on_progress=seen.append)
    assert receiver.chunks == 2
    assert seen[0] == Progress(Stage.SENDING, card.size_bytes, package.size_bytes)
    assert seen[-1] == Progress(Stage.CHECKING, package.size_bytes, package.size_bytes)


async def test_a_lost_reply_is_asked_for_again_with_the_same_id(package: LocalPackage) -> None:
    """The version stands; publishing again finds it, without sending anything."""
    receiver = Receiver(package, cuts=[5])
    again = published(package)
    again.already_published = True
    steps = [receiver.publish, answering(again)]
    async with scripted(PublishVersion=steps, GetUpload=receiver.upload) as (script, client):
        result = await client.publish(package.folder)
    assert result.already_published
    assert receiver.is_whole()
    assert len(script.calls["PublishVersion"]) == 2


async def test_the_last_error_is_raised_when_no_try_gets_farther(package: LocalPackage) -> None:
    """After as many tries as the policy allows."""
    receiver = Receiver(package, cuts=[0] * 9)
    async with scripted(PublishVersion=receiver.publish, GetUpload=receiver.upload) as (
        script,
        client,
    ):
        with pytest.raises(Unavailable, match="cannot be reached: Socket closed"):
            await client.publish(package.folder)
        assert len(script.calls["PublishVersion"]) == 3


@pytest.mark.parametrize(
    "error",
    [
        Conflict("another stream", reason="UPLOAD_SUPERSEDED"),
        InvalidInput("gap", reason="CHUNK_GAP"),
        InvalidInput("overlap", reason="CHUNK_OVERLAP"),
        InvalidInput("crc32c", reason="CHUNK_CORRUPT"),
        InvalidInput("digest", reason="DIGEST_MISMATCH"),
        Unavailable("stopping", reason="SHUTTING_DOWN"),
    ],
    ids=lambda error: error.reason,
)
async def test_what_passes_by_itself_is_tried_again(
    package: LocalPackage, error: InvalidInput
) -> None:
    """And is raised as it is where it does not pass."""
    receiver = Receiver(package, cuts=[])
    steps = [refusing(error), receiver.publish]
    async with scripted(PublishVersion=steps, GetUpload=receiver.upload) as (_, client):
        receiver.begun = True
        await client.publish(package.folder)
    assert receiver.is_whole()
    async with scripted(PublishVersion=refusing(error), GetUpload=receiver.upload) as (_, client):
        with pytest.raises(type(error)) as caught:
            await client.publish(package.folder)
    assert caught.value.reason == error.reason


@pytest.mark.parametrize(
    "error",
    [
        AlreadyExists("other bytes", reason="VERSION_EXISTS"),
        NotAllowedNow(
            "2 rules",
            reason="GATES_NOT_PASSED",
            violations=[
                Violation("graph.external-data", "weights.bin", "seen: 1; allowed: 0"),
                Violation("graph.domain", "node 7", "seen: com.microsoft; allowed: none"),
            ],
        ),
    ],
    ids=lambda error: error.reason,
)
async def test_what_does_not_pass_is_told_at_once(
    package: LocalPackage, error: NotAllowedNow
) -> None:
    """Though the client was still sending, with everything that stands in the way."""

    async def after_begin(requests: Any, context: Any) -> None:
        await anext(aiter(requests))
        await context.abort(*abort_arguments(error))

    async with scripted(PublishVersion=after_begin, GetUpload=NOTHING_KEPT) as (script, client):
        with pytest.raises(type(error)) as caught:
            await client.publish(package.folder)
        assert len(script.calls["PublishVersion"]) == 1
    assert caught.value.reason == error.reason
    assert getattr(caught.value, "violations", ()) == getattr(error, "violations", ())


async def test_the_reason_of_a_refusal_survives_failed_writes(
    package: LocalPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks are on their way when it comes; gRPC would put a status of its own in its place."""
    monkeypatch.setattr(publishing, "PIECE_BYTES", 3000)
    receiver = Receiver(package, cuts=[])
    receiver.begun = True

    async def at_the_first_chunk(requests: Any, context: Any) -> None:
        await anext(aiter(requests))
        await context.send_initial_metadata(())
        await anext(aiter(requests))
        await context.abort(*abort_arguments(AlreadyExists("other", reason="VERSION_EXISTS")))

    async with scripted(PublishVersion=at_the_first_chunk, GetUpload=receiver.upload) as (
        _,
        client,
    ):
        for _ in range(60):
            with pytest.raises(AlreadyExists):
                await client.publish(package.folder)


async def test_a_package_that_is_not_whole_is_not_sent(package: LocalPackage) -> None:
    """The digest is checked here first."""
    package.files[0].path.write_bytes(b"other")
    async with scripted(PublishVersion=cut) as (script, client):
        with pytest.raises(PackageInvalid) as caught:
            await client.publish(package.folder)
        assert script.calls["PublishVersion"] == []
    assert caught.value.reason == "DIGEST_MISMATCH"


async def test_a_file_that_changes_while_it_is_sent_is_found_out(package: LocalPackage) -> None:
    """The registry says that the digest does not fit, and the reason is on this side."""
    error = InvalidInput("digest", reason="DIGEST_MISMATCH")

    async def change(requests: Any, context: Any) -> None:
        package.files[0].path.write_bytes(b"other")
        await refusing(error)(requests, context)

    async with scripted(PublishVersion=change, GetUpload=NOTHING_KEPT) as (_, client):
        with pytest.raises(PackageInvalid, match="the manifest says"):
            await client.publish(package.folder)


@pytest.mark.parametrize(
    "other", [{"name": "models/tones/versions/0.9.0"}, {"manifest_digest": "sha256:" + 64 * "0"}]
)
async def test_an_answer_about_another_version_is_not_believed(
    package: LocalPackage, other: dict[str, str]
) -> None:
    """What was published goes on to be promoted: nobody signs a version that he did not send."""
    answer = published(package)
    answer.version.CopyFrom(version_to_wire(version_of(package).model_copy(update=other)))

    async def publish(requests: Any, context: Any) -> pb.PublishVersionResponse:
        await context.send_initial_metadata(())
        async for _ in requests:
            pass
        return answer

    async with scripted(PublishVersion=publish, GetUpload=NOTHING_KEPT) as (script, client):
        with pytest.raises(ContentCorrupt) as caught:
            await client.publish(package.folder)
        assert len(script.calls["PublishVersion"]) == 1
    assert str(other.popitem()[1]) in caught.value.message
