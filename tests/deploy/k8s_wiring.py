"""Whether the objects of an overlay find each other: selectors, the switch, ports, the way in."""

from __future__ import annotations

from collections.abc import Iterator

from tests.deploy.k8s_cluster import Cluster, Container, Object, Workload, matches
from voiceflow.diarization.v1 import diarization_pb2
from voiceflow_inference.settings import Settings as InferenceSettings


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
            yield f"{where(one)}: selects no pods"
    for one in cluster.of("HorizontalPodAutoscaler"):
        yield from _referred(cluster, one, one["spec"]["scaleTargetRef"])
    for one in cluster.of("Rollout"):
        yield from _referred(cluster, one, one["spec"]["workloadRef"])
        template = cluster.object("Deployment", one["spec"]["workloadRef"]["name"])
        labels = template["spec"]["template"]["metadata"]["labels"]
        if not matches(one["spec"]["selector"], labels):
            yield f"{where(one)}: selects no pods"
    for one in cluster.of("HealthCheckPolicy", "GCPBackendPolicy"):
        target = one["spec"]["targetRef"]
        kind = "Service" if target["kind"] == "ServiceImport" else target["kind"]
        yield from _referred(cluster, one, {**target, "kind": kind})
    for one in cluster.of("ServiceExport"):
        yield from _referred(cluster, one, {"kind": "Service", **one["metadata"]})


def _referred(cluster: Cluster, one: Object, reference: Object) -> Iterator[str]:
    if not cluster.has(reference["kind"], reference["name"]):
        yield f"{where(one)}: there is no {reference['kind']}/{reference['name']}"


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
    for container in cluster.containers:
        if container.server is not None:
            yield from _listening_faults(container)
    for one in cluster.of("Service"):
        for port in one["spec"]["ports"]:
            yield from _service_faults(cluster, one, port)
    for one in cluster.of("PodMonitoring"):
        for workload in cluster.selected(one["spec"]["selector"]):
            for endpoint in one["spec"]["endpoints"]:
                if endpoint["port"] not in workload.ports:
                    yield f"{where(one)}: {workload.name} has no port {endpoint['port']}"
    yield from _way_in_faults(cluster)


def _way_in_faults(cluster: Cluster) -> Iterator[str]:
    for one in cluster.of("HealthCheckPolicy"):
        check = one["spec"]["default"]["config"]["grpcHealthCheck"]
        service = cluster.object("Service", one["spec"]["targetRef"]["name"])
        for workload in cluster.selected(service["spec"]["selector"]):
            if check["port"] != workload.main.settings.health_port:
                yield f"{where(one)}: {workload.name} answers no health checks there"
    for one in cluster.of("HTTPRoute"):
        for reference in (each for rule in one["spec"]["rules"] for each in rule["backendRefs"]):
            service = cluster.object("Service", reference["name"])
            if reference["port"] not in [port["port"] for port in service["spec"]["ports"]]:
                yield f"{where(one)}: {reference['name']} has no port {reference['port']}"


def _listening_faults(container: Container) -> Iterator[str]:
    settings = container.settings
    listens = {
        "grpc": settings.port,
        "health": settings.health_port,
        "metrics": settings.metrics_port,
    }
    for name, number in container.ports.items():
        if listens.get(name) != number:
            yield f"{container.where}: does not listen on its port {name}, {number}"


def _service_faults(cluster: Cluster, service: Object, port: Object) -> Iterator[str]:
    target = port["targetPort"] if "targetPort" in port else port["port"]
    for workload in cluster.selected(service["spec"]["selector"]):
        number = number_of(workload, target)
        if number is None:
            yield f"{where(service)}: {workload.name} has no port {target}"
        elif number != port["port"]:
            yield f"{where(service)}: its port is not that of {workload.name}"


def route_faults(cluster: Cluster) -> Iterator[str]:
    """Paths that are no method that clients call; a way in that does not speak TLS to the pods."""
    service = diarization_pb2.DESCRIPTOR.services_by_name["Diarization"]
    methods = {f"/{service.full_name}/{method.name}" for method in service.methods}
    for one in cluster.of("HTTPRoute"):
        paths = {
            match["path"]["value"] for rule in one["spec"]["rules"] for match in rule["matches"]
        }
        for path in sorted(paths - methods):
            yield f"{where(one)}: there is no method {path}"
        for path in sorted(paths & methods):
            if path.endswith(("SetDraining", "GetServingState")):
                yield f"{where(one)}: {path} is for operators"
        gateways = {parent["name"] for parent in one["spec"]["parentRefs"]}
        if not all(cluster.has("Gateway", name) for name in gateways):
            yield f"{where(one)}: there is no such Gateway"
        (port,) = cluster.object("Service", "voiceflow-inference")["spec"]["ports"]
        if port.get("appProtocol") != "HTTP2":
            yield "Service/voiceflow-inference: the load balancer would not speak gRPC over TLS"


def number_of(workload: Workload, port: str | int) -> int | None:
    """Of a port, which may be named; None: the pods have none of that name or number."""
    if isinstance(port, str):
        return workload.ports.get(port)
    return port if port in workload.ports.values() else None


def where(one: Object) -> str:
    """An object, for people."""
    return f"{one['kind']}/{one['metadata']['name']}"
