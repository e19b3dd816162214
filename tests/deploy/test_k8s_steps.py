"""The way from an empty project, step by step: what needs no cloud is run as it stands."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

import pytest
import yaml

from tests.deploy.gcp_project import NEEDED, Project
from tests.deploy.k8s_cluster import K8S, Cluster, load, read
from tests.deploy.k8s_files import Cloud
from tests.deploy.queries import ROOT
from tests.deploy.test_k8s_processes import clean_environment
from tests.deploy.test_k8s_rendering import KUSTOMIZE, needs_kustomize
from tests.fakes.models import write_stream_package
from tests.fakes.processes import serving
from tests.integration.pages import run

PAGE: Final = (ROOT / "docs" / "kubernetes.md").read_text()
STEPS: Final = PAGE.partition("## From an empty project")[2].partition("\n## Blue and green")[0]
BRINGS: Final = re.compile(
    r"-n voiceflow create (?:secret generic|configmap) (\S+) --from-file=(\S+)"
)
"""By hand, into the namespace: what, and of which file."""
EXAMPLES: Final = re.compile(r"example-project|example\.com|voiceflow\.example")


def blocks(text: str, language: str) -> list[str]:
    """Code of a language, with lines that go on joined."""
    found = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    return [re.sub(r" *\\\n *", " ", block) for block in found]


LINES: Final = [line for block in blocks(STEPS, "sh") for line in block.splitlines()]


def production() -> Cluster:
    """What step 10 applies, and the certificates of step 6."""
    return Cluster("production-gke", load("production-gke").objects + read(K8S / "callers.yaml"))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the steps take for granted of a checkout."""
    write_stream_package(tmp_path / "models/diarizer/5.0.0", "5.0.0", model="diarizer")
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Walk:
    """One who follows the steps, with a folder in place of a cluster.

    Args:
        folder: Of the cluster.
        desk: Where the commands are run.
        monkeypatch: Of the test.
    """

    def __init__(self, folder: Path, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cluster = production()
        self._folder = folder
        self._desk = desk
        self._monkeypatch = monkeypatch
        self.cloud = Cloud(self.cluster, folder)
        for name, file in BRINGS.findall("\n".join(LINES)):
            (folder / name / file).unlink()

    def fetch_certificates(self) -> None:
        """As the loop of step 6 does, from the Secrets that cert-manager writes."""
        (loop,) = [block for block in blocks(STEPS, "sh") if "for who in" in block]
        (people,) = re.findall(r"for who in (.*); do", loop)
        reads = re.findall(r"get secret (\S+) .*\.data\.(\S+?)\}' \| base64 --decode > (\S+)", loop)
        assert reads
        for who in people.split():
            for secret, entry, target in reads:
                source = self._folder / secret.replace("$who", who) / entry.replace("\\.", ".")
                shutil.copy(source, self._desk / target.replace("$who", who))

    async def do(self, line: str) -> None:
        """One line of the page; those of kubectl bring files into the cluster, or are left out."""
        brings = BRINGS.search(line)
        if brings:
            shutil.copy(self._desk / brings[2], self._folder / brings[1] / brings[2])
        elif line.startswith("export "):
            for word in line.split()[1:]:
                self._monkeypatch.setenv(*word.split("="))
        elif line.startswith("unset "):
            for name in line.split()[1:]:
                self._monkeypatch.delenv(name)
        elif line.startswith("voiceflow "):
            code, told = await run(line)
            assert code == 0, f"{line}\n{told}"

    def registry(self, store: Path) -> AbstractAsyncContextManager[tuple[list[str], str]]:
        """The registry's Deployment, which has been applied."""
        return self._started("voiceflow-registry/registry", store=store)

    def blue(self, registry: str) -> AbstractAsyncContextManager[tuple[list[str], str]]:
        """A pod of blue, which has been scaled up."""
        return self._started(
            "voiceflow-inference-blue/inference",
            registry=registry,
            pod_name="voiceflow-inference-blue-0",
            pod_label="colour=blue",
        )

    def _started(
        self, where: str, **other: str | Path
    ) -> AbstractAsyncContextManager[tuple[list[str], str]]:
        """A container's server, without the collector of telemetry, which is not here."""
        (one,) = [container for container in self.cluster.containers if container.where == where]
        settings = self.cloud.settings(one, **other)
        del settings["port"], settings["otlp_endpoint"]
        options = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
        return serving("-m", one.spec["command"][2], *options, environment=clean_environment())


@pytest.mark.slow
async def test_the_steps_lead_to_a_pod_that_serves_what_was_promoted(
    desk: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys, trust root, certificates and access file fit each other, by its commands alone."""
    walk = Walk(tmp_path_factory.mktemp("cluster"), desk, monkeypatch)
    walk.fetch_certificates()
    apply = LINES.index("kubectl apply -k deploy/k8s/overlays/production-gke")
    scaled = next(at for at, line in enumerate(LINES) if line.endswith("blue --replicas 2"))
    converged = next(at for at, line in enumerate(LINES) if line.startswith("voiceflow fleet"))
    assert apply < scaled < converged
    for line in LINES[:apply]:
        await walk.do(line)
    async with walk.registry(tmp_path_factory.mktemp("store")) as (_, registry):
        monkeypatch.setenv("VOICEFLOW_REGISTRY", registry)
        for line in LINES[apply:scaled]:
            await walk.do(line)
        async with walk.blue(registry):
            for line in LINES[scaled:]:
                if not line.startswith("voiceflow diarize"):  # it asks the load balancer
                    await walk.do(line)
    assert (desk / "token").read_text().count(".") == 2


def test_the_scripts_run_in_the_order_of_the_steps(tmp_path: Path) -> None:
    """On a project that is empty: nothing is used before it is made."""
    project = Project(tmp_path)
    scripts = [shlex.split(line) for line in LINES if line.startswith("deploy/gcp/")]
    assert [Path(words[0]).name for words in scripts] == [
        "project.sh",
        "bucket.sh",
        "identities.sh",
    ]
    for words in scripts:
        ended = project.run(Path(words[0]).name, *words[1:])
        assert ended.returncode == 0, ended.stderr
        assert words[1:] == NEEDED[Path(words[0]).name]
    text = "\n".join(LINES)
    cluster = text.index("gcloud container clusters create")
    assert text.index("project.sh") < cluster < text.index("identities.sh")
    (account,) = re.findall(r"--service-account (\S+)", text)
    assert account in project.state["there"]


def test_names_are_replaced_by_one_command(tmp_path: Path) -> None:
    """Wherever an example stands in what is applied, or rendered from."""
    (block,) = [block for block in blocks(STEPS, "sh") if "grep -rlE" in block]
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    line = block.partition("make manifests")[0]
    subprocess.run(["/usr/bin/env", "bash", "-c", line], cwd=tmp_path, check=True)
    left = [
        path
        for path in (tmp_path / "deploy").rglob("*.yaml")
        if path.parent.name != "rendered" and EXAMPLES.search(path.read_text())
    ]
    assert left == []


def test_what_is_mounted_is_brought_before_it_is_applied() -> None:
    """Secrets and ConfigMaps are made by a step, by cert-manager or by the overlay."""
    cluster = load("production-gke")
    mounted = {
        volume.get("secret", {}).get("secretName") or volume.get("configMap", {}).get("name")
        for workload in cluster.workloads
        for volume in workload.pod.get("volumes", [])
    } - {None}
    made = {one["metadata"]["name"] for one in cluster.of("ConfigMap")}
    made |= {one["spec"]["secretName"] for one in cluster.of("Certificate")}
    apply = LINES.index("kubectl apply -k deploy/k8s/overlays/production-gke")
    brought = {name for name, _ in BRINGS.findall("\n".join(LINES[:apply]))}
    assert mounted - made == brought


def test_callers_have_names_that_are_granted() -> None:
    """By the registry, to whom they show them; from the issuer of the pods' certificates.

    Staging's are production's with its namespace in place of the other, as the page says.
    """
    _, authority, issuer = read(K8S / "issuer.yaml")
    assert issuer["spec"]["ca"]["secretName"] == authority["spec"]["secretName"]
    cluster = load("production-gke")
    access = yaml.safe_load(
        cluster.object("ConfigMap", "voiceflow-access")["data"]["registry.yaml"]
    )
    granted = {one["principal"] for one in access["grants"]}
    staging = (K8S / "overlays/staging/access/registry.yaml").read_text()
    issuers = {one["spec"]["issuerRef"]["name"] for one in cluster.of("Certificate")}
    for one in read(K8S / "callers.yaml"):
        assert set(one["spec"]["uris"]) <= granted
        (uri,) = one["spec"]["uris"]
        assert uri.replace("ns/voiceflow/", "ns/voiceflow-staging/") in staging
        assert {one["spec"]["issuerRef"]["name"]} == issuers == {issuer["metadata"]["name"]}


@needs_kustomize
def test_a_patch_gives_one_colour_another_image(tmp_path: Path) -> None:
    """That of the page, where the page says; the other colour keeps its own."""
    text = next(block for block in blocks(PAGE, "yaml") if "voiceflow-inference-green" in block)
    shutil.copytree(K8S, tmp_path / "k8s")
    overlay = tmp_path / "k8s/overlays/production/kustomization.yaml"
    overlay.write_text(overlay.read_text().replace("\npatches:\n", f"\npatches:\n{text}", 1))
    folder = tmp_path / "k8s/overlays/production-gke"
    ended = subprocess.run([*KUSTOMIZE, folder], capture_output=True, text=True, check=True)
    cluster = Cluster("production-gke", list(yaml.safe_load_all(ended.stdout)))
    images = {
        one.name.rpartition("-")[2]: one.main.spec["image"].rpartition(":")[2]
        for one in cluster.workloads
        if one.name.startswith("voiceflow-inference-")
    }
    assert images == {"blue": "0.1.0", "green": "0.2.0"}


def test_alerts_reach_somebody_by_their_severity() -> None:
    """The page's file knows a receiver for each, and is no secret of another name."""
    (text,) = [block for block in blocks(STEPS, "yaml") if "receivers:" in block]
    config = yaml.safe_load(text)
    rules = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text())
    severities = {
        rule["labels"]["severity"] for group in rules["groups"] for rule in group["rules"]
    }
    assert severities == {"page", "ticket"}
    named = {config["route"]["receiver"], *(one["receiver"] for one in config["route"]["routes"])}
    assert named == {one["name"] for one in config["receivers"]}
    assert config["route"]["routes"][0]["matchers"] == ['severity="page"']


def test_the_role_of_who_switches_is_that_of_the_page() -> None:
    """The file that is applied, and what the page shows, whose rights are tried."""
    (text,) = blocks((ROOT / "docs" / "rollout.md").read_text(), "yaml")
    assert read(K8S / "rollout-role.yaml") == [yaml.safe_load(text)]
