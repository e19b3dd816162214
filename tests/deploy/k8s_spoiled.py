"""Every check of an overlay, and for each what it must find: one place of production is another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from tests.deploy.k8s_cluster import Cluster
from tests.deploy.k8s_network import network_faults
from tests.deploy.k8s_safety import (
    identity_faults,
    image_faults,
    pod_faults,
    resource_faults,
)
from tests.deploy.k8s_settings import (
    drain_faults,
    mount_faults,
    probe_faults,
    provider_faults,
    setting_faults,
)
from tests.deploy.k8s_wiring import (
    port_faults,
    route_faults,
    selector_faults,
    switch_faults,
)

Check = Callable[[Cluster], Iterator[str]]

CHECKS: Final[list[Check]] = [
    selector_faults,
    switch_faults,
    port_faults,
    route_faults,
    network_faults,
    setting_faults,
    provider_faults,
    probe_faults,
    drain_faults,
    mount_faults,
    pod_faults,
    resource_faults,
    identity_faults,
    image_faults,
]

BLUE: Final = ("Deployment", "voiceflow-inference-blue")
REGISTRY: Final = ("Deployment", "voiceflow-registry")
VALIDATOR: Final = ("Deployment", "voiceflow-validator")
COLLECTION: Final = ("CronJob", "voiceflow-collection")
SWITCH: Final = ("Service", "voiceflow-inference")
ROUTE: Final = ("HTTPRoute", "voiceflow")
BACKEND: Final = ("GCPBackendPolicy", "voiceflow-inference")
POD: Final = "spec/template/spec"
MAIN: Final = f"{POD}/containers/0"
DIALS: Final = f"{MAIN}/env/VOICEFLOW_REGISTRY"
GRACE: Final = f"{MAIN}/env/VOICEFLOW_GRACE_SECONDS"
JOB: Final = "spec/jobTemplate/spec/template/spec"

# check, kind and name, place, what stands there instead, what is found
SPOILED: Final[list[tuple[Check, tuple[str, str], str, Any, str]]] = [
    (selector_faults, SWITCH, "spec/selector/voiceflow.dev~1colour", "red", "selects no pods"),
    (
        selector_faults,
        BLUE,
        "spec/selector/matchLabels/voiceflow.dev~1colour",
        None,
        "its selector is not that of its own pods alone",
    ),
    (
        selector_faults,
        BLUE,
        f"{POD}/topologySpreadConstraints/0/labelSelector/matchLabels/voiceflow.dev~1colour",
        "green",
        "spreads by labels",
    ),
    (
        selector_faults,
        ("PodDisruptionBudget", "voiceflow-registry"),
        "spec/selector/matchLabels/app.kubernetes.io~1name",
        "voiceflow",
        "selects no pods",
    ),
    (
        selector_faults,
        ("PodMonitoring", "voiceflow-inference"),
        "spec/selector/matchLabels/app.kubernetes.io~1name",
        "inference",
        "selects no pods",
    ),
    (
        selector_faults,
        ("HorizontalPodAutoscaler", "voiceflow-inference-blue"),
        "spec/scaleTargetRef/name",
        "voiceflow-inference",
        "there is no Deployment/voiceflow-inference",
    ),
    (selector_faults, BACKEND, "spec/targetRef/name", "inference", "there is no Service/inference"),
    (switch_faults, SWITCH, "spec/selector/voiceflow.dev~1colour", None, "choose one colour"),
    (
        switch_faults,
        ("Service", "voiceflow-inference-fleet"),
        "spec/publishNotReadyAddresses",
        False,
        "pods that drain",
    ),
    (switch_faults, BLUE, f"{MAIN}/env/VOICEFLOW_CHANNEL/value", "green", "is not blue"),
    (port_faults, BLUE, f"{MAIN}/ports/0/containerPort", 50052, "does not listen on its port grpc"),
    (port_faults, BLUE, f"{MAIN}/args/1", "--port=50053", "does not listen on its port grpc"),
    (port_faults, SWITCH, "spec/ports/0/targetPort", "http", "has no port http"),
    (
        port_faults,
        ("HealthCheckPolicy", "voiceflow-inference"),
        "spec/default/config/grpcHealthCheck/port",
        50051,
        "answers no health checks there",
    ),
    (port_faults, ROUTE, "spec/rules/0/backendRefs/0/port", 443, "has no port 443"),
    (
        port_faults,
        ("PodMonitoring", "voiceflow-registry"),
        "spec/endpoints/0/port",
        "prometheus",
        "has no port prometheus",
    ),
    (route_faults, ROUTE, "spec/rules/0/matches/0/path/value", "/Diarize", "there is no method"),
    (
        route_faults,
        ROUTE,
        "spec/rules/0/matches/0/path/value",
        "/voiceflow.diarization.v1.Diarization/SetDraining",
        "is for operators",
    ),
    (route_faults, SWITCH, "spec/ports/0/appProtocol", None, "gRPC over TLS"),
    (network_faults, BLUE, f"{DIALS}/value", "registry:50061", "no Service/registry"),
    (network_faults, BLUE, f"{DIALS}/value", "voiceflow-registry:50051", "has no port 50051"),
    (
        network_faults,
        ("NetworkPolicy", "voiceflow-inference"),
        "spec/egress/0/ports/0/port",
        50051,
        "may not call voiceflow-registry",
    ),
    (
        network_faults,
        ("NetworkPolicy", "voiceflow-registry"),
        "spec/ingress/0/from/0/podSelector/matchLabels/app.kubernetes.io~1name",
        "inference",
        "may not be called by voiceflow-inference-blue",
    ),
    (
        network_faults,
        ("NetworkPolicy", "default-deny"),
        "spec/policyTypes",
        ["Ingress"],
        "does not deny everything",
    ),
    (
        network_faults,
        ("NetworkPolicy", "voiceflow-inference"),
        "spec/ingress/0/from",
        None,
        "a rule for everybody",
    ),
    (
        network_faults,
        ("NetworkPolicy", "bucket"),
        "spec/egress/0/ports/0/port",
        80,
        "may not call the bucket",
    ),
    (
        network_faults,
        VALIDATOR,
        "spec/template/metadata/labels/voiceflow.dev~1names",
        "true",
        "there is a way out",
    ),
    (
        network_faults,
        COLLECTION,
        f"{JOB}/initContainers/0/args/1",
        "--port=50062",
        "nobody listens on 127.0.0.1:50061",
    ),
    (
        network_faults,
        BLUE,
        "spec/template/metadata/labels/voiceflow.dev~1names",
        None,
        "may not ask for names",
    ),
    (setting_faults, BLUE, f"{DIALS}/name", "VOICEFLOW_REGISTRI", "nothing reads"),
    (setting_faults, BLUE, f"{MAIN}/args/0", "--hostname=0.0.0.0", "voiceflow-inference-blue"),
    (setting_faults, BLUE, f"{GRACE}/value", "long", "valid number"),
    (setting_faults, COLLECTION, f"{JOB}/containers/0/args/0", "--all", "--all"),
    (setting_faults, COLLECTION, f"{JOB}/containers/0/env/0/name", "VOICEFLOW_SERVER", "reads"),
    (
        probe_faults,
        BLUE,
        f"{MAIN}/readinessProbe/grpc/service",
        "voiceflow.Diarization",
        "its readiness probe asks",
    ),
    (probe_faults, REGISTRY, f"{MAIN}/startupProbe/grpc/port", 50061, "its startup probe asks"),
    (probe_faults, REGISTRY, f"{MAIN}/readinessProbe", None, "has no readiness probe"),
    (
        probe_faults,
        BLUE,
        f"{MAIN}/livenessProbe",
        {"grpc": {"port": 50052}},
        "would be ended while it drains",
    ),
    (probe_faults, BLUE, f"{MAIN}/startupProbe/failureThreshold", 12, "before it can have started"),
    (probe_faults, BLUE, "spec/progressDeadlineSeconds", 300, "fails before the pod does"),
    (probe_faults, BLUE, f"{MAIN}/args/2", "--health-host=127.0.0.1", "not heard outside"),
    (
        drain_faults,
        BLUE,
        f"{POD}/terminationGracePeriodSeconds",
        560,
        "is killed before it has drained",
    ),
    (drain_faults, BLUE, f"{GRACE}/value", "600", "is killed before it has drained"),
    (drain_faults, BLUE, f"{MAIN}/lifecycle", None, "hears SIGTERM before"),
    (
        drain_faults,
        BACKEND,
        "spec/default/connectionDraining/drainingTimeoutSec",
        30,
        "cuts streams of voiceflow-inference-blue",
    ),
    (drain_faults, BACKEND, "spec/default/timeoutSec", 30, "cuts streams that are long"),
    (mount_faults, BLUE, f"{POD}/volumes/tls/secret/secretName", "tls", "nobody makes tls"),
    (mount_faults, BLUE, f"{MAIN}/volumeMounts/tls/name", "certificates", "there is no volume"),
    (mount_faults, BLUE, f"{MAIN}/volumeMounts/tls/subPath", "tls.crt", "would never be renewed"),
    (mount_faults, BLUE, f"{MAIN}/args/7", "--cache-dir=/var/cache/voiceflow", "is on no volume"),
    (mount_faults, BLUE, f"{POD}/volumes/tls/secret/defaultMode", 0o444, "others may read"),
    (
        mount_faults,
        ("ConfigMap", "voiceflow-access"),
        "data",
        {"registry.yaml": ""},
        "voiceflow-access holds no inference.yaml",
    ),
    (
        pod_faults,
        ("Namespace", "voiceflow"),
        "metadata/labels/pod-security.kubernetes.io~1enforce",
        "baseline",
        "does not enforce the restricted",
    ),
    (pod_faults, REGISTRY, f"{POD}/securityContext/runAsUser", 0, "runs as root"),
    (pod_faults, REGISTRY, f"{POD}/securityContext/seccompProfile", None, "any system call"),
    (pod_faults, REGISTRY, f"{POD}/enableServiceLinks", None, "taken for settings"),
    (pod_faults, REGISTRY, f"{POD}/automountServiceAccountToken", True, "a token of the cluster"),
    (pod_faults, REGISTRY, f"{POD}/hostNetwork", True, "is the machine's"),
    (pod_faults, REGISTRY, f"{POD}/serviceAccountName", "default", "no such account"),
    (pod_faults, REGISTRY, f"{POD}/volumes/0", {"name": "data", "hostPath": {}}, "allowed"),
    (pod_faults, REGISTRY, f"{MAIN}/securityContext/capabilities", {}, "has capabilities"),
    (
        pod_faults,
        COLLECTION,
        f"{JOB}/initContainers/0/securityContext/allowPrivilegeEscalation",
        True,
        "may gain rights",
    ),
    (pod_faults, BLUE, f"{MAIN}/securityContext/readOnlyRootFilesystem", False, "to its image"),
    (resource_faults, BLUE, f"{MAIN}/resources/limits/memory", None, "how much it takes: memory"),
    (resource_faults, BLUE, f"{MAIN}/resources/requests/cpu", None, "how much it takes: cpu"),
    (resource_faults, BLUE, "spec/replicas", 2, "the autoscaler's to say"),
    (
        resource_faults,
        ("HorizontalPodAutoscaler", "voiceflow-inference-green"),
        "spec/metrics/0/pods/target/averageValue",
        "150",
        "refused before there are more pods",
    ),
    (
        identity_faults,
        ("ServiceAccount", "voiceflow-inference"),
        "metadata/annotations",
        {"iam.gke.io/gcp-service-account": "x@example.iam.gserviceaccount.com"},
        "bound to accounts of the cloud",
    ),
    (
        identity_faults,
        ("ServiceAccount", "voiceflow-collection"),
        "metadata/annotations/iam.gke.io~1gcp-service-account",
        "voiceflow-registry@example-project.iam.gserviceaccount.com",
        "two accounts are one",
    ),
    (identity_faults, VALIDATOR, f"{POD}/volumes/0", {"secret": {}}, "something to be known by"),
    (
        identity_faults,
        ("Certificate", "voiceflow-collection"),
        "spec/uris/0",
        "spiffe://voiceflow.example/ns/voiceflow/sa/collector",
        "does not have its roles",
    ),
    (provider_faults, BLUE, f"{MAIN}/args/1", "--provider=cuda", "on cuda, 0 GPUs"),
    (
        provider_faults,
        BLUE,
        f"{MAIN}/resources/limits/nvidia.com~1gpu",
        "1",
        "on cpu, 1 GPUs",
    ),
    (image_faults, BLUE, f"{MAIN}/image", "voiceflow-inference", "is not said"),
    (image_faults, BLUE, f"{MAIN}/image", "a.example/voiceflow-inference:latest", "is not said"),
    (image_faults, BLUE, f"{MAIN}/image", "a.example/voiceflow:1", "nobody builds"),
    (image_faults, BLUE, f"{MAIN}/image", "voiceflow-inference:1", "is in no registry"),
    (image_faults, BLUE, f"{MAIN}/image", "a.example/voiceflow-inference-cuda:1", "a GPU without"),
]
