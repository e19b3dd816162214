"""The real inference service inside the test's own event loop, on a free port."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import grpc
from numpy.typing import NDArray

from voiceflow.artifact import LatencyMode
from voiceflow.catalog.channels import Rollout, VersionPin
from voiceflow.catalog.pods import GenerationState
from voiceflow.client.fate import Fate
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.diarization.v1 import diarization_pb2_grpc as pb_grpc
from voiceflow.errors import VoiceFlowError
from voiceflow.pipeline.model import BoundModel
from voiceflow.rpc.status import from_rpc_error
from voiceflow_inference.app import App, Origin, build, secure
from voiceflow_inference.serving.alarms import Alarms
from voiceflow_inference.serving.download import Found
from voiceflow_inference.serving.generation import Generation
from voiceflow_inference.serving.loading import Loader, OnState
from voiceflow_inference.serving.state import Wanted
from voiceflow_inference.settings import Settings


@asynccontextmanager
async def running(model: BoundModel, **settings: Any) -> AsyncIterator[tuple[App, str]]:
    """Serves a model; yields the app and its address. Settings replace the defaults here."""
    complete = in_process(**settings)
    origin = Origin(Only(model), Alarms())
    app = await build(
        complete, secure(complete), origin, make_loader=partial(Loaded, {_pin(model): model})
    )
    address = await app.start()
    try:
        yield app, address
    finally:
        await app.stop()


def in_process(**settings: Any) -> Settings:
    """Of a service inside a test's event loop."""
    defaults: dict[str, Any] = {
        "model_dir": Path("unused"),
        "port": 0,
        "batch_limit": 4,
        "streams": 64,
        "streams_per_principal": 64,
        "grace_seconds": 1.0,
    }
    return Settings(**defaults | settings)


class Only:
    """A `Source` that wants one model for ever."""

    def __init__(self, model: BoundModel) -> None:
        self._pin = _pin(model)

    async def wanted(self) -> AsyncGenerator[Wanted, None]:
        """It, then nothing more."""
        yield Wanted(1, Rollout(primary=self._pin))
        await asyncio.Event().wait()

    async def fetch(self, pin: VersionPin) -> Found:
        """It is here."""
        del pin
        return Found(Path("unused"))

    def instead(self, wanted: Wanted) -> None:
        """There is no other."""

    def holds(self, wanted: Wanted) -> None:
        """It is not remembered."""

    def keep(self, pins: Collection[VersionPin]) -> None:
        """It stays."""


class Loaded(Loader):
    """Gives out models that are loaded already, by their pins."""

    def __init__(
        self,
        models: Mapping[VersionPin, BoundModel],
        settings: Settings,
        hang_seconds: Callable[[], float | None],
    ) -> None:
        super().__init__(settings, hang_seconds)
        self._models = models

    async def load(
        self, found: Found, pin: VersionPin, number: int, on_state: OnState
    ) -> Generation:
        """Warms it; a stream of any mode takes one place, whatever a hop cost amid other work."""
        del found
        on_state(GenerationState.LOADING)
        generation = await self.warmed(self._models[pin], pin, number, on_state)
        return replace(generation, stream_costs=dict.fromkeys(LatencyMode, 1.0))


def _pin(model: BoundModel) -> VersionPin:
    return VersionPin(version=model.manifest.resource_name)


def config(**fields: Any) -> pb.DiarizeRequest:
    """A config request: PCM16 at 16 kHz, with some fields other than that."""
    audio_format = fields.pop(
        "audio_format",
        pb.AudioFormat(encoding=pb.AUDIO_ENCODING_PCM16, sample_rate_hertz=16_000),
    )
    return pb.DiarizeRequest(config=pb.StreamConfig(audio_format=audio_format, **fields))


def audio(data: bytes) -> pb.DiarizeRequest:
    """A piece of audio."""
    return pb.DiarizeRequest(audio=data)


def pieces(data: bytes, size: int) -> list[pb.DiarizeRequest]:
    """Audio in messages of that size."""
    return [audio(data[start : start + size]) for start in range(0, len(data), size)]


def pcm16(samples: NDArray[Any]) -> bytes:
    """Samples in -1 to 1 as PCM16."""
    return (samples * 32767).astype("<i2").tobytes()


def plain(replies: Iterable[pb.DiarizeResponse]) -> list[bytes]:
    """Replies to the byte, without resume tokens: no two are equal, whatever they hold."""
    told = []
    for reply in replies:
        copy = pb.DiarizeResponse.FromString(reply.SerializeToString())
        if copy.WhichOneof("response") == "update":
            copy.update.ClearField("resume_token")
        told.append(copy.SerializeToString(deterministic=True))
    return told


FINISH = pb.DiarizeRequest(finish=pb.Finish())
FLUSH = pb.DiarizeRequest(flush=pb.Flush())


async def diarize(
    address: str, requests: Sequence[pb.DiarizeRequest], **options: Any
) -> list[pb.DiarizeResponse]:
    """One whole stream; half-closes after the last request.

    Raises:
        VoiceFlowError: What the stream ended with.
    """
    async with grpc.aio.insecure_channel(address) as channel:
        call = pb_grpc.DiarizationStub(channel).Diarize(iter(requests), **options)
        fate = Fate(call)
        try:
            return [reply async for reply in call]
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(fate.told(error)) from None


async def failure(address: str, requests: Sequence[pb.DiarizeRequest]) -> VoiceFlowError:
    """The error that a stream ends with."""
    try:
        replies = await diarize(address, requests)
    except VoiceFlowError as error:
        return error
    raise AssertionError(f"the stream ended well, with {replies[-1]}")
