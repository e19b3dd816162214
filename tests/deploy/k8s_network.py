"""Whether the network of an overlay lets through the calls that are made, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from tests.deploy.k8s_cluster import Cluster, Object, Workload, matches
from tests.deploy.k8s_wiring import number_of, where
from voiceflow_inference.settings import Settings as InferenceSettings
from voiceflow_registry.settings import Settings as RegistrySettings

_CALLERS: Final = {"voiceflow.dev/client", "voiceflow.dev/registry-client"}
"""Labels of callers that an overlay does not have itself."""


def dialled(workload: Workload) -> Iterator[tuple[str, int]]:
    """Services that the containers of a workload call, and on which port."""
    for container in workload.containers:
        if container.server is None and not container.is_ours:
            continue
        if container.server is None:
            yield _split(container.options["registry"])
            continue
        settings = container.settings
        if isinstance(settings, InferenceSettings) and settings.registry is not None:
            yield _split(settings.registry)
        if settings.otlp_endpoint is not None:
            yield _split(urlsplit(settings.otlp_endpoint).netloc)


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def network_faults(cluster: Cluster) -> Iterator[str]:
    """Calls that the network does not let through, and what it should not let through."""
    nothing = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    if nothing not in [one["spec"] for one in cluster.of("NetworkPolicy")]:
        yield "NetworkPolicy/default-deny: does not deny everything"
    for workload in cluster.workloads:
        for host, port in dialled(workload):
            yield from _call_faults(cluster, workload, host, port)
        out = list(_rules(cluster, "egress", workload))
        if workload.name == "voiceflow-validator" and out:
            yield f"{workload.name}: there is a way out"
    for one in cluster.of("NetworkPolicy"):
        yield from _policy_faults(cluster, one)
    yield from _bucket_faults(cluster)


def _call_faults(cluster: Cluster, caller: Workload, host: str, port: int) -> Iterator[str]:
    if host == "127.0.0.1":
        if port not in [one.settings.port for one in caller.containers if one.server]:
            yield f"{caller.name}: nobody listens on {host}:{port}"
        return
    if not cluster.has("Service", host):
        yield f"{caller.name}: there is no Service/{host}"
        return
    service = cluster.object("Service", host)["spec"]
    if port not in [one["port"] for one in service["ports"]]:
        yield f"{caller.name}: Service/{host} has no port {port}"
    for server in cluster.selected(service["selector"]):
        if not _allowed(cluster, "egress", "to", caller, server, port):
            yield f"{caller.name}: may not call {server.name}"
        if not _allowed(cluster, "ingress", "from", server, caller, port):
            yield f"{server.name}: may not be called by {caller.name}"
    if not matches({"voiceflow.dev/names": "true"}, caller.labels):
        yield f"{caller.name}: may not ask for names"


def _policy_faults(cluster: Cluster, policy: Object) -> Iterator[str]:
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for rule in policy["spec"].get(direction, []):
            if not rule.get(peers) or not rule.get("ports"):
                yield f"{where(policy)}: a rule for everybody, or for every port"
            for peer in rule.get(peers, []):
                wanted = peer.get("podSelector")
                if wanted is None or "namespaceSelector" in peer:
                    continue
                if not cluster.selected(wanted) and not _CALLERS & set(wanted["matchLabels"]):
                    yield f"{where(policy)}: names pods that there are none of"
            if direction == "ingress":
                for workload in cluster.selected(policy["spec"]["podSelector"]):
                    for port in rule.get("ports", []):
                        if number_of(workload, port["port"]) is None:
                            yield f"{where(policy)}: {workload.name} has no port {port['port']}"


def _bucket_faults(cluster: Cluster) -> Iterator[str]:
    for workload in cluster.workloads:
        for container in workload.containers:
            if container.server is not RegistrySettings:
                continue
            settings = container.settings
            assert isinstance(settings, RegistrySettings)
            if settings.store.startswith("gs://") and not any(
                "ipBlock" in peer and {"port": 443} in rule["ports"]
                for rule in _rules(cluster, "egress", workload)
                for peer in rule["to"]
            ):
                yield f"{workload.name}: may not call the bucket"


def _rules(cluster: Cluster, direction: str, workload: Workload) -> Iterator[Any]:
    for policy in cluster.of("NetworkPolicy"):
        if matches(policy["spec"]["podSelector"], workload.labels):
            yield from policy["spec"].get(direction, [])


def _allowed(
    cluster: Cluster, direction: str, peers: str, one: Workload, other: Workload, port: int
) -> bool:
    listener = other if direction == "egress" else one
    return any(
        "podSelector" in peer
        and "namespaceSelector" not in peer
        and matches(peer["podSelector"], other.labels)
        and any(number_of(listener, allowed["port"]) == port for allowed in rule["ports"])
        for rule in _rules(cluster, direction, one)
        for peer in rule[peers]
    )
