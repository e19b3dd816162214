"""How a client calls it: the V2 protocol over gRPC, samples and tensors as bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import grpc
from mlserver.grpc import dataplane_pb2 as pb
from mlserver.grpc.dataplane_pb2_grpc import GRPCInferenceServiceStub

from benchmarks.peers.load import Call, CallFailed

_OWN_CONNECTION: Final = [("grpc.use_local_subchannel_pool", 1)]
_OUTPUT_BYTES: Final = {"activity": 4 * 75 * 2, "embedding": 4 * 2 * 256}


@asynccontextmanager
async def connect(address: str) -> AsyncIterator[Call]:
    """A client of a server at `host:port`."""
    async with grpc.aio.insecure_channel(address, options=_OWN_CONNECTION) as channel:
        stub = GRPCInferenceServiceStub(channel)

        async def call(window: bytes) -> None:
            tensor = pb.ModelInferRequest.InferInputTensor(
                name="audio",
                datatype="BYTES",
                shape=[1, 1],
                contents=pb.InferTensorContents(bytes_contents=[window]),
            )
            try:
                answer = await stub.ModelInfer(
                    pb.ModelInferRequest(model_name="window", inputs=[tensor])
                )
            except grpc.aio.AioRpcError as error:
                raise CallFailed(error.code().name) from error
            sizes = {one.name: sum(map(len, one.contents.bytes_contents)) for one in answer.outputs}
            if sizes != _OUTPUT_BYTES:
                raise CallFailed(f"an answer of {sizes}")

        yield call
