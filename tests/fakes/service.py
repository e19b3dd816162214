"""The real inference service inside the test's own event loop, on a free port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from numpy.typing import NDArray

from voiceflow.client.fate import Fate
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.diarization.v1 import diarization_pb2_grpc as pb_grpc
from voiceflow.errors import VoiceFlowError
from voiceflow.pipeline.model import BoundModel
from voiceflow.rpc.status import from_rpc_error
from voiceflow_inference.app import App, build, secure
from voiceflow_inference.settings import Settings


@asynccontextmanager
async def running(model: BoundModel, **settings: Any) -> AsyncIterator[tuple[App, str]]:
    """Serves a model; yields the app and its address. Settings replace the defaults here."""
    defaults: dict[str, Any] = {
        "model_dir": Path("unused"),
        "port": 0,
        "batch_limit": 4,
        "streams": 64,
        "streams_per_principal": 64,
        "grace_seconds": 1.0,
    }
    complete = Settings(**defaults | settings)
    app = build(complete, model, secure(complete))
    address = await app.start()
    try:
        yield app, address
    finally:
        await app.stop()


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
