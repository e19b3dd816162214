"""A cancellation that gRPC has lost ends the asking, however often it would be done again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import grpc
import pytest

from voiceflow.client import DiarizationClient, RegistryClient
from voiceflow.diarization.v1 import diarization_pb2_grpc
from voiceflow.registry.v1 import registry_pb2_grpc


class Losing:
    """A stub whose calls, when they are cancelled, say that the server stops."""

    asked: asyncio.Event

    def __init__(self, _channel: object) -> None:
        type(self).asked = asyncio.Event()

    def __getattr__(self, _method: str) -> Callable[..., Awaitable[Any]]:
        return self._call

    async def _call(self, *_: object, **__: object) -> Any:
        assert not self.asked.is_set(), "it is asked again"
        self.asked.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        raise grpc.aio.AioRpcError(
            grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), "restarting"
        )


async def _ends_when_cancelled(asking: Awaitable[object]) -> None:
    task = asyncio.ensure_future(asking)
    await Losing.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_asking_a_server_ends_when_it_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not when its policy gives up."""
    monkeypatch.setattr(diarization_pb2_grpc, "DiarizationStub", Losing)
    async with DiarizationClient("127.0.0.1:1") as client:
        await _ends_when_cancelled(client.serving_state())


async def test_asking_a_registry_ends_when_it_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Likewise."""
    monkeypatch.setattr(registry_pb2_grpc, "ModelRegistryStub", Losing)
    async with RegistryClient("127.0.0.1:1") as client:
        await _ends_when_cancelled(client.get_channel("models/tones/channels/stable"))
