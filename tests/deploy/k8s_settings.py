"""Whether what an overlay starts is what the services take: variables, files, probes, drains."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Final

from click.exceptions import ClickException
from pydantic import ValidationError

from tests.deploy.k8s_cluster import Cluster, Container, Workload
from voiceflow.cli.models.operating import collect_garbage
from voiceflow.rpc.server import is_loopback
from voiceflow_inference.servicer import SERVICE_NAME as DIARIZATION
from voiceflow_inference.settings import Settings as InferenceSettings
from voiceflow_registry.servicer import SERVICE_NAME as REGISTRY
from voiceflow_registry.settings import Settings as RegistrySettings

BROUGHT: Final = {
    "voiceflow-keys": {"keys.json"},
    "voiceflow-trust-root": {"trust-root.json"},
    "voiceflow-registry-signing": {"registry.pem"},
}
"""What people put there by hand (docs/kubernetes.md), and the files in it."""

_CERTIFICATE: Final = {"tls.crt", "tls.key", "ca.crt"}
_READ_ONLY: Final = 0o440
_END_SECONDS: Final = 10.0
"""From the end of the grace period to that of the process, at most: last replies, and telemetry."""
_STREAM_SECONDS: Final = 4 * 3600.0


def setting_faults(cluster: Cluster) -> Iterator[str]:
    """Arguments and variables that nothing reads, or that are not allowed."""
    for container in cluster.containers:
        if not container.is_ours:
            continue
        names = {variable["name"] for variable in container.spec.get("env") or []}
        for name in sorted(names - _read(container)):
            yield f"{container.where}: nothing reads {name}"
        try:
            assert container.settings if container.server else container.options
        except ValidationError as error:
            yield f"{container.where}: {error.errors()[0]['msg']}"
        except (ClickException, SystemExit) as error:
            yield f"{container.where}: {error}"


def _read(container: Container) -> set[str]:
    if container.server is not None:
        prefix = container.server.model_config["env_prefix"]
        return {f"{prefix}{name}".upper() for name in container.server.model_fields}
    return {str(one.envvar) for one in collect_garbage.params if one.envvar}


def provider_faults(cluster: Cluster) -> Iterator[str]:
    """A GPU that nothing computes on; a service that would compute on one and has none."""
    for container in cluster.containers:
        if container.server is not InferenceSettings:
            continue
        settings = container.settings
        assert isinstance(settings, InferenceSettings)
        has_gpu = "nvidia.com/gpu" in container.spec["resources"].get("limits", {})
        if has_gpu != (settings.provider != "cpu"):
            yield f"{container.where}: computes on {settings.provider}, {has_gpu:d} GPUs beside it"


def probe_faults(cluster: Cluster) -> Iterator[str]:
    """Probes of what is not there; a liveness that ends a pod for draining; starts that are cut."""
    for container in cluster.containers:
        if container.server is None:
            continue
        settings = container.settings
        service = DIARIZATION if isinstance(settings, InferenceSettings) else REGISTRY
        probes = {kind: container.spec.get(f"{kind}Probe") for kind in ("startup", "readiness")}
        for kind, probe in probes.items():
            if probe is None:
                if kind == "startup" or not container.is_sidecar:
                    yield f"{container.where}: has no {kind} probe"
                continue
            if probe["grpc"] != {"port": settings.health_port, "service": service}:
                yield f"{container.where}: its {kind} probe asks for what is not there"
        if is_loopback(settings.health_host):
            yield f"{container.where}: its health port is not heard outside of the pod"
        liveness = container.spec.get("livenessProbe", {})
        if {"grpc", "httpGet", "exec"} & set(liveness):
            yield f"{container.where}: would be ended while it drains"
        elif (
            liveness and container.ports.get(liveness["tcpSocket"]["port"]) != settings.health_port
        ):
            yield f"{container.where}: its liveness probe asks for what is not there"
        if isinstance(settings, InferenceSettings):
            yield from _start_faults(container, settings)


def _start_faults(container: Container, settings: InferenceSettings) -> Iterator[str]:
    startup = container.spec.get("startupProbe", {})
    given = startup.get("periodSeconds", 10) * startup.get("failureThreshold", 3)
    if given < settings.registry_wait_seconds + 2 * settings.load_seconds:
        yield f"{container.where}: is ended before it can have started"
    if container.workload.spec.get("progressDeadlineSeconds", 600) <= given:
        yield f"{container.where}: a rollout fails before the pod does"


def drain_faults(cluster: Cluster) -> Iterator[str]:
    """Pods, load balancers and connections that are cut before their streams have ended."""
    for workload in cluster.workloads:
        if workload.kind != "Deployment" or workload.main.server is None:
            continue
        grace = workload.pod.get("terminationGracePeriodSeconds", 30)
        if grace < leaving_seconds(workload) + _END_SECONDS:
            yield f"{workload.name}: is killed before it has drained"
        if not _waits(workload):
            yield f"{workload.name}: hears SIGTERM before endpoints have forgotten it"
    for one in cluster.of("GCPBackendPolicy"):
        service = cluster.object("Service", one["spec"]["targetRef"]["name"])
        default = one["spec"]["default"]
        for workload in cluster.selected(service["spec"]["selector"]):
            drains = default["connectionDraining"]["drainingTimeoutSec"]
            if drains < leaving_seconds(workload):
                yield f"GCPBackendPolicy: cuts streams of {workload.name} that drains"
        if default["timeoutSec"] < _STREAM_SECONDS:
            yield "GCPBackendPolicy: cuts streams that are long"


def leaving_seconds(workload: Workload) -> float:
    """From the decision that a pod goes until it cuts what still runs."""
    return _waits(workload) + workload.main.settings.grace_seconds


def _waits(workload: Workload) -> float:
    hooks = workload.main.spec.get("lifecycle", {})
    return float(hooks.get("preStop", {}).get("sleep", {}).get("seconds", 0))


def mount_faults(cluster: Cluster) -> Iterator[str]:
    """Files that are not there, could not be written, or would not be renewed."""
    for workload in cluster.workloads:
        volumes = {volume["name"]: volume for volume in workload.pod.get("volumes", [])}
        for container in workload.containers:
            mounts = container.spec.get("volumeMounts", [])
            for mount in mounts:
                if mount["name"] not in volumes:
                    yield f"{container.where}: there is no volume {mount['name']}"
                if "subPath" in mount:
                    yield f"{container.where}: {mount['mountPath']} would never be renewed"
            places = {mount["mountPath"]: volumes.get(mount["name"], {}) for mount in mounts}
            for path in sorted(_paths(container)):
                yield from _path_faults(cluster, container, path, places)
        for name, volume in volumes.items():
            mode = volume.get("secret", {}).get("defaultMode", _READ_ONLY)
            if mode & ~_READ_ONLY:
                yield f"{workload.name}: others may read or write the secret {name}"


def _paths(container: Container) -> set[PurePosixPath]:
    """Of files and folders that a process of ours is told of."""
    if not container.is_ours:
        return set()
    if container.server is None:
        values = container.environment.values()
        return {PurePosixPath(value) for value in values if value.startswith("/")}
    settings = container.settings
    given: list[Any] = [getattr(settings, name) for name in type(settings).model_fields]
    if isinstance(settings, RegistrySettings):
        given.append(settings.place)
    return {PurePosixPath(value) for value in given if isinstance(value, Path)}


def _path_faults(
    cluster: Cluster, container: Container, path: PurePosixPath, places: dict[str, Any]
) -> Iterator[str]:
    parents = [place for place in map(str, path.parents) if place in places]
    if not parents:
        yield f"{container.where}: {path} is on no volume"
        return
    volume = places[parents[0]]
    if "emptyDir" in volume or "persistentVolumeClaim" in volume:
        claim = volume.get("persistentVolumeClaim", {}).get("claimName")
        if claim is not None and not cluster.has("PersistentVolumeClaim", claim):
            yield f"{container.where}: there is no claim {claim}"
        return
    source = volume.get("secret", {}).get("secretName") or volume.get("configMap", {}).get("name")
    files = _files(cluster, source)
    if files is None:
        yield f"{container.where}: nobody makes {source}"
    elif path.name not in files:
        yield f"{container.where}: {source} holds no {path.name}"


def _files(cluster: Cluster, source: str) -> set[str] | None:
    """In a Secret or ConfigMap; None: nobody makes it."""
    if source in BROUGHT:
        return BROUGHT[source]
    if cluster.has("ConfigMap", source):
        return set(cluster.object("ConfigMap", source)["data"])
    certificates = {one["spec"]["secretName"] for one in cluster.of("Certificate")}
    return set(_CERTIFICATE) if source in certificates else None
