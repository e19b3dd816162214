"""The page about Google Cloud, and the load test on it, say what there is."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any, Final

import click
import kubernetes_validate
import pytest

from tests.deploy.gcp_project import GCP, Project
from tests.deploy.k8s_cluster import load, matches, read
from tests.deploy.queries import ROOT
from tests.deploy.test_gcp_grants import COLLECTION, REGISTRY, grants
from voiceflow.cli.commands import commands

PAGE: Final = (ROOT / "docs" / "gcp.md").read_text()
LINES: Final = [
    line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()
]
JOB, POLICY = read(GCP / "loadtest.yaml")
POD: Final[dict[str, Any]] = JOB["spec"]["template"]
CONTAINER: Final[dict[str, Any]] = POD["spec"]["containers"][0]


def check_command(line: str) -> None:
    """Reads a command of `voiceflow` as it would be run.

    Raises:
        click.UsageError: There is no such command, or it does not take that.
    """
    _, *words = shlex.split(line)
    found: click.Command = commands
    while isinstance(found, click.Group):
        found = found.commands[words.pop(0)]
    found.make_context(line, words)


def test_every_command_is_one_that_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the project itself, and its scripts, which take what the page says."""
    project = Project(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "token-key.json").touch()
    for line in LINES:
        if line.startswith("voiceflow "):
            check_command(line)
        if line.startswith("deploy/gcp/"):
            script, *words = shlex.split(line)
            after = words.index("--") if "--" in words else len(words)
            ended = project.run(Path(script).name, *words[:after], "--dry-run", *words[after:])
            assert ended.returncode == 0, ended.stderr


def test_every_link_leads_somewhere() -> None:
    """To a file."""
    for link in re.findall(r"\]\(([\w./-]+)(?:#[\w-]+)?\)", PAGE):
        assert (ROOT / "docs" / link).exists(), link


def test_its_table_is_what_is_granted() -> None:
    """Kinds that each account may delete and replace, and those that it may create."""
    rows = {
        cells[1].strip(" `"): [set(re.findall(r"`(\w+)/`", cell)) for cell in cells[2:4]]
        for cells in (line.split("|") for line in PAGE.splitlines() if line.startswith("| `voice"))
    }
    granted = grants()
    every = set().union(*granted.values()) - {"all"}
    assert rows[REGISTRY] == [every - granted[REGISTRY, "create"], granted[REGISTRY, "delete"]]
    assert rows[COLLECTION] == [granted[COLLECTION, "create"], granted[COLLECTION, "delete"]]


def test_the_load_test_fits_the_cluster() -> None:
    """By the schemas of Kubernetes; its pods are led to the service, by its names."""
    for one in (JOB, POLICY):
        kubernetes_validate.validate(one, "1.30", strict=True)
    production = load("production-gke")
    service = production.object("Service", "voiceflow-inference")
    environment = {one["name"]: one["value"] for one in CONTAINER["env"]}
    port = service["spec"]["ports"][0]["port"]
    assert environment["VOICEFLOW_SERVER"] == f"{service['metadata']['name']}:{port}"
    certificate = production.object("Certificate", "voiceflow-inference")["spec"]
    assert environment["VOICEFLOW_SERVER_NAME"] in certificate["dnsNames"]
    labels = POD["metadata"]["labels"]
    assert labels["voiceflow.dev/client"] == "true"
    assert matches(POLICY["spec"]["podSelector"], labels)
    (way,) = POLICY["spec"]["egress"]
    reached = production.selected(way["to"][0]["podSelector"])
    assert {one.name for one in reached if one.is_inference} == {one.name for one in reached}
    assert port in {one["port"] for one in way["ports"]}
    assert f"--from-file={Path(environment['VOICEFLOW_TOKEN_FILE']).name}" in PAGE
    assert f"--from-file={Path(environment['VOICEFLOW_CA']).name}" in PAGE


def test_the_load_test_runs_a_command_that_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """With options that it takes."""
    for name in ("VOICEFLOW_CA", "VOICEFLOW_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    environment = {one["name"]: one["value"] for one in CONTAINER["env"]}
    words = [*CONTAINER["command"], *CONTAINER["args"]]
    line = shlex.join(words).replace("'$(STREAMS)'", environment["STREAMS"])
    assert "$" not in line
    check_command(line)
