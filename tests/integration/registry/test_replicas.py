"""Three registry processes on one store: a folder, and a bucket."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from tests.fakes.gcs import serving
from tests.fakes.publishing import Package, package
from tests.fakes.registry import (
    CHUNK_BYTES,
    Process,
    begin,
    call,
    chunk,
    eventually,
    process,
    promotion,
    publish,
)
from tests.integration.registry.seeded import MODEL, STABLE, etag_of
from tests.integration.registry.test_publishing import received, resumed
from tests.integration.registry.test_watching import promote_all, sequences, watch
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.registry.v1 import registry_pb2_grpc as pb_grpc
from voiceflow.rpc.status import from_rpc_error


@dataclass(frozen=True)
class Replica:
    """A registry process and a connection to it."""

    process: Process
    stub: pb_grpc.ModelRegistryStub


@asynccontextmanager
async def replicas(place: str, folder: Path, count: int) -> AsyncIterator[list[Replica]]:
    """Processes on one store: a folder or a bucket of a server for tests."""
    async with AsyncExitStack() as stack:
        arguments = ["--store", str(folder)]
        if place == "bucket":
            fake = stack.enter_context(serving())
            fake.add_bucket("registry")
            arguments = ["--store", "gs://registry/all", "--gcs-endpoint", fake.endpoint]
        started = await asyncio.gather(
            *(stack.enter_async_context(process(*arguments)) for _ in range(count))
        )
        found = []
        for one in started:
            channel = grpc.aio.insecure_channel(one.address)
            found.append(
                Replica(one, pb_grpc.ModelRegistryStub(await stack.enter_async_context(channel)))
            )
        yield found


PLACES = pytest.mark.parametrize("place", ["folder", "bucket"])


@PLACES
async def test_replicas_are_one_registry(place: str, tmp_path: Path) -> None:
    """R19, R20, R22: whoever is asked, and also when one of them is killed."""
    async with replicas(place, tmp_path, 3) as three:
        await of_eight_publishers_one_wins(three)
        await what_one_promotes_another_tells(three)
        await of_three_promoters_one_wins(three)
        await an_upload_outlives_its_replica(three)


async def of_eight_publishers_one_wins(three: Sequence[Replica]) -> None:
    """Eight contents, one name: one version, the same at every replica."""
    made = [package("1.0.0", weights=f"weights {number}".encode()) for number in range(8)]
    outcomes = await asyncio.gather(
        *(publish(three[number % 3].stub, what) for number, what in enumerate(made)),
        return_exceptions=True,
    )
    assert Counter(map(outcome_of, outcomes)) == {"done": 1, "VERSION_EXISTS": 7}
    request = pb.GetVersionRequest(name=f"{MODEL}/versions/1.0.0")
    versions = [await call(replica.stub.GetVersion, request) for replica in three]
    assert versions[0] == versions[1] == versions[2]


async def what_one_promotes_another_tells(three: Sequence[Replica]) -> None:
    """Promoted through one, watched through another."""
    for minor in (1, 2, 3):
        await publish(three[minor % 3].stub, package(f"1.{minor}.0"))
    names = [f"{MODEL}/versions/1.{minor}.0" for minor in range(4)]
    watching = asyncio.ensure_future(sequences(watch(three[1].stub), 4))
    await promote_all(three[0].stub, STABLE, names)
    assert await watching == [1, 2, 3, 4]


async def of_three_promoters_one_wins(three: Sequence[Replica]) -> None:
    """One etag, three replicas."""
    await publish(three[0].stub, package("2.0.0"))
    etag = await etag_of(three[2].stub, STABLE)
    wishes = [
        promotion(STABLE, f"{MODEL}/versions/2.0.0", etag=etag, reason=str(number))
        for number in range(3)
    ]
    outcomes = await asyncio.gather(
        *(call(one.stub.PromoteVersion, wish) for one, wish in zip(three, wishes, strict=True)),
        return_exceptions=True,
    )
    assert Counter(map(outcome_of, outcomes)) == {"done": 1, "ETAG_STALE": 2}


async def an_upload_outlives_its_replica(three: Sequence[Replica]) -> None:
    """SIGKILL in the midst of an upload: another replica goes on from what was kept."""
    huge = package("3.0.0", weights=bytes(range(256)) * (40 << 10))  # 10 MiB
    content = huge.files["model.onnx"]

    async def part() -> AsyncIterator[pb.PublishVersionRequest]:
        yield begin(huge)
        for offset in range(0, 9 * CHUNK_BYTES, CHUNK_BYTES):
            yield chunk("model.onnx", offset, content[offset : offset + CHUNK_BYTES])
        await asyncio.Event().wait()

    async def much() -> bool:
        return (await received(three[1].stub, huge)).get("model.onnx", 0) >= 8 * CHUNK_BYTES

    publishing = asyncio.ensure_future(call(three[0].stub.PublishVersion, part()))
    await eventually(much)
    await three[0].process.kill()
    await asyncio.gather(publishing, return_exceptions=True)
    assert await resumed(three[1].stub, huge)
    assert await downloaded(three[2].stub, huge) == content


async def downloaded(registry: pb_grpc.ModelRegistryStub, what: Package) -> bytes:
    """The model of a version."""
    request = pb.DownloadVersionRequest(name=str(what.name), file="model.onnx")
    return b"".join(reply.data for reply in await call(registry.DownloadVersion, request))


def outcome_of(outcome: object) -> str:
    """The reason of a refusal, or `done`."""
    if isinstance(outcome, grpc.aio.AioRpcError):
        return from_rpc_error(outcome).reason
    if isinstance(outcome, BaseException):
        raise outcome
    return "done"
