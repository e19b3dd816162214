"""The registry's server, started as a user starts it, on a free port."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf.descriptor_pb2 import FileDescriptorProto, MethodDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from voiceflow.errors import NotServed
from voiceflow.rpc.status import from_rpc_error

SERVICE = "voiceflow.registry.v1.ModelRegistry"


@dataclass(frozen=True)
class Registry:
    """A running registry and a channel to it."""

    process: asyncio.subprocess.Process
    channel: grpc.aio.Channel


async def start(*arguments: str) -> asyncio.subprocess.Process:
    """Starts the registry as a process of its own."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "voiceflow_registry",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if not name.startswith("VOICEFLOW")},
    )


@pytest_asyncio.fixture
async def registry() -> AsyncIterator[Registry]:
    """A registry that has said that it listens."""
    process = await start("--port", "0")
    assert process.stdout is not None
    announced = (await process.stdout.readline()).decode()
    async with grpc.aio.insecure_channel(announced.split()[-1]) as channel:
        yield Registry(process, channel)
    if process.returncode is None:
        process.terminate()
    await process.communicate()


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


async def refusal(channel: grpc.aio.Channel, method: MethodDescriptorProto) -> grpc.aio.AioRpcError:
    """Calls a method with one empty message and gives the error that it ends with."""
    kind = ("stream" if method.client_streaming else "unary") + (
        "_stream" if method.server_streaming else "_unary"
    )
    multi: Any = getattr(channel, kind)(f"/{SERVICE}/{method.name}")
    call = multi(iter([b""]) if method.client_streaming else b"", timeout=10)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await (anext(aiter(call)) if method.server_streaming else call)
    return caught.value


async def test_every_method_says_that_it_is_not_served_yet(registry: Registry) -> None:
    """Each method that reflection names is UNIMPLEMENTED with the reason NOT_YET_SERVED."""
    methods = await reflected_methods(registry.channel)
    assert {"PublishVersion", "PromoteVersion", "WatchChannels"} <= {m.name for m in methods}

    for method in methods:
        error = await refusal(registry.channel, method)
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED, method.name
        known = from_rpc_error(error)
        assert (type(known), known.reason) == (NotServed, "NOT_YET_SERVED"), method.name
        assert method.name in known.message


@pytest.mark.parametrize("service", ["", SERVICE])
async def test_health_says_serving(registry: Registry, service: str) -> None:
    """The server as a whole and the registry's service are SERVING."""
    stub: Any = health_pb2_grpc.HealthStub(registry.channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_sigterm_ends_it_gracefully(registry: Registry) -> None:
    """After SIGTERM the process ends by itself, with exit code 0."""
    registry.process.send_signal(signal.SIGTERM)
    assert await registry.process.wait() == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--port", "70000"), "port: "),
        (("--grace-seconds", "-1"), "grace_seconds: "),
        (("--host", "0.0.0.0"), "--insecure"),  # noqa: S104 to be refused
    ],
)
async def test_a_forbidden_setting_is_named(arguments: tuple[str, ...], said: str) -> None:
    """A bad setting ends the start with exit code 2 and a line that names it, no traceback."""
    process = await start(*arguments)
    _, stderr = await process.communicate()
    assert process.returncode == 2
    assert said in stderr.decode()
    assert "Traceback" not in stderr.decode()
