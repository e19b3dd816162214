"""Whether what an overlay runs may do no more than it must: pods, identities, images, resources."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from scripts.dockerfile import DOCKERFILE, PREFIX, read_stages, targets
from tests.deploy.k8s_cluster import Cluster, Container, Workload
from voiceflow.identity.caller import Caller, CallerRole
from voiceflow.identity.grants import Grants, read_grants
from voiceflow_inference.settings import Settings as InferenceSettings
from voiceflow_registry.settings import Settings as RegistrySettings

_VOLUMES: Final = {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}
_CLOUD: Final = "iam.gke.io/gcp-service-account"
_BOUND: Final = {"voiceflow-registry", "voiceflow-collection", "voiceflow-telemetry"}
"""Who may be somebody in the cloud."""
_REQUESTED: Final = {"cpu", "memory", "ephemeral-storage"}
_LIMITED: Final = {"memory", "ephemeral-storage"}
_IMAGES: Final = {
    f"{PREFIX}{target}" for target in targets(read_stages(DOCKERFILE.read_text("utf-8")))
}
_PLAIN: Final = {"voiceflow-validator"}
"""Servers that speak plain text on purpose."""


def pod_faults(cluster: Cluster) -> Iterator[str]:
    """What the restricted Pod Security Standard forbids, and what we add to it."""
    (namespace,) = cluster.of("Namespace")
    labels = namespace["metadata"]["labels"]
    if labels.get("pod-security.kubernetes.io/enforce") != "restricted":
        yield "the namespace does not enforce the restricted Pod Security Standard"
    for one in cluster.objects:
        inside = one["metadata"].get("namespace", namespace["metadata"]["name"])
        if one["kind"] != "Namespace" and inside != namespace["metadata"]["name"]:
            yield f"{one['kind']}/{one['metadata']['name']}: is in another namespace"
    for workload in cluster.workloads:
        yield from _workload_faults(cluster, workload)
        for container in workload.containers:
            yield from _container_faults(container)


def _workload_faults(cluster: Cluster, workload: Workload) -> Iterator[str]:
    pod, context = workload.pod, workload.pod["securityContext"]
    if not context.get("runAsNonRoot") or context.get("runAsUser", 0) == 0:
        yield f"{workload.name}: runs as root"
    if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield f"{workload.name}: makes any system call"
    if any(pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")):
        yield f"{workload.name}: shares what is the machine's"
    if pod.get("automountServiceAccountToken") is not False:
        yield f"{workload.name}: is given a token of the cluster"
    if pod.get("enableServiceLinks") is not False:
        yield f"{workload.name}: variables of Services would be taken for settings"
    if not cluster.has("ServiceAccount", pod["serviceAccountName"]):
        yield f"{workload.name}: there is no such account"
    for volume in pod.get("volumes", []):
        if not set(volume) - {"name"} <= _VOLUMES:
            yield f"{workload.name}: {volume['name']} is no volume that is allowed"


def _container_faults(container: Container) -> Iterator[str]:
    context = container.spec.get("securityContext", {})
    if context.get("allowPrivilegeEscalation") is not False:
        yield f"{container.where}: may gain rights"
    if context.get("capabilities") != {"drop": ["ALL"]}:
        yield f"{container.where}: has capabilities"
    if not context.get("readOnlyRootFilesystem"):
        yield f"{container.where}: may write to its image"
    if context.get("privileged") or any(
        "hostPort" in one for one in container.spec.get("ports", [])
    ):
        yield f"{container.where}: shares what is the machine's"


def resource_faults(cluster: Cluster) -> Iterator[str]:
    """Pods that ask for nothing, or may take everything; numbers that two would set."""
    for container in cluster.containers:
        resources = container.spec.get("resources", {})
        missing = _REQUESTED - set(resources.get("requests", {}))
        unbounded = _LIMITED - set(resources.get("limits", {}))
        if missing or unbounded:
            what = ", ".join(sorted(missing | unbounded))
            yield f"{container.where}: does not say how much it takes: {what}"
    scaled = [one["spec"]["scaleTargetRef"] for one in cluster.of("HorizontalPodAutoscaler")]
    for workload in cluster.workloads:
        own = {"apiVersion": "apps/v1", "kind": workload.kind, "name": workload.name}
        if own in scaled and "replicas" in workload.spec:
            yield f"{workload.name}: its replicas are the autoscaler's to say"
    for one in cluster.of("HorizontalPodAutoscaler"):
        yield from _room_faults(cluster, one)


def _room_faults(cluster: Cluster, scaler: dict[str, Any]) -> Iterator[str]:
    targets = {
        metric["pods"]["metric"]["name"]: metric["pods"]["target"]["averageValue"]
        for metric in scaler["spec"]["metrics"]
    }
    for workload in cluster.workloads:
        if not workload.is_inference:
            continue
        settings = workload.main.settings
        assert isinstance(settings, InferenceSettings)
        if settings.streams is None or int(targets["voiceflow_streams"]) > 0.8 * settings.streams:
            yield f"{scaler['metadata']['name']}: streams are refused before there are more pods"


def identity_faults(cluster: Cluster) -> Iterator[str]:
    """Who is somebody that should not be, and who is nobody that should not be."""
    accounts = {one["metadata"]["name"]: one["metadata"] for one in cluster.of("ServiceAccount")}
    bound = {
        name: one["annotations"][_CLOUD]
        for name, one in accounts.items()
        if _CLOUD in one.get("annotations", {})
    }
    if set(bound) != (set() if cluster.is_development else _BOUND):
        yield f"bound to accounts of the cloud are {sorted(bound)}"
    if [account for account, count in Counter(bound.values()).items() if count > 1]:
        yield "two accounts are one in the cloud"
    if cluster.is_development:
        return
    for container in cluster.containers:
        if container.server is not None:
            yield from _server_faults(container)
    for workload in cluster.workloads:
        brought = {kind for volume in workload.pod.get("volumes", []) for kind in volume}
        if workload.name in _PLAIN and brought & {"secret", "configMap"}:
            yield f"{workload.name}: is given something to be known by"
    yield from _grant_faults(cluster)


def _server_faults(container: Container) -> Iterator[str]:
    settings = container.settings
    plain = container.workload.name in _PLAIN
    if (settings.tls_cert is None) != plain or settings.insecure != plain:
        yield f"{container.where}: speaks plain text, or is to have no key and has one"
    if plain:
        return
    if isinstance(settings, RegistrySettings) and settings.client_ca is None:
        yield f"{container.where}: takes callers without a certificate"
    if not container.is_sidecar and settings.trust_root is None:
        yield f"{container.where}: checks no signatures"


def _grant_faults(cluster: Cluster) -> Iterator[str]:
    registry = grants(cluster, "registry.yaml")
    uris = {one["metadata"]["name"]: one["spec"]["uris"] for one in cluster.of("Certificate")}
    if any(len(one) != 1 for one in uris.values()):
        yield "a certificate names not one principal"
    wanted = {
        "voiceflow-inference": {CallerRole.CLIENT, CallerRole.READER},
        "voiceflow-collection": {CallerRole.COLLECTOR},
    }
    for name, roles in wanted.items():
        (uri,) = uris[name]
        caller = _caller(registry, uri)
        if caller.roles != roles:
            yield f"{name}: its certificate does not have its roles at the registry"
    (uri,) = uris["voiceflow-inference"]
    caller = _caller(registry, uri)
    for workload in cluster.workloads:
        if not workload.is_inference:
            continue
        settings = workload.main.settings
        assert isinstance(settings, InferenceSettings)
        if not caller.is_pod(f"{workload.name}-5d8c7b9f4-x2x9z", settings.model):
            yield f"{workload.name}: its pods may not report"
    namespace = next(cluster.of("Namespace"))["metadata"]["name"]
    for (uri,) in uris.values():
        if f"/ns/{namespace}/sa/" not in uri:
            yield f"{uri}: is of another namespace"


def _caller(registry: Grants, uri: str) -> Caller:
    return registry.caller(uri)


def grants(cluster: Cluster, name: str) -> Grants:
    """An access file of an overlay.

    Raises:
        InvalidInput: It is none that a service takes.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_text(cluster.object("ConfigMap", "voiceflow-access")["data"][name])
        return read_grants(path)


def image_faults(cluster: Cluster) -> Iterator[str]:
    """Images that are not those that are built, or may be others tomorrow."""
    for container in cluster.containers:
        place, _, tag = container.spec["image"].rpartition(":")
        if not place or tag == "latest":
            yield f"{container.where}: which {container.spec['image']} is not said"
        if not container.is_ours:
            continue
        if place.rpartition("/")[2] not in _IMAGES:
            yield f"{container.where}: nobody builds {container.spec['image']}"
        if not cluster.is_development and not re.match(r"[\w.-]+\.[a-z]+/", place):
            yield f"{container.where}: {container.spec['image']} is in no registry"
        uses_gpu = "nvidia.com/gpu" in container.spec["resources"].get("limits", {})
        if uses_gpu != place.endswith("-cuda"):
            yield f"{container.where}: a GPU without the image for it, or the other way round"
