"""Files on their way out: from any offset, whole, checked, and without a thread for who is slow."""

from __future__ import annotations

import hashlib

import google_crc32c
import pytest

from tests.fakes.memory_store import MemoryStore
from tests.fakes.publishing import package
from tests.fakes.registry import call, failure, publish, running
from voiceflow.errors import ContentCorrupt
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow_registry.records import blob_key

CONTENT = hashlib.sha256(b"seed").digest() * (80 << 10)  # 2.5 MiB
MADE = package(weights=CONTENT)
NAME = str(MADE.name)


def request(file: str = "model.onnx", offset: int = 0) -> pb.DownloadVersionRequest:
    """A wish for a file."""
    return pb.DownloadVersionRequest(name=NAME, file=file, offset=offset)


@pytest.mark.parametrize("offset", [0, 1, 1 << 20, len(CONTENT) - 1])
async def test_chunks_follow_one_another_from_the_offset_on(offset: int) -> None:
    """Without gap to the end, each of at most 1 MiB and with its checksum."""
    async with running() as (_, registry):
        await publish(registry, MADE)
        replies = await call(registry.DownloadVersion, request(offset=offset))
        assert b"".join(reply.data for reply in replies) == CONTENT[offset:]
        at = offset
        for number, reply in enumerate(replies):
            assert (reply.offset, reply.crc32c) == (at, google_crc32c.value(reply.data))
            assert 1 <= len(reply.data) <= 1 << 20
            assert reply.HasField("file") == (number == 0)
            at += len(reply.data)
        assert replies[0].file.size_bytes == len(CONTENT)


async def test_from_its_end_on_a_file_is_one_empty_reply() -> None:
    """The file is still told: a reader that has all of it learns its size and digest."""
    async with running() as (_, registry):
        await publish(registry, MADE)
        (reply,) = await call(registry.DownloadVersion, request(offset=len(CONTENT)))
        assert (reply.offset, reply.data) == (len(CONTENT), b"")
        assert reply.file.digest == f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


async def test_the_manifest_is_a_file_too() -> None:
    """Its bytes are those that were published."""
    async with running() as (_, registry):
        await publish(registry, MADE)
        (reply,) = await call(registry.DownloadVersion, request("manifest.json"))
        assert reply.data == MADE.manifest


async def test_flipped_bits_are_told() -> None:
    """R27: a file that is not what was stored ends with DATA_LOSS, whatever was sent before."""
    store = MemoryStore()
    async with running(store) as (_, registry):
        response = await publish(registry, MADE)
        digest = response.version.files[0].digest
        stored = store.get(blob_key(digest))
        flipped = stored.content[:-1] + bytes([stored.content[-1] ^ 1])
        store.put(blob_key(digest), flipped, if_generation=stored.generation)
        error = await failure(registry.DownloadVersion, request())
        assert isinstance(error, ContentCorrupt)
        assert error.reason == "CONTENT_CORRUPT"


async def test_who_reads_slowly_holds_no_thread() -> None:
    """With one thread for all, ten readers that read nothing leave it to others."""
    async with running(threads=1) as (_, registry):
        await publish(registry, MADE)
        slow = [registry.DownloadVersion(request()) for _ in range(10)]
        for reader in slow:
            await reader.initial_metadata()
        assert await call(registry.GetVersion, pb.GetVersionRequest(name=NAME))
        for reader in slow:
            reader.cancel()
