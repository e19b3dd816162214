"""Autoscalers, analyses and the collector of deploy/k8s go by what the services tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest
import yaml

from tests.deploy.k8s_cluster import K8S, OVERLAYS, load
from tests.deploy.queries import Query, faults, labels_in_code

ADAPTER: Final = K8S / "prometheus-adapter.yaml"
PODS: Final = frozenset({"namespace", "pod", "colour", "container"})
"""What Prometheus knows each pod's metrics by."""


@pytest.fixture(scope="module")
def labels() -> frozenset[str]:
    """What they are told apart by."""
    return labels_in_code() | PODS


def of_adapter(text: str) -> Iterator[Query]:
    """The queries of prometheus-adapter's rules, with what it puts into them."""
    for rule in yaml.safe_load(text)["rules"]["custom"]:
        name = rule["name"]["as"]
        filled = rule["metricsQuery"].replace("<<.GroupBy>>", "pod")
        yield Query(name, filled.replace("<<.LabelMatchers>>", 'namespace="x",pod=~"x|y"'))
        yield Query(name, rule["seriesQuery"])


def of_analyses() -> Iterator[Query]:
    """The queries of every AnalysisTemplate."""
    for one in load("production-gke-argo").of("AnalysisTemplate"):
        for metric in one["spec"]["metrics"]:
            query = metric["provider"]["prometheus"]["query"]
            where = f"{one['metadata']['name']}: {metric['name']}"
            yield Query(where, query.replace("{{args.hash}}", "x"))


def scaled_by(overlay: str) -> set[str]:
    """Metrics that autoscalers go by."""
    return {
        metric["pods"]["metric"]["name"]
        for one in load(overlay).of("HorizontalPodAutoscaler")
        for metric in one["spec"]["metrics"]
    }


def test_whatever_is_asked_for_is_told(metrics: frozenset[str], labels: frozenset[str]) -> None:
    """By the rules of the adapter, and by the analyses of a rollout."""
    queries = [*of_adapter(ADAPTER.read_text()), *of_analyses()]
    assert len(queries) > 10
    assert [fault for one in queries for fault in faults(one, metrics, labels)] == []


@pytest.mark.parametrize(
    ("old", "new"), [("voiceflow_streams{<", "voiceflow_stream{<"), ("(le, ", "(by_le, ")]
)
def test_a_name_that_nothing_tells_is_found_out(
    old: str, new: str, metrics: frozenset[str], labels: frozenset[str]
) -> None:
    """In a spoiled copy of the rules."""
    text = ADAPTER.read_text()
    assert old in text
    queries = of_adapter(text.replace(old, new))
    assert [fault for one in queries for fault in faults(one, metrics, labels)]


def test_autoscalers_go_by_what_the_adapter_makes() -> None:
    """Streams of a pod, and how far it is behind; nothing else, and nothing that is not made."""
    made = {rule["name"]["as"] for rule in yaml.safe_load(ADAPTER.read_text())["rules"]["custom"]}
    used: dict[str, set[str]] = {overlay: scaled_by(overlay) for overlay in OVERLAYS}
    assert used.pop("dev") == set()
    assert all(one == made for one in used.values()), used


def test_analyses_are_those_that_the_rollout_names() -> None:
    """With the arguments that they take, about the pods that it makes."""
    cluster = load("production-gke-argo")
    templates = {one["metadata"]["name"]: one["spec"] for one in cluster.of("AnalysisTemplate")}
    (rollout,) = cluster.of("Rollout")
    strategy: dict[str, Any] = rollout["spec"]["strategy"]["blueGreen"]
    named = [strategy["prePromotionAnalysis"], strategy["postPromotionAnalysis"]]
    assert {one["templateName"] for step in named for one in step["templates"]} == set(templates)
    for step in named:
        given = {one["name"] for one in step["args"]}
        for one in step["templates"]:
            spec = templates[one["templateName"]]
            assert given == {arg["name"] for arg in spec["args"] if "value" not in arg}
            for metric in spec["metrics"]:
                asked = metric["provider"]["prometheus"]["query"]
                assert f'pod=~"{rollout["metadata"]["name"]}-{{{{args.hash}}}}-.*"' in asked
    for service in (strategy["activeService"], strategy["previewService"]):
        selector = cluster.object("Service", service)["spec"]["selector"]
        assert selector == rollout["spec"]["selector"]["matchLabels"]


def test_the_collector_takes_what_is_sent() -> None:
    """Each part of a pipeline is configured, and listens where its Service and its probes look."""
    cluster = load("production-gke")
    (config,) = [
        yaml.safe_load(one["data"]["collector.yaml"])
        for one in cluster.of("ConfigMap")
        if "collector.yaml" in one["data"]
    ]
    for pipeline in config["service"]["pipelines"].values():
        for kind, names in pipeline.items():
            assert set(names) <= set(config[kind])
    assert set(config["service"]["extensions"]) <= set(config["extensions"])
    (collector,) = [one for one in cluster.workloads if one.name == "voiceflow-telemetry"]
    ports = {
        "otlp": config["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"],
        "health": config["extensions"]["health_check"]["endpoint"],
    }
    assert collector.ports == {name: int(at.rpartition(":")[2]) for name, at in ports.items()}
    assert all(at.startswith("0.0.0.0:") for at in ports.values())
    mount = collector.main.spec["volumeMounts"][0]["mountPath"]
    assert collector.main.spec["args"] == [f"--config={mount}/collector.yaml"]
