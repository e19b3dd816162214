"""What production's pods run starts here, too, with the files that a cluster gives them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks.service import Service, running_registry
from tests.deploy.k8s_cluster import Cluster, Container, load
from tests.deploy.k8s_files import Cloud


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    """Production."""
    return load("production-gke")


@pytest.fixture(scope="module")
def cloud(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Cloud:
    """What its pods are given."""
    return Cloud(cluster, tmp_path_factory.mktemp("cloud"))


def container(cluster: Cluster, workload: str, name: str) -> Container:
    """One of a workload's."""
    (found,) = [
        one
        for one in cluster.containers
        if (one.workload.name, one.spec["name"]) == (workload, name)
    ]
    return found


@pytest.fixture(scope="module")
def registry(
    cluster: Cluster, cloud: Cloud, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """That of the Deployment; without the collector of telemetry, which is not here."""
    one = container(cluster, "voiceflow-registry", "registry")
    settings = cloud.settings(one)
    del settings["port"], settings["store"], settings["otlp_endpoint"]
    with running_registry(tmp_path_factory.mktemp("store"), **settings) as service:
        yield service


def clean_environment(**variables: str) -> dict[str, str]:
    """That of this process, with nothing of ours but what is said."""
    inherited = {name: value for name, value in os.environ.items() if "VOICEFLOW" not in name}
    return {**inherited, **variables}


async def test_its_probe_finds_the_registry(cluster: Cluster, registry: Service) -> None:
    """In plain text, on the health port, under the name that the probe asks for."""
    probe = container(cluster, "voiceflow-registry", "registry").spec["readinessProbe"]["grpc"]
    (address,) = re.findall(r"health checks are answered at ([\d.:]+)", registry.log.read_text())
    async with grpc.aio.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=probe["service"])
        reply: health_pb2.HealthCheckResponse = await stub.Check(request)
    assert reply.status == health_pb2.HealthCheckResponse.SERVING


def test_the_registry_knows_the_pods_of_the_inference_service(
    cluster: Cluster, cloud: Cloud, registry: Service
) -> None:
    """A pod gets as far as to its channel, which nobody has promoted to yet."""
    one = container(cluster, "voiceflow-inference-blue", "inference")
    settings = cloud.settings(one, registry=registry.address, port=0)
    del settings["otlp_endpoint"], settings["pod_label"]
    command = [sys.executable, "-m", "voiceflow_inference"]
    command += [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env=clean_environment(), check=False
    )
    assert (ended.returncode, "CHANNEL_NOT_FOUND" in ended.stderr) == (1, True), ended.stderr


def test_garbage_is_collected_by_the_registry_on_loopback(
    cluster: Cluster, cloud: Cloud, tmp_path: Path
) -> None:
    """The command of the CronJob finds the registry beside it, is known to it and may collect."""
    beside = container(cluster, "voiceflow-collection", "registry")
    collect = container(cluster, "voiceflow-collection", "collect")
    settings = cloud.settings(beside)
    del settings["port"], settings["store"]
    with running_registry(tmp_path, **settings) as service:
        variables = {
            name: str(cloud.here(collect, value)) if value.startswith("/") else value
            for name, value in collect.environment.items()
        }
        variables["VOICEFLOW_REGISTRY"] = service.address
        command = Path(sys.executable).with_name("voiceflow")
        ended = subprocess.run(
            [command, *collect.spec["command"][1:], *collect.spec["args"]],
            capture_output=True,
            text=True,
            timeout=60,
            env=clean_environment(**variables),
            check=False,
        )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == {"objects": [], "collected_bytes": 0, "more": False}
