"""Publishing over the wire: cut, resumed, repeated, superseded, refused by a gate."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest

from tests.fakes.publishing import Package, ScriptedGates, finding, package
from tests.fakes.registry import (
    CHUNK_BYTES,
    begin,
    call,
    chunk,
    eventually,
    failure,
    publish,
    running,
    whole,
)
from tests.integration.registry.seeded import UUIDS
from voiceflow.catalog.gates import Gate
from voiceflow.errors import (
    InvalidInput,
    LimitExceeded,
    NotAllowedNow,
    NotFound,
    Overloaded,
    Unavailable,
)
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.registry.v1 import registry_pb2_grpc as pb_grpc
from voiceflow.rpc.status import from_rpc_error
from voiceflow_registry.publishing.publish import Published, UploadSession

BIG = package(weights=bytes(range(256)) * (10 << 10))  # 2.5 MiB


async def received(registry: pb_grpc.ModelRegistryStub, what: Package) -> dict[str, int]:
    """How far an upload came; nothing if there is none."""
    try:
        response = await call(registry.GetUpload, pb.GetUploadRequest(name=str(what.upload)))
    except grpc.aio.AioRpcError as error:
        if from_rpc_error(error).reason != "UPLOAD_NOT_FOUND":
            raise
        return {}
    return {file.file: file.received_bytes for file in response.upload.files}


async def test_a_version_is_there_when_it_is_answered() -> None:
    """The answer has the version and what the gates saw, and the version can be read."""
    async with running() as (_, registry):
        response = await publish(registry, BIG)
        assert response.report.passed
        assert not response.already_published
        read = await call(registry.GetVersion, pb.GetVersionRequest(name=str(BIG.name)))
        assert read.version == response.version
        assert read.version.publisher == "host:127.0.0.1"
        assert read.version.manifest == BIG.manifest


async def test_the_same_bytes_again_are_answered_with_what_exists() -> None:
    """R18: a retry has the first answer; another request is told that the version stood there."""
    async with running() as (_, registry):
        first = await publish(registry, BIG, request_id=UUIDS[0])
        assert await publish(registry, BIG, request_id=UUIDS[0]) == first
        again = await publish(registry, BIG, request_id=UUIDS[1])
        assert again.already_published
        assert again.version == first.version


async def test_a_stream_that_ends_early_goes_on_where_it_was() -> None:
    """R1: what came is kept; only the rest is sent again."""
    async with running() as (_, registry):
        refusal = await failure(registry.PublishVersion, whole(BIG)[:3])  # two of three chunks
        assert refusal.reason == "UPLOAD_INCOMPLETE"
        assert (await received(registry, BIG))["model.onnx"] == 2 * CHUNK_BYTES
        assert await resumed(registry, BIG)
        assert await received(registry, BIG) == {}


async def test_what_came_before_a_bad_chunk_is_kept() -> None:
    """R4: a stream that is refused in the midst leaves what was right."""
    async with running() as (_, registry):
        refusal = await failure(
            registry.PublishVersion, [*whole(BIG)[:2], chunk("model.onnx", 7, b"x")]
        )
        assert refusal.reason == "CHUNK_OVERLAP"
        assert (await received(registry, BIG))["model.onnx"] == CHUNK_BYTES


async def test_a_stream_that_is_cut_goes_on_where_it_was() -> None:
    """R1: a client that vanishes in the midst leaves what came, for whoever goes on."""
    huge = package(weights=bytes(12 * CHUNK_BYTES))
    async with running() as (_, registry):

        async def cut() -> AsyncIterator[pb.PublishVersionRequest]:
            for request in whole(huge)[:12]:
                yield request
            await asyncio.Event().wait()

        publishing = registry.PublishVersion(cut())
        await eventually(lambda: received(registry, huge))

        async def much() -> bool:
            return (await received(registry, huge))["model.onnx"] > CHUNK_BYTES

        assert await eventually(much)
        publishing.cancel()
        # The stream that was cut may still put down what it held.
        assert await eventually(lambda: resumed(registry, huge))
        assert await received(registry, huge) == {}


async def resumed(registry: pb_grpc.ModelRegistryStub, what: Package) -> bool:
    """Asks how far an upload came and sends the rest; False if another stream was in between."""
    came = await received(registry, what)
    requests = [begin(what)]
    for file, content in what.files.items():
        requests += [
            chunk(file, offset, content[offset : offset + CHUNK_BYTES])
            for offset in range(came[file], len(content), CHUNK_BYTES)
        ]
    try:
        await call(registry.PublishVersion, requests)
    except grpc.aio.AioRpcError as error:
        if from_rpc_error(error).reason not in {"UPLOAD_SUPERSEDED", "CHUNK_GAP", "CHUNK_OVERLAP"}:
            raise
        return False
    return True


async def test_checking_alone_keeps_nothing() -> None:
    """With validate_only the gates have run, and neither version nor upload is there."""
    async with running() as (_, registry):
        response = await publish(registry, BIG, validate_only=True)
        assert response.report.passed
        assert response.report.name == ""
        assert not response.version.HasField("publish_time")
        missing = await failure(registry.GetVersion, pb.GetVersionRequest(name=str(BIG.name)))
        assert isinstance(missing, NotFound)
        assert await received(registry, BIG) == {}


async def test_what_a_gate_refuses_is_told_rule_by_rule() -> None:
    """GATES_NOT_PASSED has a violation for each rule, and nothing is published."""
    gates = ScriptedGates(failing={Gate.GRAPH: finding("graph.external-data")})
    async with running(gates=gates) as (_, registry):
        refusal = await failure(registry.PublishVersion, whole(BIG))
        assert isinstance(refusal, NotAllowedNow)
        assert refusal.reason == "GATES_NOT_PASSED"
        assert [violation.kind for violation in refusal.violations] == ["graph.external-data"]
        gates.failing.clear()
        assert (await publish(registry, BIG)).report.passed


async def test_a_number_that_is_too_low_is_told() -> None:
    """BUMP_TOO_SMALL names the change."""
    gates = ScriptedGates(failing={Gate.MANIFEST: finding("manifest.bump-too-small")})
    async with running(gates=gates) as (_, registry):
        refusal = await failure(registry.PublishVersion, whole(BIG))
        assert isinstance(refusal, NotAllowedNow)
        assert refusal.reason == "BUMP_TOO_SMALL"
        assert refusal.violations


async def test_the_older_stream_of_an_upload_is_superseded() -> None:
    """Two streams of one upload: the later one goes on, the older one is told."""
    async with running() as (_, registry):
        go_on = asyncio.Event()

        async def older() -> AsyncIterator[pb.PublishVersionRequest]:
            yield begin(BIG)
            yield chunk("model.onnx", 0, BIG.files["model.onnx"][:CHUNK_BYTES])
            await go_on.wait()
            for request in whole(BIG)[2:]:
                yield request

        slow = asyncio.ensure_future(call(registry.PublishVersion, older()))
        await eventually(lambda: received(registry, BIG))
        response = await publish(registry, BIG)
        go_on.set()
        await asyncio.wait({slow})
        late = slow.exception()
        if isinstance(late, grpc.aio.AioRpcError):
            assert from_rpc_error(late).reason == "UPLOAD_SUPERSEDED"
        else:
            assert slow.result().version == response.version


async def test_a_big_chunk_and_the_largest_manifest_fit() -> None:
    """The transport's limit is above what the service takes: the service itself refuses."""
    async with running() as (_, registry):
        manifest = bytes((1 << 20) + 1)
        refusal = await failure(registry.PublishVersion, [begin(BIG, manifest=manifest)])
        assert refusal.reason == "MANIFEST_INVALID"
        much = [begin(BIG), chunk("model.onnx", 0, bytes(CHUNK_BYTES + 1))]
        refusal = await failure(registry.PublishVersion, much)
        assert isinstance(refusal, InvalidInput)
        assert (refusal.reason, refusal.field) == ("FIELD_INVALID", "chunk.data")


class Cutting:
    """A stream that has sent all and has not half-closed, and ways to end it."""

    def __init__(self, address: str, what: Package, **options: Any) -> None:
        self.channel = grpc.aio.insecure_channel(
            address, options=[("grpc.use_local_subchannel_pool", 1)]
        )
        self.call: Any = pb_grpc.ModelRegistryStub(self.channel).PublishVersion(**options)
        self._requests = whole(what)

    async def send(self) -> None:
        """Sends all requests."""
        for request in self._requests:
            await self.call.write(request)

    async def cancel(self) -> None:
        """The caller changes its mind."""
        self.call.cancel()

    async def close(self) -> None:
        """The connection ends."""
        await self.channel.close()

    async def expire(self) -> None:
        """The deadline passes."""
        await self.call.code()


@pytest.mark.parametrize("how", ["cancel", "close", "expire"])
async def test_a_stream_that_is_cut_publishes_nothing(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though every byte came: without a half-close nothing is finished, and it can be resumed."""
    finish, finished = UploadSession.finish, []

    def noted(session: UploadSession, **named: Any) -> Published:
        finished.append(session)
        return finish(session, **named)

    monkeypatch.setattr(UploadSession, "finish", noted)
    async with running(publishes=8) as (app, registry):

        async def cut(at: int) -> None:
            what = package(f"1.0.{at}", weights=bytes([at]) * 1000)
            timeout = {"timeout": 3.0} if how == "expire" else {}
            cutting = Cutting(app.server.address, what, **timeout)
            await cutting.send()

            async def came() -> bool:
                return (await received(registry, what)).get("model.onnx") == 1000

            assert await eventually(came)
            await getattr(cutting, how)()
            await cutting.close()

        await asyncio.gather(*(cut(at) for at in range(8)))
        await eventually(lambda: nobody(app))
        assert not finished
        for at in range(8):
            what = package(f"1.0.{at}", weights=bytes([at]) * 1000)
            missing = await failure(registry.GetVersion, pb.GetVersionRequest(name=str(what.name)))
            assert isinstance(missing, NotFound)
            assert (await received(registry, what))["model.onnx"] == 1000
        assert await resumed(registry, what)


async def nobody(app: Any) -> bool:
    """All streams that published have ended on the server."""
    return bool(app.servicer._publishes._taken == 0)


async def idle(app: Any) -> bool:
    """What has begun on the server has ended."""
    return not app.threads._kept


async def test_a_publisher_that_leaves_while_the_gates_run_publishes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Also after a half-close: nothing is committed for whoever is not there to be answered."""
    caplog.set_level(logging.WARNING)
    gates = HeldGates()
    async with running(gates=gates) as (app, registry):
        publishing = asyncio.ensure_future(call(registry.PublishVersion, whole(BIG)))
        await asyncio.to_thread(gates.started.wait, 30)
        publishing.cancel()
        await eventually(lambda: nobody(app))
        gates.go_on.set()
        await eventually(lambda: idle(app))
        assert app.acts.versions.find(BIG.name) is None
    gc.collect()  # what nobody looked at is logged then
    assert not caplog.records


class HeldGates(ScriptedGates):
    """Gates that wait in the first one."""

    def __init__(self) -> None:
        super().__init__()
        self.started = threading.Event()
        self.go_on = threading.Event()

    def run(self, *arguments: Any, **named: Any) -> Iterator[Any]:
        """See `ScriptedGates`."""
        self.started.set()
        self.go_on.wait(30)
        yield from super().run(*arguments, **named)


async def test_a_stream_that_says_nothing_is_cut() -> None:
    """UPLOAD_IDLE, before `begin` and after it; what came is kept."""
    async with running(publish_idle_seconds=0.2) as (app, registry):
        silent = Cutting(app.server.address, BIG)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await silent.call
        assert from_rpc_error(caught.value).reason == "UPLOAD_IDLE"
        await silent.close()
        begun = Cutting(app.server.address, BIG)
        for request in whole(BIG)[:2]:
            await begun.call.write(request)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await begun.call
        error = from_rpc_error(caught.value)
        assert isinstance(error, LimitExceeded)
        assert error.reason == "UPLOAD_IDLE"
        await begun.close()
        assert (await received(registry, BIG))["model.onnx"] == CHUNK_BYTES


async def test_streams_beyond_the_limit_are_refused() -> None:
    """OVERLOADED with a time to come back; a place that is free again is taken."""
    async with running(publishes=1) as (app, registry):
        first = Cutting(app.server.address, BIG)
        await first.call.write(begin(BIG))
        await first.call.initial_metadata()
        refusal = await failure(registry.PublishVersion, whole(BIG))
        assert isinstance(refusal, Overloaded)
        assert refusal.retry_after_seconds
        await first.close()
        await eventually(lambda: nobody(app))
        assert (await publish(registry, BIG)).report.passed


async def test_who_says_nothing_holds_no_place() -> None:
    """A place is taken with `begin`: streams that are silent would keep all others out."""
    async with running(publishes=1) as (app, registry):
        silent = [Cutting(app.server.address, BIG) for _ in range(3)]
        await eventually(lambda: entered(app, 3))
        assert (await publish(registry, BIG)).report.passed
        for one in silent:
            await one.close()


async def entered(app: Any, count: int) -> bool:
    """So many streams have come in on the server."""
    return bool(app.servicer._presence._count == count)


async def test_streams_that_send_end_at_once_when_the_server_stops(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """SHUTTING_DOWN with a time to come back, long before the grace period; what came is kept."""
    caplog.set_level(logging.WARNING)
    async with running(grace_seconds=60.0) as (app, registry):
        idle = Cutting(app.server.address, BIG)
        for request in whole(BIG)[:2]:
            await idle.call.write(request)
        await idle.call.initial_metadata()
        draining = asyncio.ensure_future(app.server.drain())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asyncio.wait_for(idle.call, 30)
        error = from_rpc_error(caught.value)
        assert isinstance(error, Unavailable)
        assert error.reason == "SHUTTING_DOWN"
        assert error.retry_after_seconds
        await asyncio.wait_for(draining, 30)
        assert (await received(registry, BIG)).keys() == BIG.files.keys()
        await idle.close()
    assert not caplog.records


async def test_an_empty_chunk_is_refused() -> None:
    """It would keep a stream open for nothing."""
    async with running() as (_, registry):
        refusal = await failure(registry.PublishVersion, [begin(BIG), chunk("model.onnx", 0, b"")])
        assert (refusal.reason, refusal.field) == ("FIELD_INVALID", "chunk.data")


async def test_a_size_stated_wrongly_is_told_though_another_puts_the_content() -> None:
    """FIELD_INVALID on the sizes: nothing that is stored is damaged."""
    async with running() as (app, registry):
        liar = package("1.0.1", weights=BIG.files["model.onnx"], sizes={})
        sizes = [
            pb.PublishBegin.DeclaredFile(file=file, size_bytes=10 if file == "model.onnx" else size)
            for file, size in ((file, len(content)) for file, content in liar.files.items())
        ]
        stream = Cutting(app.server.address, liar)
        await stream.call.write(begin(liar, files=sizes))
        await stream.call.initial_metadata()
        await publish(registry, BIG)
        await stream.call.done_writing()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stream.call
        error = from_rpc_error(caught.value)
        assert (error.reason, error.field) == ("FIELD_INVALID", "begin.files")
        await stream.close()
