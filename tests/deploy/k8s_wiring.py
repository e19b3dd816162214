"""Whether the objects of an overlay find each other: selectors, ports, names, the network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from tests.deploy.k8s_cluster import Cluster, Object, Workload, matches
from voiceflow.diarization.v1 import diarization_pb2
from voiceflow_inference.settings import Settings as InferenceSettings
from voiceflow_registry.settings import Settings as RegistrySettings

_CALLERS: Final = {"voiceflow.dev/client", "voiceflow.dev/registry-client"}
"""Labels of callers that an overlay does not have itself."""

_NAME: Final = "app.kubernetes.io/name"


def selector_faults(cluster: Cluster) -> Iterator[str]:
    """Selectors that match nothing, or what is another's; references to what is not there."""
    for workload in cluster.workloads:
        selector = workload.spec.get("selector")
        if workload.kind == "Deployment" and [
            one.name for one in cluster.selected(selector or {}) if one.kind == "Deployment"
        ] != [workload.name]:
            yield f"Deployment/{workload.name}: its selector is not that of its own pods alone"
        for spread in workload.pod.get("topologySpreadConstraints", []):
            if not matches(spread["labelSelector"], workload.labels):
                yield f"{workload.name}: spreads by labels that its pods do not have"
    for one in cluster.of("Service", "PodDisruptionBudget", "PodMonitoring", "NetworkPolicy"):
        policy = one["kind"] == "NetworkPolicy"
        selector = one["spec"]["podSelector" if policy else "selector"]
        if not cluster.selected(selector):
            yield f"{_where(one)}: selects no pods"
    for one in cluster.of("HorizontalPodAutoscaler"):
        yield from _referred(cluster, one, one["spec"]["scaleTargetRef"])
    for one in cluster.of("Rollout"):
        yield from _referred(cluster, one, one["spec"]["workloadRef"])
        template = cluster.object("Deployment", one["spec"]["workloadRef"]["name"])
        labels = template["spec"]["template"]["metadata"]["labels"]
        if not matches(one["spec"]["selector"], labels):
            yield f"{_where(one)}: selects no pods"
    for one in cluster.of("HealthCheckPolicy", "GCPBackendPolicy"):
        target = one["spec"]["targetRef"]
        kind = "Service" if target["kind"] == "ServiceImport" else target["kind"]
        yield from _referred(cluster, one, {**target, "kind": kind})
    for one in cluster.of("ServiceExport"):
        yield from _referred(cluster, one, {"kind": "Service", **one["metadata"]})


def _referred(cluster: Cluster, one: Object, reference: Object) -> Iterator[str]:
    if not cluster.has(reference["kind"], reference["name"]):
        yield f"{_where(one)}: there is no {reference['kind']}/{reference['name']}"


def switch_faults(cluster: Cluster) -> Iterator[str]:
    """The switch, and the two that it is between."""
    switch = cluster.object("Service", "voiceflow-inference")["spec"]["selector"]
    if "voiceflow.dev/colour" not in switch or len(cluster.selected(switch)) != 1:
        yield "Service/voiceflow-inference: its selector does not choose one colour"
    fleet = cluster.object("Service", "voiceflow-inference-fleet")["spec"]
    inference = [one for one in cluster.workloads if one.is_inference]
    if cluster.selected(fleet["selector"]) != inference:
        yield "Service/voiceflow-inference-fleet: is not all of the fleet"
    if fleet["clusterIP"] != "None" or not fleet.get("publishNotReadyAddresses"):
        yield "Service/voiceflow-inference-fleet: does not show pods that drain"
    for one in inference:
        settings = one.main.settings
        assert isinstance(settings, InferenceSettings)
        colour = one.labels["voiceflow.dev/colour"]
        if one.name != f"voiceflow-inference-{colour}":
            yield f"{one.name}: is {colour}"
        if any(cluster.of("Rollout")):
            continue
        if settings.channel != colour or settings.pod_label.get("colour") != colour:
            yield f"{one.name}: its channel or its label is not {colour}"


def port_faults(cluster: Cluster) -> Iterator[str]:
    """Ports that nobody listens on."""
    for workload in cluster.workloads:
        for container in workload.containers:
            if container.server is None:
                continue
            settings = container.settings
            listens = {"grpc": settings.port, "health": settings.health_port}
            if settings.metrics_port is not None:
                listens["metrics"] = settings.metrics_port
            for name, number in container.ports.items():
                if listens.get(name) != number:
                    yield f"{container.where}: does not listen on its port {name}, {number}"
    for one in cluster.of("Service"):
        for port in one["spec"]["ports"]:
            for workload in cluster.selected(one["spec"]["selector"]):
                target = port.get("targetPort", port["port"])
                if _number(workload, target) is None:
                    yield f"{_where(one)}: {workload.name} has no port {target}"
                elif _number(workload, target) != port["port"]:
                    yield f"{_where(one)}: its port is not that of {workload.name}"
    for one in cluster.of("PodMonitoring"):
        for endpoint in one["spec"]["endpoints"]:
            for workload in cluster.selected(one["spec"]["selector"]):
                if endpoint["port"] not in workload.ports:
                    yield f"{_where(one)}: {workload.name} has no port {endpoint['port']}"
    for one in cluster.of("HealthCheckPolicy"):
        check = one["spec"]["default"]["config"]["grpcHealthCheck"]
        service = cluster.object("Service", one["spec"]["targetRef"]["name"])
        for workload in cluster.selected(service["spec"]["selector"]):
            if check["port"] != workload.main.settings.health_port:
                yield f"{_where(one)}: {workload.name} answers no health checks there"
    for one in cluster.of("HTTPRoute"):
        for rule in one["spec"]["rules"]:
            for reference in rule["backendRefs"]:
                service = cluster.object("Service", reference["name"])
                if reference["port"] not in [port["port"] for port in service["spec"]["ports"]]:
                    yield f"{_where(one)}: {reference['name']} has no port {reference['port']}"


def route_faults(cluster: Cluster) -> Iterator[str]:
    """Paths that are no method that clients call; a way in that does not speak TLS to the pods."""
    service = diarization_pb2.DESCRIPTOR.services_by_name["Diarization"]
    methods = {f"/{service.full_name}/{method.name}" for method in service.methods}
    for one in cluster.of("HTTPRoute"):
        paths = {
            match["path"]["value"] for rule in one["spec"]["rules"] for match in rule["matches"]
        }
        for path in sorted(paths - methods):
            yield f"{_where(one)}: there is no method {path}"
        for path in sorted(paths & methods):
            if path.endswith(("SetDraining", "GetServingState")):
                yield f"{_where(one)}: {path} is for operators"
        gateways = {parent["name"] for parent in one["spec"]["parentRefs"]}
        if not all(cluster.has("Gateway", name) for name in gateways):
            yield f"{_where(one)}: there is no such Gateway"
        (port,) = cluster.object("Service", "voiceflow-inference")["spec"]["ports"]
        if port.get("appProtocol") != "HTTP2":
            yield "Service/voiceflow-inference: the load balancer would not speak gRPC over TLS"


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
            if host == "127.0.0.1":
                if port not in [one.settings.port for one in workload.containers if one.server]:
                    yield f"{workload.name}: nobody listens on {host}:{port}"
                continue
            if not cluster.has("Service", host):
                yield f"{workload.name}: there is no Service/{host}"
                continue
            service = cluster.object("Service", host)["spec"]
            if port not in [one["port"] for one in service["ports"]]:
                yield f"{workload.name}: Service/{host} has no port {port}"
            for server in cluster.selected(service["selector"]):
                if not _allowed(cluster, "egress", "to", workload, server, port):
                    yield f"{workload.name}: may not call {server.name}"
                if not _allowed(cluster, "ingress", "from", server, workload, port):
                    yield f"{server.name}: may not be called by {workload.name}"
            if not matches({"voiceflow.dev/names": "true"}, workload.labels):
                yield f"{workload.name}: may not ask for names"
    for one in cluster.of("NetworkPolicy"):
        yield from _policy_faults(cluster, one)
    for workload in cluster.workloads:
        if workload.name == "voiceflow-validator" and any(
            rules for rules in _rules(cluster, "egress", workload)
        ):
            yield "voiceflow-validator: there is a way out"
    yield from _bucket_faults(cluster)


def _policy_faults(cluster: Cluster, policy: Object) -> Iterator[str]:
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for rule in policy["spec"].get(direction, []):
            if not rule.get(peers) or not rule.get("ports"):
                yield f"{_where(policy)}: a rule for everybody, or for every port"
            for peer in rule.get(peers, []):
                wanted = peer.get("podSelector")
                if wanted is None or "namespaceSelector" in peer:
                    continue
                if not cluster.selected(wanted) and not _CALLERS & set(wanted["matchLabels"]):
                    yield f"{_where(policy)}: names pods that there are none of"
            if direction == "ingress":
                for workload in cluster.selected(policy["spec"]["podSelector"]):
                    for port in rule.get("ports", []):
                        if _number(workload, port["port"]) is None:
                            yield f"{_where(policy)}: {workload.name} has no port {port['port']}"


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
        and any(_number(listener, allowed["port"]) == port for allowed in rule["ports"])
        for rule in _rules(cluster, direction, one)
        for peer in rule[peers]
    )


def _number(workload: Workload, port: str | int) -> int | None:
    """Of a port, which may be named; None: the pods have none of that name or number."""
    if isinstance(port, str):
        return workload.ports.get(port)
    return port if port in workload.ports.values() else None


def _where(one: Object) -> str:
    return f"{one['kind']}/{one['metadata']['name']}"
