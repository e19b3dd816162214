"""Damage and endless data: no byte is believed, or kept, that was not signed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from tests.fakes.cutting_proxy import cutting_proxy
from tests.fakes.simulated_registry import (
    MODEL,
    Chunks,
    Sent,
    SimulatedRegistry,
    chunk,
    honest_chunks,
)
from tests.faults.attacks.world import (
    NEW,
    World,
    answering,
    check_starts_not,
    check_stays,
    name_of,
)
from voiceflow.artifact import digest_of
from voiceflow.catalog.channels import (
    MAXIMUM_REASON_CHARACTERS,
    Promotion,
    Rollout,
    VersionPin,
)
from voiceflow.catalog.values import Signature
from voiceflow.catalog.versions import VersionFile
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.trust.statements import MAXIMUM_STATEMENT_BYTES


def flip(simulated: SimulatedRegistry, name: str = "model.onnx") -> None:
    """One bit of a file, with checksums that fit what is sent."""
    at = f"models/{MODEL}/versions/{NEW}", name
    simulated.files[at] = simulated.files[at][:-1] + bytes([simulated.files[at][-1] ^ 1])


@pytest.mark.parametrize("name", ["model.onnx", "golden.npz", "README.md"])
async def test_r27_a_flipped_bit_is_refused(world: World, name: str) -> None:
    """In whichever file: its digest is in the signed manifest."""
    await world.check_refused(lambda simulated: flip(simulated, name), "CONTENT_CORRUPT")


async def test_r27_a_partial_file_is_never_loaded(world: World) -> None:
    """A stream that ends too early leaves nothing to be served; what came is gone on with."""

    async def half(file: VersionFile, content: bytes, offset: int) -> AsyncIterator[Sent]:
        async for reply in honest_chunks(file, content[: len(content) // 2], offset):
            yield reply

    cold = world.pod()
    with world.registry.attacked(lambda simulated: setattr(simulated, "chunks", half)):
        await check_starts_not(cold, "DOWNLOAD_CUT")
        await check_stays(world.warm, "DOWNLOAD_CUT")
    before = world.registry.sent_bytes
    assert await cold.start() == NEW
    whole = sum(file.size_bytes for file in world.registry.versions[name_of(NEW)].files)
    assert world.registry.sent_bytes - before <= whole - 50_000


def overrunning(file: VersionFile, content: bytes, offset: int) -> AsyncIterator[Sent]:
    """Ends with a chunk that is longer than what is left."""
    return honest_chunks(file, content + b"more", offset)


async def only_more(file: VersionFile, _: bytes, offset: int) -> AsyncIterator[Sent]:
    """Megabytes without end, from the first chunk on."""
    while True:
        yield chunk(bytes(1 << 20), offset, file)
        offset += 1 << 20


async def nothing_without_end(file: VersionFile, _: bytes, offset: int) -> AsyncIterator[Sent]:
    """Chunks of nothing, which never reach the end of the file."""
    yield chunk(b"", offset, file)
    while True:
        yield chunk(b"", offset)


async def larger_than_signed(file: VersionFile, content: bytes, offset: int) -> AsyncIterator[Sent]:
    """States another size with the first chunk than the signed manifest does."""
    yield chunk(content[:1000], offset, file.model_copy(update={"size_bytes": 1 << 40}))


async def no_messages(_file: VersionFile, _: bytes, _offset: int) -> AsyncIterator[Sent]:
    """Bytes that no message has."""
    while True:
        yield b"\xff" * 1000


async def one_great_message(file: VersionFile, _: bytes, offset: int) -> AsyncIterator[Sent]:
    """A single message of 100 MB."""
    yield chunk(bytes(100_000_000), offset, file)


@pytest.mark.parametrize(
    ("chunks", "reason"),
    [
        (overrunning, "CONTENT_CORRUPT"),
        (only_more, "CONTENT_CORRUPT"),
        (nothing_without_end, "CONTENT_CORRUPT"),
        (larger_than_signed, "CONTENT_CORRUPT"),
        (one_great_message, "RESOURCE_EXHAUSTED"),
        (no_messages, "CONTENT_CORRUPT"),
    ],
)
async def test_r27_endless_data_is_refused(world: World, chunks: Chunks, reason: str) -> None:
    """However it is offered: no more is kept than the manifest's size, which is signed."""
    await world.check_refused(lambda simulated: setattr(simulated, "chunks", chunks), reason)


async def test_r27_of_endless_data_no_byte_beyond_the_signed_size_is_written(world: World) -> None:
    """And what comes over the wire is bounded, although the registry would send for ever."""

    async def forever(file: VersionFile, content: bytes, offset: int) -> AsyncIterator[Sent]:
        async for reply in honest_chunks(file, content, offset):
            yield reply
        end = len(content)
        while True:
            yield chunk(bytes(1 << 20), end)
            end += 1 << 20

    world.registry.chunks = forever
    async with cutting_proxy(world.address) as (proxy, address):
        pod = world.pod()
        pod.address = address
        assert await pod.start() == NEW  # the right bytes came first; the rest was not read
        assert proxy.passed_bytes < _IN_FLIGHT_BYTES
    sizes = {file.file: file.size_bytes for file in world.registry.versions[name_of(NEW)].files}
    assert {path.name: path.stat().st_size for path in pod.fetched() if path.name in sizes} == sizes


async def test_r27_of_a_great_answer_next_to_nothing_is_read(world: World) -> None:
    """The size of a message stands before it: one of 100 MB is refused there."""

    def great(simulated: SimulatedRegistry) -> None:
        simulated.answers["GetVersion"] = answering(bytes(100_000_000))

    async with cutting_proxy(world.address) as (proxy, address):
        pod = world.pod()
        pod.address = address
        with world.registry.attacked(great):
            await check_starts_not(pod, "RESOURCE_EXHAUSTED")
        assert proxy.passed_bytes < _IN_FLIGHT_BYTES
        assert await pod.start() == NEW


async def test_r27_an_endless_history_is_given_up(world: World) -> None:
    """Page after page with nothing on it, and always one more."""
    empty = pb.ListChannelHistoryResponse(next_page_token="more")  # noqa: S106 no secret
    cold = world.pod()
    with world.registry.attacked(
        lambda simulated: simulated.answers.update(ListChannelHistory=answering(empty))
    ):
        await check_stays(world.warm, "HISTORY_ENDLESS")
    assert await world.warm.start() == NEW
    assert await cold.start() == NEW


@pytest.mark.parametrize(
    "fields",
    [
        {"statement": bytes(MAXIMUM_STATEMENT_BYTES + 1)},
        {"reason": "x" * 100_000},
        {"signature": Signature(media_type="", content=bytes(200_000))},
        {"rollout": Rollout(primary=VersionPin(version="x" * 100_000))},
    ],
    ids=lambda fields: next(iter(fields)),
)
async def test_r27_a_promotion_that_is_longer_than_any_is_refused(
    world: World, fields: dict[str, Any]
) -> None:
    """As soon as it comes: no more of them are read, and none is remembered."""
    for _ in range(100):
        world.registry.promote(NEW)
    before = world.registry.calls.count("ListChannelHistory")
    with world.registry.attacked(lambda simulated: simulated.corrupt(**fields)):
        await check_starts_not(world.pod(), "PROMOTION_TOO_LONG")
        await check_stays(world.warm, "PROMOTION_TOO_LONG")
    assert world.registry.calls.count("ListChannelHistory") == before + 2
    assert await world.warm.start() == NEW


async def test_r27_of_a_long_history_only_the_newest_signature_is_held(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It vouches for all; a thousand others of 64 KiB would be held for nothing."""
    world.registry.promote(NEW)
    seen: list[Promotion] = []
    with world.warm.trusting() as trusted:
        take = trusted.take

        def taking(steps: Sequence[Promotion]) -> Promotion:
            seen.extend(steps)
            return take(steps)

        monkeypatch.setattr(trusted, "take", taking)
        await world.warm.find(trusted)
    assert [step.signature for step in seen] == [None, world.registry.history[-1].signature]


async def test_r27_a_promotion_as_long_as_one_may_be_is_taken(world: World) -> None:
    """Its reason may have 1024 characters, each of several bytes."""
    world.registry.corrupt(reason="\U0001f399" * MAXIMUM_REASON_CHARACTERS, principal="x" * 2048)
    assert await world.pod().start() == await world.warm.start() == NEW


async def test_r27_a_manifest_beyond_its_bound_is_refused(world: World) -> None:
    """Even one that the promotion pins: it is not read as a manifest at all."""
    manifest = b" " * (1024 * 1024 + 1)
    simulated = world.registry
    simulated.publish("3.0.0")
    pin = VersionPin(version=name_of("3.0.0"), manifest_digest=digest_of(manifest))
    simulated.promote(pin)
    simulated.change("3.0.0", manifest=manifest)
    await check_starts_not(world.pod(), "CONTENT_CORRUPT")
    await check_stays(world.warm, "CONTENT_CORRUPT")


@pytest.mark.parametrize("method", ["ListChannelHistory", "GetVersion"])
async def test_r27_an_answer_that_is_none_is_refused(world: World, method: str) -> None:
    """Bytes that no message has."""
    garbage = answering(b"\xff" * 1000)
    await world.check_refused(
        lambda simulated: simulated.answers.update({method: garbage}), "MESSAGE_UNDECODABLE"
    )


_IN_FLIGHT_BYTES = 64 * 1024 * 1024
"""More than gRPC reads ahead of whoever reads a stream."""
