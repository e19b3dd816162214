"""A server is taken out of service while it runs, and back, by the real service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.fakes import service
from tests.fakes.models import write_window_package
from tests.faults.streams import OWN_CONNECTION, Stream
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.diarization.v1 import diarization_pb2_grpc as pb_grpc
from voiceflow.errors import InvalidInput, Unavailable
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow.pipeline.model import BoundModel
from voiceflow.rpc.status import from_rpc_error

SECOND = service.audio(bytes(32_000))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> BoundModel:
    """A model that is quick to run."""
    return bind(load_package(write_window_package(tmp_path_factory.mktemp("draining") / "model")))


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[grpc.aio.Channel]:
    """A connection that no other test uses."""
    async with grpc.aio.insecure_channel(address, OWN_CONNECTION) as channel:
        yield channel


async def set_draining(
    channel: grpc.aio.Channel, *, draining: bool, deadline_seconds: float | None = None
) -> pb.SetDrainingResponse:
    """What an operator calls.

    Raises:
        VoiceFlowError: It was refused.
    """
    request = pb.SetDrainingRequest(draining=draining)
    if deadline_seconds is not None:
        request.deadline.CopyFrom(Duration(nanos=round(deadline_seconds * 1e9)))
    stub: Any = pb_grpc.DiarizationStub(channel)
    try:
        answer = await stub.SetDraining(request)
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from None
    assert isinstance(answer, pb.SetDrainingResponse)
    return answer


async def replies_of(stream: Stream) -> list[pb.DiarizeResponse]:
    """All of them, to the end of the stream."""
    while await stream.read() is not None:
        pass
    return stream.replies


async def health_of(channel: grpc.aio.Channel) -> int:
    """What load balancers see."""
    stub = health_pb2_grpc.HealthStub(channel)
    return int((await stub.Check(health_pb2.HealthCheckRequest())).status)


async def test_a_drained_server_refuses_new_streams_and_keeps_the_live_ones(
    model: BoundModel,
) -> None:
    """They hear nothing of it, and end as they would have; the answer counts them."""
    async with service.running(model) as (_, address), connected(address) as channel:
        live = Stream(channel)
        await live.send(service.config(), SECOND)
        await live.covered(0.4)
        answer = await set_draining(channel, draining=True)
        assert (answer.draining, answer.streams, answer.files) == (True, 1, 0)
        assert await health_of(channel) == health_pb2.HealthCheckResponse.NOT_SERVING
        refused = await service.failure(address, [service.config(), service.FINISH])
        assert (type(refused), refused.reason) == (Unavailable, "DRAINING")

        await live.send(SECOND, service.FINISH)
        replies = await replies_of(live)
        assert replies[-1].summary.complete
        assert not any(reply.HasField("go_away") for reply in replies)
        assert (await set_draining(channel, draining=True)).streams == 0


async def test_a_server_comes_back(model: BoundModel) -> None:
    """As often as it is switched; switching twice is as once."""
    async with service.running(model) as (_, address), connected(address) as channel:
        for draining in (True, True, False, False, True, False):
            assert (await set_draining(channel, draining=draining)).draining is draining
            serving = await health_of(channel) == health_pb2.HealthCheckResponse.SERVING
            assert serving is not draining
        replies = await service.diarize(address, [service.config(), SECOND, service.FINISH])
        assert replies[-1].summary.complete


async def test_live_streams_are_told_to_go_at_the_deadline(model: BoundModel) -> None:
    """And end with what they have said when the grace period has passed, too."""
    async with (
        service.running(model, grace_seconds=0.4) as (_, address),
        connected(address) as channel,
    ):
        live = Stream(channel)
        await live.send(service.config(), SECOND)
        await live.covered(0.4)
        await set_draining(channel, draining=True, deadline_seconds=0.05)
        replies = await replies_of(live)
        (told,) = [reply.go_away for reply in replies if reply.HasField("go_away")]
        assert told.reason == "DRAINING"
        assert replies[-1].HasField("summary")
        assert not replies[-1].summary.complete
        assert replies[-1].summary.audio_covered.seconds == 1


async def test_a_deadline_may_be_set_later_and_taken_back(model: BoundModel) -> None:
    """The last word counts: nobody is told to go of a server that is back in service."""
    async with service.running(model) as (app, address), connected(address) as channel:
        live = Stream(channel)
        await live.send(service.config(), SECOND)
        await set_draining(channel, draining=True)
        before = asyncio.all_tasks()
        await set_draining(channel, draining=True, deadline_seconds=0.9)
        await set_draining(channel, draining=True, deadline_seconds=0.9)
        waiting = asyncio.all_tasks() - before
        await set_draining(channel, draining=False)
        await asyncio.wait(waiting)
        assert any(task.cancelled() for task in waiting)
        await live.send(service.FINISH)
        replies = await replies_of(live)
        assert not any(reply.HasField("go_away") for reply in replies)
        assert replies[-1].summary.complete
        assert not app.admission.draining


@pytest.mark.parametrize("deadline_seconds", [-1.0, -0.5])
async def test_no_deadline_lies_in_the_past(model: BoundModel, deadline_seconds: float) -> None:
    """It is refused, and the server stays in service."""
    async with service.running(model) as (app, address), connected(address) as channel:
        with pytest.raises(InvalidInput) as caught:
            await set_draining(channel, draining=True, deadline_seconds=deadline_seconds)
        assert (caught.value.reason, caught.value.field) == ("DEADLINE_INVALID", "deadline")
        assert not app.admission.draining


async def test_a_server_that_ends_is_not_called_back(model: BoundModel) -> None:
    """SIGTERM has the last word."""
    async with service.running(model) as (app, address), connected(address) as channel:
        await app.server.drain()
        assert (await set_draining(channel, draining=True)).draining
        with pytest.raises(Unavailable) as caught:
            await set_draining(channel, draining=False)
        assert caught.value.reason == "DRAINING"
        assert app.admission.draining
