"""Places are for principals, not for hosts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.fakes.identity import development_identity, pair, token
from tests.fakes.models import write_stream_package
from tests.fakes.service import config, running
from tests.fakes.tls import bearing, tls_channel
from voiceflow.diarization.v1 import diarization_pb2_grpc as pb_grpc
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow.rpc.status import from_rpc_error

ACCESS = """
schema_version: 1
grants:
  - principal: spiffe://voiceflow.local/team/*
    roles: [client]
"""


async def test_one_principal_cannot_take_the_places_of_another(tmp_path: Path) -> None:
    """Both come from one host, by one connection; each has its own share."""
    access = tmp_path / "access.yaml"
    access.write_text(ACCESS)
    settings = {
        "tls_cert": pair("server").certificate,
        "tls_key": pair("server").key,
        "access": access,
        "keys": development_identity() / "keys.json",
        "streams_per_principal": 1,
    }
    model = bind(load_package(write_stream_package(tmp_path / "model")))
    blue, red = (
        bearing(token(f"spiffe://voiceflow.local/team/{team}", "voiceflow-inference"))
        for team in ("blue", "red")
    )
    async with running(model, **settings) as (_, address), tls_channel(address) as channel:
        stub: Any = pb_grpc.DiarizationStub(channel)

        async def begun(shown: dict[str, Any]) -> Any:
            stream = stub.Diarize(**shown)
            await stream.write(config())
            assert (await stream.read()).HasField("begin")
            return stream

        first = await begun(blue)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await begun(blue)
        assert from_rpc_error(caught.value).reason == "STREAMS_PER_CLIENT_FULL"
        second = await begun(red)
        for stream in (first, second):
            stream.cancel()
