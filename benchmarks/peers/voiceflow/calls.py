"""How a client calls ours: DiarizeFile, samples in, turns out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import grpc

from benchmarks.peers.load import Call, CallFailed
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.diarization.v1 import diarization_pb2_grpc as pb_grpc
from voiceflow.rpc.status import from_rpc_error

_OWN_CONNECTION: Final = [("grpc.use_local_subchannel_pool", 1)]
_CONFIG: Final = pb.DiarizeFileRequest(
    config=pb.StreamConfig(
        audio_format=pb.AudioFormat(encoding=pb.AUDIO_ENCODING_PCM16, sample_rate_hertz=16_000)
    )
)


@asynccontextmanager
async def connect(address: str) -> AsyncIterator[Call]:
    """A client of a service at `host:port`."""
    async with grpc.aio.insecure_channel(address, options=_OWN_CONNECTION) as channel:
        stub = pb_grpc.DiarizationStub(channel)

        async def call(window: bytes) -> None:
            try:
                answer = await stub.DiarizeFile(
                    iter([_CONFIG, pb.DiarizeFileRequest(audio=window)])
                )
            except grpc.aio.AioRpcError as error:
                raise CallFailed(from_rpc_error(error).reason) from error
            if not answer.summary.complete:
                raise CallFailed("an answer that is not complete")

        yield call
