"""The workflows name targets, commands, options and files that there are, and ask for little."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import pytest
import yaml

from benchmarks import accuracy
from scripts.dockerfile import DOCKERFILE, read_stages, targets
from tests.deploy.queries import ROOT
from voiceflow.cli.commands import commands

WORKFLOWS: Final = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
ALL: Final = [*WORKFLOWS, ROOT / "docs" / "publishing-workflow.yaml"]
TARGETS: Final = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
BROUGHT: Final = {
    "GITHUB_OUTPUT",
    "GITHUB_REF_NAME",
    "GITHUB_REPOSITORY",
    "GITHUB_RUN_ID",
    "GITHUB_SHA",
}


def read(path: Path) -> dict[str, Any]:
    """A workflow, where `on` is no truth value."""
    found: dict[str, Any] = yaml.load(path.read_text(), yaml.BaseLoader)  # noqa: S506 - texts alone
    return found


def jobs(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Its jobs by name."""
    yield from read(path)["jobs"].items()


def steps(path: Path) -> Iterator[dict[str, Any]]:
    """The steps of all jobs."""
    return (step for _, job in jobs(path) for step in job["steps"])


def lines(path: Path) -> list[str]:
    """What is run, line by line."""
    texts = (step["run"] for step in steps(path) if "run" in step)
    return [line.strip() for text in texts for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_every_command_is_one_that_there_is(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With options and arguments that it takes; targets of make, and scripts, likewise."""
    for name in (
        "signing.pem",
        "model.onnx",
        "manifest.json",
        "README.md",
        "draft.toml",
        "card.md",
    ):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "package").mkdir()
    (tmp_path / "conversations").mkdir()
    stand_ins = {
        "$PACKAGE": "package",
        "$VERSION": "1.0.0",
        "$version": "diarizer@1.0.0",
        "$CHANNEL": "beta",
        "$major": "1",
        "$made/": "",
        "../shared/": "",
        "/tmp/identity/": "",  # noqa: S108 - of the runner
        "$GITHUB_SHA": "0" * 40,
    }
    for line in lines(path):
        for text, instead in stand_ins.items():
            line = line.replace(text, instead)  # noqa: PLW2901 - the same line, to be read here
        line = re.sub(r"/etc/voiceflow/\w+\.pem", "signing.pem", line)  # noqa: PLW2901 - likewise
        words = shlex.split(line)
        if words[0] == "make":
            assert {word for word in words[1:] if "=" not in word} <= TARGETS, line
        elif words[0] == "voiceflow" or words[0].endswith("/voiceflow"):
            found: click.Command = commands
            del words[0]
            while isinstance(found, click.Group):
                found = found.commands[words.pop(0)]
            found.make_context(line, words)
        elif words[0].startswith((".", "deploy/", "scripts/")):
            assert (ROOT / words[0]).is_file(), line


def test_what_the_evaluation_is_told_it_takes() -> None:
    """Through make."""
    (line,) = (line for line in lines(ROOT / ".github/workflows/model.yaml") if "EVALUATE=" in line)
    options = set(re.findall(r"--[a-z-]+", line))
    source = Path(accuracy.__file__).read_text()
    assert options
    assert {one for one in options if f'"{one}"' not in source} == set()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_rights_are_those_that_are_needed(path: Path) -> None:
    """Reading, and a token of identity where a job goes to the cloud; each job ends by itself."""
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert "group" in workflow["concurrency"]
    for name, job in jobs(path):
        cloud = any("google-github-actions/auth@" in step.get("uses", "") for step in job["steps"])
        wanted = {"contents": "read", **({"id-token": "write"} if cloud else {})}
        assert job.get("permissions", workflow["permissions"]) == wanted, name
        assert "timeout-minutes" in job, name
        assert job["runs-on"] == "ubuntu-24.04"
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"[\w./-]+@v\d+(\.\d+)*", step["uses"])
            # What callers choose is never pasted into a shell.
            assert "${{" not in step.get("run", ""), step
            if step.get("uses", "").startswith("actions/checkout"):
                assert step["with"]["persist-credentials"] == "false"
            if step.get("uses", "").startswith("actions/setup-python"):
                assert step["with"]["python-version"] == "3.11"


def test_the_repository_is_checked_by_what_anybody_can_run() -> None:
    """On every push to main, and on every change that is proposed."""
    workflow = read(ROOT / ".github/workflows/ci.yaml")
    assert workflow["on"] == {"push": {"branches": ["main"]}, "pull_request": ""}
    assert lines(ROOT / ".github/workflows/ci.yaml") == [".ci/run"]


def test_a_model_is_made_published_and_promoted_by_hand() -> None:
    """In this order, each by another environment; one run after the other."""
    path = ROOT / ".github/workflows/model.yaml"
    workflow = read(path)
    assert list(workflow["on"]) == ["workflow_dispatch"]
    assert workflow["concurrency"]["cancel-in-progress"] == "false"
    order = [(name, job.get("needs", ""), job["environment"]) for name, job in jobs(path)]
    assert order == [
        ("make", "", "training"),
        ("publish", "make", "publishing"),
        ("promote", "publish", "promotion"),
    ]
    told = "\n".join(lines(path))
    places = [told.index(one) for one in ("make train", "make evaluate", "validate --local",
                                          "models publish", "models promote")]  # fmt: skip
    assert places == sorted(places)


def test_every_image_is_built_and_pushed_with_what_it_is_made_of() -> None:
    """Of every target; pushed for a tag alone."""
    wanted = targets(read_stages(DOCKERFILE.read_text("utf-8")))
    building = dict(jobs(ROOT / ".github/workflows/images.yaml"))
    for name in ("build", "push"):
        assert sorted(building[name]["strategy"]["matrix"]["target"]) == sorted(wanted)
        (step,) = [one for one in building[name]["steps"] if "build-push" in one.get("uses", "")]
        assert ROOT / step["with"]["file"] == DOCKERFILE
        assert step["with"]["target"] == "${{ matrix.target }}"
        assert (step["with"]["sbom"], step["with"]["provenance"]) == ("true", "mode=max")
        assert ("push" in step["with"]) == (name == "push")
        assert building[name]["if"].endswith("'tag'")
    assert building["push"]["if"] == "github.ref_type == 'tag'"
    assert building["push"]["environment"] == "images"


def test_every_variable_and_secret_is_told() -> None:
    """On the page; and every one that the page tells is used."""
    text = "".join(path.read_text() for path in WORKFLOWS)
    used = set(re.findall(r"\b(?:vars|secrets)\.(\w+)", text))
    page = (ROOT / "docs" / "gcp.md").read_text()
    assert used == set(re.findall(r"^\| `([A-Z_]+)` \| (?:variable|secret)", page, re.MULTILINE))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_what_a_shell_reads_is_set(path: Path) -> None:
    """By the workflow, the job, the step, the shell itself or GitHub."""
    workflow = read(path)
    for name, job in jobs(path):
        for step in job["steps"]:
            text = step.get("run", "")
            given = {**workflow.get("env", {}), **job.get("env", {}), **step.get("env", {})}
            own = set(re.findall(r"^\s*(\w+)=", text, re.MULTILINE))
            read_ = set(re.findall(r"\$\{?(\w+)", text))
            assert read_ <= {*given, *own, *BROUGHT}, (name, step)
