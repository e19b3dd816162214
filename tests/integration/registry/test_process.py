"""The registry's process, started as a user starts it, on a free port."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, MethodDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.fakes.models import write_stream_package
from tests.fakes.publishing import Package
from tests.fakes.registry import call, failure, process, promotion, publish, spawn
from voiceflow.catalog.gates import PUBLISHING_GATES
from voiceflow.errors import NotAllowedNow, Unavailable
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.registry.v1 import registry_pb2_grpc as pb_grpc
from voiceflow.rpc.registry import GATES
from voiceflow.rpc.status import from_rpc_error

SERVICE = "voiceflow.registry.v1.ModelRegistry"
REAL = "voiceflow_registry"


async def reflected_methods(channel: grpc.aio.Channel) -> list[MethodDescriptorProto]:
    """Asks the server which methods its service has."""
    any_channel: Any = channel  # the stubs of reflection know synchronous channels alone
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(any_channel)
    request: Any = reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE)
    async for response in stub.ServerReflectionInfo(iter([request])):
        for encoded in response.file_descriptor_response.file_descriptor_proto:
            for service in FileDescriptorProto.FromString(encoded).service:
                if SERVICE.endswith(f".{service.name}"):
                    return list(service.method)
    return []


async def rest(events: AsyncIterator[Any]) -> None:
    """Reads to the end."""
    async for _ in events:
        pass


def read(folder: Path) -> Package:
    """A package from its folder."""
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    return Package(files.pop("manifest.json"), files)


async def test_from_files_to_a_promoted_version(tmp_path: Path) -> None:
    """With real gates and sandbox: publish, validate, promote, and all of it after a restart."""
    what = read(write_stream_package(tmp_path / "package"))
    store = ("--store", str(tmp_path / "store"))
    channel_name = "models/tones/channels/stable"
    async with (
        process(*store, module=REAL) as registry,
        grpc.aio.insecure_channel(registry.address) as channel,
    ):
        names = {method.name for method in await reflected_methods(channel)}
        assert names == set(pb.DESCRIPTOR.services_by_name["ModelRegistry"].methods_by_name)
        health: Any = health_pb2_grpc.HealthStub(channel)
        for service in ("", SERVICE):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING

        stub = pb_grpc.ModelRegistryStub(channel)
        published = await publish(stub, what)
        name = published.version.name
        assert [result.gate for result in published.report.gates] == [
            GATES.to_wire(gate) for gate in PUBLISHING_GATES
        ]
        refusal = await failure(stub.PromoteVersion, promotion(channel_name, name))
        assert isinstance(refusal, NotAllowedNow)
        assert [violation.subject for violation in refusal.violations] != []
        accuracy = pb.ValidateVersionRequest(name=name, gates=[pb.GATE_ACCURACY])
        assert (await failure(stub.ValidateVersion, accuracy)).reason == "EVALUATION_SET_MISSING"
        behaviour = pb.ValidateVersionRequest(name=name, gates=[pb.GATE_BEHAVIOUR])
        *_, last = await call(stub.ValidateVersion, behaviour)
        assert last.report.passed, last.report
        assert "rlimits" in last.report.sandbox.active_layers
        await call(stub.PromoteVersion, promotion(channel_name, name))
        os.kill(registry.pid, signal.SIGTERM)
        assert (await registry.ended())[0] == 0

    async with (
        process(*store, module=REAL) as registry,
        grpc.aio.insecure_channel(registry.address) as channel,
    ):
        stub = pb_grpc.ModelRegistryStub(channel)
        served = await call(stub.GetChannel, pb.GetChannelRequest(name=channel_name))
        assert served.channel.rollout.primary.version == name


async def test_sigterm_tells_watchers_and_ends_well(tmp_path: Path) -> None:
    """A watcher is told to go elsewhere, and the process ends by itself with exit status 0."""
    async with (
        process("--store", str(tmp_path), "--grace-seconds", "5") as registry,
        grpc.aio.insecure_channel(registry.address) as channel,
    ):
        cursor = pb.ChannelCursor(channel="models/m/channels/c")
        watching: Any = pb_grpc.ModelRegistryStub(channel).WatchChannels(
            pb.WatchChannelsRequest(channels=[cursor])
        )
        events = aiter(watching)
        assert (await anext(events)).HasField("policy")
        os.kill(registry.pid, signal.SIGTERM)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await rest(events)
        error = from_rpc_error(caught.value)
        assert isinstance(error, Unavailable)
        assert error.reason == "SHUTTING_DOWN"
        status, log = await registry.ended()
        assert status == 0, log


async def test_a_forbidden_setting_is_named() -> None:
    """A bad setting ends the start with exit status 2 and one line, no traceback."""
    started = await spawn("--store", "s3://bucket", module=REAL)
    _, stderr = await started.communicate()
    assert started.returncode == 2
    assert stderr.decode() == "--store: a store is a folder, or gs://BUCKET/PREFIX\n"
