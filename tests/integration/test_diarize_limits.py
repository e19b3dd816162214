"""What a service does with clients and models that misbehave, and how it stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.fakes.models import Spoken, tones, write_stream_package
from tests.fakes.service import (
    FINISH,
    audio,
    config,
    diarize,
    failure,
    pcm16,
    pieces,
    plain,
    running,
)
from voiceflow.artifact import Manifest
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.diarization.v1 import diarization_pb2_grpc as pb_grpc
from voiceflow.errors import LimitExceeded, Overloaded, Unavailable, VoiceFlowError
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow.pipeline.model import BoundModel, FloatArray, Frames, State
from voiceflow.rpc.status import from_rpc_error
from voiceflow_inference.admission import StreamKind
from voiceflow_inference.app import App
from voiceflow_inference.backend import SlotBackend

DATA = pcm16(tones(Spoken((2,), 3.0), Spoken((8,), 3.0)))
HOP_BYTES = 2 * 7680


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small stateful model."""
    return write_stream_package(tmp_path_factory.mktemp("package"))


@pytest.fixture
def model(package: Path) -> BoundModel:
    """The same, loaded."""
    return bind(load_package(package))


async def until(condition: Callable[[], bool]) -> None:
    """Waits for something that the server does without telling."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 the server does not tell
            await asyncio.sleep(0.01)


async def rest(
    call: Any, replies: list[pb.DiarizeResponse] | None = None
) -> list[pb.DiarizeResponse]:
    """The replies until the stream ends, collected where an error cannot take them away."""
    replies = [] if replies is None else replies
    while (reply := await call.read()) is not grpc.aio.EOF:
        replies.append(reply)
    return replies


def nobody_in(app: App) -> Callable[[], bool]:
    """Whether every place and every slot is free again."""
    return lambda: app.admission.count(StreamKind.STREAM) == 0 and open_slots(app) == 0


def open_slots(app: App) -> int:
    """Slots in use."""
    backend = app.manager.primary.batcher._loaded
    assert isinstance(backend, SlotBackend)
    return backend.open_slots


class Spoiled:
    """A model that spoils the streams whose audio is at full scale."""

    def __init__(self, model: BoundModel, spoil: Callable[[Frames, int], None]) -> None:
        self._model = model
        self._spoil = spoil

    @property
    def manifest(self) -> Manifest:
        """Of the model."""
        return self._model.manifest

    @property
    def state_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Of the model."""
        return self._model.state_shapes

    def run(self, audio: FloatArray, state: State) -> tuple[Frames, dict[str, FloatArray]]:
        """As the model, then spoils rows."""
        frames, memory = self._model.run(audio, state)
        for row in np.flatnonzero(np.abs(audio).max(axis=1) > 0.99):
            self._spoil(frames, int(row))
        return frames, memory

    def terminate(self) -> None:
        """As the model."""
        self._model.terminate()


def give_nan(frames: Frames, row: int) -> None:
    """What a broken graph gives."""
    frames.activity[row] = np.nan


def crash(_frames: Frames, _row: int) -> None:
    """What a broken runtime does."""
    raise RuntimeError("secret")


@pytest.mark.parametrize(
    ("spoil", "reason"), [(give_nan, "MODEL_OUTPUT_NOT_FINITE"), (crash, "MODEL_FAILED")]
)
async def test_a_model_that_fails_on_one_stream_fails_that_stream_alone(
    model: BoundModel, spoil: Callable[[Frames, int], None], reason: str
) -> None:
    """I23: the neighbours in the batch get the replies that they get alone."""
    loud = audio(pcm16(np.ones(7680)))
    good = [config(session="a"), *pieces(DATA, HOP_BYTES), FINISH]
    async with running(Spoiled(model, spoil)) as (app, address):
        alone = await diarize(address, good)
        results, errors = await asyncio.gather(
            asyncio.gather(*(diarize(address, good) for _ in range(3))),
            asyncio.gather(
                *(failure(address, [config(), audio(DATA), loud, FINISH]) for _ in range(3))
            ),
        )
        assert [plain(result) for result in results] == [plain(alone)] * 3
        for error in errors:
            assert isinstance(error, VoiceFlowError)
            assert error.reason == reason
            assert "secret" not in error.message
        await until(nobody_in(app))


async def test_an_idle_stream_is_cut(model: BoundModel) -> None:
    """I16: ABORTED, and its place is free again."""
    async with (
        running(model, idle_seconds=0.05) as (app, address),
        grpc.aio.insecure_channel(address) as channel,
    ):
        call = pb_grpc.DiarizationStub(channel).Diarize()
        await call.write(config())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await rest(call)
        error = from_rpc_error(caught.value)
        assert (type(error), error.reason) == (LimitExceeded, "STREAM_IDLE")
        await until(nobody_in(app))


async def test_a_slow_reader_is_cut(model: BoundModel, caplog: pytest.LogCaptureFixture) -> None:
    """I15: a client that sends and never reads loses its stream; the others go on."""
    caplog.set_level("DEBUG", logger="voiceflow.rpc.interceptor")
    async with (
        running(model, unsent_reply_seconds=2.0) as (app, address),
        # What the transport takes on behalf of a client that does not read is kept small.
        grpc.aio.insecure_channel(address, options=[("grpc.http2.bdp_probe", 0)]) as channel,
    ):
        call = pb_grpc.DiarizationStub(channel).Diarize()

        async def send_for_ever() -> None:
            await call.write(config(send_activity=True, latency_mode=pb.LATENCY_MODE_AGENT))
            while True:
                await call.write(audio(DATA))

        sending = asyncio.create_task(send_for_ever())
        await until(lambda: "LimitExceeded SLOW_READER" in caplog.text)
        sending.cancel()
        await asyncio.wait([sending])
        await until(nobody_in(app))
        assert (await diarize(address, [config(), audio(DATA), FINISH]))[-1].summary.complete


async def test_a_fast_sender_is_slowed_down_not_cut(model: BoundModel) -> None:
    """I12: the room for replies is tiny, the client sends first and reads later; all is there."""
    asked = config(session="a", send_activity=True, latency_mode=pb.LATENCY_MODE_AGENT)
    requests = [asked, *pieces(DATA * 80, 100_000), FINISH]  # 600 kB of replies
    async with running(model) as (_, address):
        usual = await diarize(address, requests)
    async with (
        running(model, unsent_reply_bytes=4096, unsent_reply_seconds=600.0) as (_, address),
        grpc.aio.insecure_channel(address, options=[("grpc.http2.bdp_probe", 0)]) as channel,
    ):
        call = pb_grpc.DiarizationStub(channel).Diarize()

        async def send() -> None:
            for request in requests:
                await call.write(request)
            await call.done_writing()

        sending = asyncio.create_task(send())
        await asyncio.wait([sending], timeout=2)  # time enough to be cut, were it not slowed down
        assert plain(await rest(call))[1:] == plain(usual)[1:]
        await sending


async def test_cancelled_streams_free_their_places(model: BoundModel) -> None:
    """I20: opened and cancelled at every stage, over and over, nothing is left."""
    async with (
        running(model) as (app, address),
        grpc.aio.insecure_channel(address) as channel,
    ):
        stub = pb_grpc.DiarizationStub(channel)

        async def open_and_cancel(writes: int) -> None:
            call = stub.Diarize()
            for request in [config(), audio(DATA), audio(DATA)][:writes]:
                await call.write(request)
            if writes > 1:
                await call.read()
            call.cancel()

        for _ in range(25):
            await asyncio.gather(*(open_and_cancel(writes) for writes in (0, 1, 2, 3)))
        await until(nobody_in(app))
        assert (await diarize(address, [config(), audio(DATA), FINISH]))[-1].summary.complete


async def test_a_deadline_yields_no_summary(model: BoundModel) -> None:
    """I17: the stream is over, there is no Summary, the place is free."""
    async with running(model) as (app, address), grpc.aio.insecure_channel(address) as channel:
        call = pb_grpc.DiarizationStub(channel).Diarize(timeout=0.3)
        await call.write(config())
        await call.write(audio(DATA))
        seen: list[pb.DiarizeResponse] = []
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await rest(call, seen)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert any(reply.HasField("update") for reply in seen)
        assert not any(reply.HasField("summary") for reply in seen)
        await until(nobody_in(app))


async def test_overload_refuses_streams_and_not_health(model: BoundModel) -> None:
    """I19: the excess is told when to come back; those inside and health are not touched."""
    async with (
        running(model, streams=4, streams_per_principal=2) as (app, address),
        grpc.aio.insecure_channel(address) as channel,
    ):
        stub = pb_grpc.DiarizationStub(channel)
        inside = [stub.Diarize() for _ in range(2)]
        for call in inside:
            await call.write(config())
            await call.read()
        for error in await asyncio.gather(*(failure(address, [config()]) for _ in range(20))):
            assert isinstance(error, Overloaded)
            assert error.reason == "STREAMS_PER_CLIENT_FULL"
            assert error.retry_after_seconds > 0
        health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        state = await stub.GetServingState(pb.GetServingStateRequest())
        assert (state.streams, state.files, state.capacity_streams) == (2, 0, 4)
        assert state.refusals == {"STREAMS_PER_CLIENT_FULL": 20}
        assert state.settings["streams_per_principal"] == "2"
        for call in inside:
            await call.write(FINISH)
            assert (await rest(call))[-1].summary.complete
        await until(nobody_in(app))


async def test_a_drain_loses_nobodys_final_turns(model: BoundModel) -> None:
    """P10: a live stream is told, may go on, and ends with all that it sent made final."""
    async with running(model, grace_seconds=2.0, idle_seconds=600.0) as (app, address):
        whole = await diarize(address, [config(), audio(DATA)])
        async with grpc.aio.insecure_channel(address) as channel:
            stub = pb_grpc.DiarizationStub(channel)
            call = stub.Diarize()
            await call.write(config())
            await call.write(audio(DATA[: len(DATA) // 2]))
            begin: Any = await call.read()
            replies: list[pb.DiarizeResponse] = [begin]
            draining = asyncio.create_task(app.server.drain())
            await until(lambda: app.admission.draining)
            error = await failure(address, [config()])
            assert (type(error), error.reason) == (Unavailable, "DRAINING")
            health = await health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest()
            )
            assert health.status == health_pb2.HealthCheckResponse.NOT_SERVING
            await call.write(audio(DATA[len(DATA) // 2 :]))
            replies += await rest(call)
            await draining
        kinds = [reply.WhichOneof("response") for reply in replies]
        assert kinds.count("go_away") == 1
        assert not replies[-1].summary.complete
        assert replies[-1].summary == whole[-1].summary


async def test_recordings_are_cut_off_by_a_drain_and_told(model: BoundModel) -> None:
    """A part of a recording's result is none: UNAVAILABLE says to try another server."""
    async with (
        running(model, grace_seconds=0.2, idle_seconds=600.0) as (app, address),
        grpc.aio.insecure_channel(address) as channel,
    ):
        call = pb_grpc.DiarizationStub(channel).DiarizeFile()
        await call.write(pb.DiarizeFileRequest(config=config().config))
        await until(lambda: app.admission.count(StreamKind.FILE) == 1)
        await app.server.drain()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        error = from_rpc_error(caught.value)
        assert (type(error), error.reason) == (Unavailable, "DRAINING")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("send_provisional_turns", True),
        ("send_activity", True),
        ("send_timings", True),
        ("resume_token", b"token"),
    ],
)
async def test_recordings_have_no_replies_on_the_way(
    model: BoundModel, field: str, value: object
) -> None:
    """What only a live stream can send or go on from is refused for a recording, not ignored."""
    async with running(model) as (_, address), grpc.aio.insecure_channel(address) as channel:
        asked = pb.DiarizeFileRequest(config=config(**{field: value}).config)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await pb_grpc.DiarizationStub(channel).DiarizeFile(iter([asked]))
        error = from_rpc_error(caught.value)
        assert (error.reason, error.field) == ("FIELD_NOT_FOR_FILES", f"config.{field}")


async def test_a_full_house_of_streams_still_takes_recordings(model: BoundModel) -> None:
    """Files are counted apart."""
    async with (
        running(model, streams=1, streams_per_principal=1) as (_, address),
        grpc.aio.insecure_channel(address) as channel,
    ):
        stub = pb_grpc.DiarizationStub(channel)
        call = stub.Diarize()
        await call.write(config())
        await call.read()

        async def recording() -> AsyncIterator[pb.DiarizeFileRequest]:
            yield pb.DiarizeFileRequest(config=config().config)
            yield pb.DiarizeFileRequest(audio=DATA)

        assert (await stub.DiarizeFile(recording())).summary.complete
        call.cancel()
