"""The page about Kubernetes says what there is: commands, overlays, files, names, numbers."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Final

import click
import pytest

from tests.deploy.k8s_cluster import COMMON, K8S, OVERLAYS, load, read
from tests.deploy.queries import ROOT
from tests.deploy.test_k8s_rendering import BY_HAND
from voiceflow.cli.commands import commands
from voiceflow.trust.development import write_development_trust
from voiceflow_inference.settings import Settings

PAGE: Final = (ROOT / "docs" / "kubernetes.md").read_text()
COMMANDS: Final = [
    line.strip().split("   #")[0]
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
    if line.strip().startswith("voiceflow ")
]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every key that a command names."""
    folder = tmp_path_factory.mktemp("keys")
    write_development_trust(folder)
    for name in re.findall(r"[\w-]+\.(?:pem|pub)\b", "\n".join(COMMANDS)):
        if not (folder / name).exists():
            shutil.copy(folder / f"publisher{Path(name).suffix}", folder / name)
    return folder


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_is_one_that_there_is(
    line: str, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With options and arguments that it takes."""
    monkeypatch.chdir(keys)
    _, *words = shlex.split(line)
    found: click.Command = commands
    while isinstance(found, click.Group):
        found = found.commands[words.pop(0)]
    found.make_context(line, words)


def test_every_overlay_is_in_its_table() -> None:
    """And no other."""
    (table,) = re.findall(r"\| overlay \| for \|\n\|---\|---\|\n((?:\|.*\n)+)", PAGE)
    named = {
        name for row in table.splitlines() for name in re.findall(r"`([^`]+)`", row.split("|")[1])
    }
    assert named == {*OVERLAYS, COMMON}


def test_every_place_is_there() -> None:
    """Overlays that are applied, components, and files that are linked."""
    for folder in re.findall(r"deploy/k8s/[\w/.-]+\w", PAGE):
        assert (ROOT / folder).exists(), folder
    for name in re.findall(r"`components/([\w-]+)`", PAGE):
        assert (K8S / "components" / name).is_dir(), name
    for link in re.findall(r"\]\(([\w./-]+)(?:#[\w-]+)?\)", PAGE):
        assert (ROOT / "docs" / link).exists(), link


def test_every_name_of_a_workload_is_one() -> None:
    """And every account, and every label that pods or policies have."""
    clusters = [load(overlay) for overlay in OVERLAYS]
    names = {one["metadata"]["name"] for cluster in clusters for one in cluster.objects}
    names |= {one["metadata"]["name"] for path in BY_HAND for one in read(path)}
    nodes = {"voiceflow-nodes"}
    brought = {"voiceflow-keys", "voiceflow-trust-root", "voiceflow-registry-signing"}
    images = {"voiceflow-inference", "voiceflow-inference-cuda", "voiceflow-validator"}
    told = set(re.findall(r"`(voiceflow-[a-z0-9-]+[a-z0-9])`", PAGE))
    stores = {name for name in names if name.startswith("voiceflow-store")}
    assert stores
    assert told - names - nodes - brought - images - {"voiceflow-store"} == set()


def test_numbers_are_those_of_production() -> None:
    """Of the drain and of the room, as the page says them."""
    cluster = load("production-gke")
    blue = next(one for one in cluster.workloads if one.is_inference)
    settings = blue.main.settings
    assert isinstance(settings, Settings)
    default = cluster.object("GCPBackendPolicy", "voiceflow-inference")["spec"]["default"]
    rows = {
        "`preStop`": blue.main.spec["lifecycle"]["preStop"]["sleep"]["seconds"],
        "SIGTERM, `VOICEFLOW_GRACE_SECONDS`": int(settings.grace_seconds),
        "`terminationGracePeriodSeconds`": blue.pod["terminationGracePeriodSeconds"],
        "the load balancer's draining": default["connectionDraining"]["drainingTimeoutSec"],
        "the load balancer's timeout": default["timeoutSec"],
    }
    for what, seconds in rows.items():
        assert f"| {what} | {seconds} |" in PAGE, what
    assert f"takes {settings.streams} streams (`VOICEFLOW_STREAMS`)" in PAGE
    scaler = cluster.object("HorizontalPodAutoscaler", "voiceflow-inference-blue")["spec"]
    targets = [metric["pods"]["target"]["averageValue"] for metric in scaler["metrics"]]
    assert targets == ["100", "250m"]
    assert "above 100 a pod" in PAGE
    assert "above 0.25 s" in PAGE
