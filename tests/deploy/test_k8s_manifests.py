"""What deploy/k8s renders to fits together, and starts the services as they are."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.k8s_cluster import OVERLAYS, Cluster, load, spoiled, without
from tests.deploy.k8s_network import network_faults
from tests.deploy.k8s_safety import grants
from tests.deploy.k8s_settings import BROUGHT, setting_faults
from tests.deploy.k8s_spoiled import CHECKS, MAIN, REGISTRY, SPOILED, Check
from tests.deploy.queries import ROOT
from voiceflow.identity.caller import CallerRole


@pytest.fixture(scope="module")
def clusters() -> dict[str, Cluster]:
    """Every overlay, as it is rendered."""
    return {name: load(name) for name in OVERLAYS}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_every_overlay_fits_together(clusters: dict[str, Cluster], check: Check) -> None:
    """No check finds anything in any of them."""
    found = {name: list(check(cluster)) for name, cluster in clusters.items()}
    assert found == {name: [] for name in OVERLAYS}


@pytest.mark.parametrize(
    ("check", "where", "path", "value", "fault"),
    SPOILED,
    ids=[f"{check.__name__}-{number}" for number, (check, *_) in enumerate(SPOILED)],
)
def test_what_does_not_fit_is_found(
    clusters: dict[str, Cluster],
    check: Check,
    where: tuple[str, str],
    path: str,
    value: Any,
    fault: str,
) -> None:
    """In a copy of production in which one place of one object is another."""
    changed = spoiled(clusters["production-gke"], *where, path, value)
    found = list(check(changed))
    assert any(fault in one for one in found), found


def test_every_check_is_tried() -> None:
    """Each has something that it must find."""
    assert {check for check, *_ in SPOILED} == set(CHECKS)


@pytest.mark.parametrize(
    ("variable", "fault"),
    [
        ("VOICEFLOW_REGISTRY_TLS_CERT", "one goes with the other"),
        ("VOICEFLOW_REGISTRY_CLIENT_CA", "clients show certificates, tokens, or both"),
        ("VOICEFLOW_REGISTRY_ACCESS", "a file says who may do what"),
    ],
)
def test_a_variable_that_is_left_out_is_found(
    clusters: dict[str, Cluster], variable: str, fault: str
) -> None:
    """The settings themselves say what does not go together."""
    cluster = clusters["production-gke"]
    env = cluster.object(*REGISTRY)["spec"]["template"]["spec"]["containers"][0]["env"]
    rest = [one for one in env if one["name"] != variable]
    assert len(rest) == len(env) - 1
    changed = spoiled(cluster, *REGISTRY, f"{MAIN}/env", rest)
    assert any(fault in one for one in setting_faults(changed))


def test_a_policy_that_is_left_out_is_found(clusters: dict[str, Cluster]) -> None:
    """Without it, its calls are denied; without the denial, everything is allowed."""
    cluster = clusters["production-gke"]
    denied = without(cluster, "NetworkPolicy", "voiceflow-registry")
    assert "voiceflow-registry: may not be called by voiceflow-collection" not in list(
        network_faults(denied)
    )
    assert "voiceflow-registry: may not be called by voiceflow-inference-blue" in list(
        network_faults(denied)
    )
    open_ = without(cluster, "NetworkPolicy", "default-deny")
    assert "NetworkPolicy/default-deny: does not deny everything" in list(network_faults(open_))


def test_the_names_that_commands_go_by_are_there(clusters: dict[str, Cluster]) -> None:
    """In every overlay in which a person switches."""
    for name, cluster in clusters.items():
        if any(cluster.of("Rollout")):
            continue
        for colour in ("blue", "green"):
            assert cluster.has("Deployment", f"voiceflow-inference-{colour}"), name
        selector = cluster.object("Service", "voiceflow-inference")["spec"]["selector"]
        assert selector["voiceflow.dev/colour"] in {"blue", "green"}, name
        for service in ("voiceflow-inference-fleet", "voiceflow-registry"):
            assert cluster.has("Service", service), name
        assert cluster.has("Deployment", "voiceflow-registry"), name


def test_whatever_people_bring_is_told(clusters: dict[str, Cluster]) -> None:
    """The page names each Secret and ConfigMap that no manifest makes, with its file."""
    page = (ROOT / "docs" / "kubernetes.md").read_text()
    for source, files in BROUGHT.items():
        assert source in page
        assert all(file in page for file in files)
    for cluster in clusters.values():
        for one in cluster.of("Certificate"):
            assert one["spec"]["issuerRef"] == {
                "group": "cert-manager.io",
                "kind": "ClusterIssuer",
                "name": "voiceflow",
            }


def test_staging_and_production_share_nobody(clusters: dict[str, Cluster]) -> None:
    """Neither a principal with a role, nor an account of the cloud, nor a store."""

    def names(cluster: Cluster) -> set[str]:
        text = cluster.object("ConfigMap", "voiceflow-access")["data"]["registry.yaml"]
        accounts = [one["metadata"].get("annotations", {}) for one in cluster.of("ServiceAccount")]
        stores = [
            one["data"]["store"]
            for one in cluster.of("ConfigMap")
            if one["metadata"]["name"].startswith("voiceflow-store")
        ]
        principals = [line.split()[-1] for line in text.splitlines() if "principal:" in line]
        return {*principals, *stores, *(value for one in accounts for value in one.values())}

    assert names(clusters["staging"]).isdisjoint(names(clusters["production-gke"]))


def test_no_publisher_promotes_and_no_operator_collects(clusters: dict[str, Cluster]) -> None:
    """Roles that are to be in different hands are, in every access file."""
    for name, cluster in clusters.items():
        if cluster.is_development:
            continue
        namespace = next(cluster.of("Namespace"))["metadata"]["name"]
        known = grants(cluster, "registry.yaml")
        inside = f"spiffe://voiceflow.example/ns/{namespace}/sa"
        roles = {
            who: known.caller(f"{inside}/{who}").roles
            for who in ("publisher", "promoter", "operator")
        }
        assert roles == {
            "publisher": {CallerRole.PUBLISHER, CallerRole.READER},
            "promoter": {CallerRole.PROMOTER, CallerRole.READER},
            "operator": {CallerRole.OPERATOR, CallerRole.READER},
        }, name
        clients = grants(cluster, "inference.yaml")
        assert clients.caller(f"{inside}/backend").roles == {CallerRole.CLIENT}
        assert clients.caller(f"{inside}/operator").roles == {CallerRole.OPERATOR}
