"""Both services as operators start them, with TLS: who is served, who is not, and health."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks.service import Service, running_registry, running_service
from tests.fakes.identity import development_identity, pair, token
from tests.fakes.service import config
from tests.fakes.tls import bearing, tls_channel
from voiceflow.diarization.v1 import diarization_pb2, diarization_pb2_grpc
from voiceflow.registry.v1 import registry_pb2, registry_pb2_grpc
from voiceflow.rpc.status import from_rpc_error

SECURED: dict[str, str | float] = {
    "tls_cert": str(pair("server").certificate),
    "tls_key": str(pair("server").key),
    "access": str(development_identity() / "access.yaml"),
    "keys": str(development_identity() / "keys.json"),
    "health_port": 0,
}
MUTUAL: dict[str, str | float] = {**SECURED, "client_ca": str(pair("server").ca)}
OPERATOR = "spiffe://voiceflow.local/operator/dev"
SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.fixture(scope="module", params=[MUTUAL, SECURED], ids=["certificates", "tokens"])
def inference(request: pytest.FixtureRequest, stream_package: Path) -> Iterator[Service]:
    """The inference service; with certificates, or with tokens alone."""
    with running_service(stream_package, streams=4, **request.param) as service:
        yield service


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The registry, with certificates."""
    with running_registry(tmp_path_factory.mktemp("store"), **MUTUAL) as service:
        yield service


def asks_for_certificates(service: Service) -> bool:
    """Whether it was started so."""
    return "--client-ca" in service.process.args  # type: ignore[operator]


async def serving_state(channel: grpc.aio.Channel, **options: Any) -> Any:
    """A method of the inference service, for operators."""
    stub: Any = diarization_pb2_grpc.DiarizationStub(channel)
    return await stub.GetServingState(diarization_pb2.GetServingStateRequest(), **options)


async def models(channel: grpc.aio.Channel, **options: Any) -> Any:
    """A method of the registry, for readers."""
    stub: Any = registry_pb2_grpc.ModelRegistryStub(channel)
    return await stub.ListModels(registry_pb2.ListModelsRequest(), **options)


async def refusal(call: Any) -> str:
    """The reason that a call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value).reason


async def test_the_inference_service_answers_who_is_known(inference: Service) -> None:
    """Certificates where it asks for them, tokens in any case; by role, and nobody else."""
    shown = pair("client") if asks_for_certificates(inference) else None
    operator = bearing(token(OPERATOR, "voiceflow-inference"))
    async with tls_channel(inference.address, shown) as channel:
        assert (await serving_state(channel, **operator)).capacity_streams == 4
        for_registry = bearing(token(OPERATOR, "voiceflow-registry"))
        assert await refusal(serving_state(channel, **for_registry)) == "CREDENTIALS_INVALID"
        without = "ROLE_MISSING" if shown else "CREDENTIALS_MISSING"
        assert await refusal(serving_state(channel)) == without
    async with grpc.aio.insecure_channel(inference.address) as channel:
        assert await refusal(serving_state(channel, timeout=30)) == "UNAVAILABLE"
    assert "Traceback" not in inference.log.read_text()


async def test_the_registry_answers_who_is_known(registry: Service) -> None:
    """By role; who shows no certificate finds no server."""
    async with tls_channel(registry.address, pair("reader")) as channel:
        assert not (await models(channel)).models
    async with tls_channel(registry.address, pair("collector")) as channel:
        assert await refusal(models(channel)) == "ROLE_MISSING"
    async with tls_channel(registry.address) as channel:
        assert await refusal(models(channel, timeout=30)) == "UNAVAILABLE"
    assert "Traceback" not in registry.log.read_text()


@asynccontextmanager
async def probing(service: Service) -> AsyncIterator[grpc.aio.Channel]:
    """A connection as a probe has it: plain text, to the health port, which the log tells."""
    (address,) = re.findall(r"health checks are answered at (\S+)", service.log.read_text())
    async with grpc.aio.insecure_channel(address) as channel:
        yield channel


async def test_probes_need_neither_tls_nor_identity(inference: Service, registry: Service) -> None:
    """The health port says that a service serves, and answers nothing else."""
    for service, name in (
        (inference, "voiceflow.diarization.v1.Diarization"),
        (registry, "voiceflow.registry.v1.ModelRegistry"),
    ):
        async with probing(service) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check
            for asked in ("", name):
                reply = await check(health_pb2.HealthCheckRequest(service=asked))
                assert reply.status == SERVING
            for path in (f"/{name}/GetServingState", f"/{name}/ListModels", REFLECTION):
                method: Any = channel.unary_unary(path)
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await method(b"")
                assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


async def test_probes_hear_of_a_drain(stream_package: Path) -> None:
    """While a stream still ends, the health port says NOT_SERVING already."""
    with running_service(stream_package, streams=4, **MUTUAL) as service:
        async with (
            probing(service) as probe,
            tls_channel(service.address, pair("client")) as channel,
        ):
            watch = health_pb2_grpc.HealthStub(probe).Watch(health_pb2.HealthCheckRequest())
            assert (await watch.read()).status == SERVING
            stub: Any = diarization_pb2_grpc.DiarizationStub(channel)
            stream = stub.Diarize()
            await stream.write(config())
            assert (await stream.read()).WhichOneof("response") == "begin"
            service.process.send_signal(signal.SIGTERM)
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
            assert (await stream.read()).WhichOneof("response") == "go_away"
            watch.cancel()
            await stream.done_writing()
            while (reply := await stream.read()).WhichOneof("response") != "summary":
                assert reply.WhichOneof("response") == "update"
        assert await asyncio.to_thread(service.process.wait, 60) == 0


def test_a_bad_file_ends_the_start_with_its_name(tmp_path: Path) -> None:
    """For either service, and before a model is looked for."""
    bad = tmp_path / "no-such-key.pem"
    without_key: dict[str, str | float] = {**MUTUAL, "tls_key": str(bad)}
    for started in (
        running_service(tmp_path / "no-model", **without_key),
        running_registry(tmp_path / "store", **without_key),
    ):
        with pytest.raises(RuntimeError, match=bad.name), started:
            pass
