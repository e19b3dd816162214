"""What is committed of deploy/k8s is what it renders to, and what Kubernetes' schemas allow."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any, Final

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError

from tests.deploy.gcp_project import GCP
from tests.deploy.k8s_cluster import COMMON, K8S, OVERLAYS, RENDERED, Object, load, read, spoiled
from tests.deploy.queries import ROOT
from tests.deploy.test_metric_names import ALERTS

OLDEST: Final = "1.30"
"""In which `preStop: sleep` and containers that restart among those that begin first are on."""
NEWEST: Final = kubernetes_validate.latest_version()


def kustomize() -> list[str]:
    """The command that renders a folder; none where neither tool is here, or it is too old."""
    kubectl = shutil.which("kubectl")
    if kubectl is not None:
        told = subprocess.run(
            [kubectl, "version", "--client", "--output=json"],
            capture_output=True,
            text=True,
            check=True,
        )
        version = json.loads(told.stdout)["clientVersion"]
        if (int(version["major"]), int(re.sub(r"\D", "", version["minor"]))) >= (1, 21):
            return [kubectl, "kustomize"]
    return ["kustomize", "build"] if shutil.which("kustomize") else []


KUSTOMIZE: Final = kustomize()
needs_kustomize: Final = pytest.mark.skipif(
    not KUSTOMIZE, reason="neither kustomize nor kubectl 1.21 or newer is here"
)


def rendered(overlay: str) -> list[Object]:
    """What an overlay renders to now."""
    folder = K8S / "overlays" / overlay
    ended = subprocess.run([*KUSTOMIZE, folder], capture_output=True, text=True, check=True)
    assert "deprecated" not in ended.stderr.lower(), ended.stderr
    return [one for one in yaml.safe_load_all(ended.stdout) if one]


BY_HAND: Final = [
    *(K8S / f"{name}.yaml" for name in ("callers", "issuer", "query-frontend", "rollout-role")),
    GCP / "ci.yaml",
]
"""What is applied beside an overlay."""


def test_every_overlay_is_rendered() -> None:
    """But what others have in common."""
    folders = {path.name for path in (K8S / "overlays").iterdir() if path.is_dir()}
    assert folders - {COMMON} == set(OVERLAYS)


def test_what_is_applied_by_hand_is_known() -> None:
    """All but the values of a Helm chart, which are no objects."""
    beside = {path.name for path in K8S.glob("*.yaml")} - {"prometheus-adapter.yaml"}
    assert beside == {path.name for path in BY_HAND if path.parent == K8S}


@needs_kustomize
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_is_committed_is_what_it_renders_to(overlay: str) -> None:
    """After every change: `make manifests`."""
    assert rendered(overlay) == read(RENDERED / f"{overlay}.yaml"), "run `make manifests`"


def test_every_file_is_used() -> None:
    """By a kustomization beside it, or by people."""
    for folder in (K8S / "base", K8S / "components", K8S / "overlays"):
        for path in folder.rglob("*.yaml"):
            if path.name == "kustomization.yaml":
                continue
            owner = next(one for one in path.parents if (one / "kustomization.yaml").exists())
            text = (owner / "kustomization.yaml").read_text()
            assert str(path.relative_to(owner)) in text, path


def test_every_component_is_in_an_overlay() -> None:
    """So that it is rendered, and checked."""
    used = " ".join(path.read_text() for path in (K8S / "overlays").rglob("kustomization.yaml"))
    for folder in (K8S / "components").iterdir():
        assert f"components/{folder.name}\n" in f"{used}\n", folder.name


def test_the_alerts_are_those_of_prometheus() -> None:
    """Managed Service for Prometheus gets the same, and how often to look at each group."""
    (rules,) = read(K8S / "components" / "managed-prometheus" / "rules.yaml")
    groups = [
        {name: value for name, value in group.items() if name != "interval"}
        for group in rules["spec"]["groups"]
    ]
    assert groups == yaml.safe_load(ALERTS.read_text())["groups"], "run `make manifests`"


def schemas() -> dict[str, Draft202012Validator]:
    """Those of custom resources, by GROUP/VERSION/KIND."""
    found = {}
    for path in sorted((K8S / "schemas").glob("*.yaml")):
        content = yaml.safe_load(path.read_text())
        shared = content.pop("$defs", {})
        for kind, schema in content.items():
            Draft202012Validator.check_schema(schema)
            found[kind] = Draft202012Validator({"$defs": shared, **schema})
    return found


CUSTOM: Final = schemas()


def check(one: Object) -> None:
    """Holds an object against the schema of its kind.

    Raises:
        ValidationError: It is not what the schema allows.
        SchemaNotFoundError: There is none for the kind.
    """
    custom = CUSTOM.get(f"{one['apiVersion']}/{one['kind']}")
    if custom is not None:
        custom.validate(one)
        return
    for version in (OLDEST, NEWEST):
        kubernetes_validate.validate(one, version, strict=True)


def distinct() -> Iterator[Object]:
    """Every object of every overlay, and those beside; what overlays share once."""
    objects = [one for overlay in OVERLAYS for one in load(overlay).objects]
    objects += [one for path in BY_HAND for one in read(path)]
    return (
        json.loads(text) for text in sorted({json.dumps(one, sort_keys=True) for one in objects})
    )


def test_every_object_is_what_its_schema_allows() -> None:
    """In the oldest Kubernetes that will do, and in the newest."""
    for one in distinct():
        try:
            check(one)
        except (ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
            pytest.fail(f"{one['kind']}/{one['metadata']['name']}: {error.message}")


def test_a_schema_is_for_what_there_is() -> None:
    """None is left over, and its fields are described."""
    kinds = {f"{one['apiVersion']}/{one['kind']}" for one in distinct()}
    assert set(CUSTOM) <= kinds
    table = (K8S / "schemas" / "README.md").read_text()
    assert all(kind.rpartition("/")[2] in table for kind in CUSTOM)


@pytest.mark.parametrize(
    ("kind", "name", "path", "value"),
    [
        ("Deployment", "voiceflow-registry", "spec/replica", 2),
        ("Deployment", "voiceflow-registry", "spec/replicas", "two"),
        ("CronJob", "voiceflow-collection", "spec/jobTemplate/spec/template/spec/container", []),
        ("HealthCheckPolicy", "voiceflow-inference", "spec/default/config/type", "gRPC"),
        ("HealthCheckPolicy", "voiceflow-inference", "spec/default/interval", 5),
        ("GCPBackendPolicy", "voiceflow-inference", "spec/default/timeoutSeconds", 60),
        ("PodMonitoring", "voiceflow-inference", "spec/podMetricsEndpoints", []),
        ("Rules", "voiceflow", "spec/groups/0/interval", None),
        ("Gateway", "voiceflow", "spec/listeners/0/port", 0),
        ("HTTPRoute", "voiceflow", "spec/rules/0/timeouts", {"request": "1h"}),
        ("Certificate", "voiceflow-registry", "spec/uriSANs", []),
    ],
)
def test_a_field_that_there_is_not_is_found(kind: str, name: str, path: str, value: Any) -> None:
    """Also in custom resources."""
    changed = spoiled(load("production-gke"), kind, name, path, value)
    with pytest.raises(ValidationError):
        check(changed.object(kind, name))


@pytest.mark.parametrize(
    ("overlay", "kind", "name", "path"),
    [
        ("production-gke-argo", "Rollout", "voiceflow-inference-stable", "spec/strategy/canary"),
        ("production-gke-argo", "AnalysisTemplate", "voiceflow-canary", "spec/metrics/0/query"),
        ("multi-region-us-central1", "ServiceExport", "voiceflow-inference", "spec"),
    ],
)
def test_so_it_is_in_kinds_that_few_overlays_have(
    overlay: str, kind: str, name: str, path: str
) -> None:
    """Each schema refuses something."""
    changed = spoiled(load(overlay), kind, name, path, {})
    with pytest.raises(ValidationError):
        check(changed.object(kind, name))


def test_make_renders_all() -> None:
    """The target leaves out what the tests leave out."""
    assert f"$(filter-out {COMMON}," in (ROOT / "Makefile").read_text()
