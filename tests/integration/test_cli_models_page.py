"""The page for publishers: every command in it runs as it stands there, in its order."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import AsyncIterator
from pathlib import Path

import click
import onnx
import pytest
import soundfile
import yaml

from tests.fakes.models import Spoken, tones, write_stream_package
from tests.fakes.registry import process
from tests.fakes.trust import key
from tests.integration.pages import DOCS, Page, python
from tests.unit.cli.models.running import Outcome, run
from voiceflow.cli.models import models
from voiceflow.validation.rules import RULES

PAGE = Page("registry.md")
START = "python -m voiceflow_registry"


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[str]:
    """The real registry, with its gates and sandbox, as the page starts it."""
    async with process("--store", str(tmp_path / "store"), module="voiceflow_registry") as started:
        yield started.address


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A publisher's folder with what the page takes for granted."""
    folder = tmp_path / "desk"
    folder.mkdir()
    graph = onnx.load(write_stream_package(tmp_path / "made") / "model.onnx")
    onnx.save(graph, folder / "model.onnx")
    graph.doc_string = "better"
    onnx.save(graph, folder / "new.onnx")
    (folder / "card.md").write_text("# Meeting\n\nHears tones.\n")
    key("publisher").write(folder / "publisher.pem")
    for stated in PAGE.blocks("toml"):
        name = "draft.toml" if "model =" in stated else "policy.toml"
        (folder / name).write_text(stated)
    (folder / "conversations").mkdir()
    said = [Spoken((2,), 2.0), Spoken((), 0.6), Spoken((8,), 2.0)]
    soundfile.write(folder / "conversations" / "tones.wav", tones(*said), 16_000)
    (folder / "conversations" / "tones.rttm").write_text(
        "SPEAKER tones 1 0.0 2.0 <NA> <NA> a <NA> <NA>\n"
        "SPEAKER tones 1 2.6 2.0 <NA> <NA> b <NA> <NA>\n"
    )
    return folder


@pytest.mark.slow
async def test_the_page_leads_from_an_onnx_file_to_a_promoted_version_and_back(
    registry: str, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the exit codes that it says; the Python code runs after it."""
    monkeypatch.chdir(desk)
    monkeypatch.setenv("VOICEFLOW_REGISTRY", registry)
    listed = list(PAGE.commands())
    assert listed[0] == (START, 0)
    seen: dict[str, Outcome] = {}
    for command, said in listed[1:]:
        line, _, target = command.partition(" > ")
        program, group, *arguments = shlex.split(line)
        assert (program, group) == ("voiceflow", "models")
        outcome = await asyncio.to_thread(run, *arguments)
        assert outcome.code == said, f"{command}\n{outcome.out}\n{outcome.err}"
        if target:
            await asyncio.to_thread(Path(target).write_text, outcome.out)
        seen[command] = outcome

    refused = seen["voiceflow models promote meeting@1.0.0 --channel stable"]
    assert "the behaviour gate has not passed" in refused.err
    final = await asyncio.to_thread(run, "show", "meeting/stable", "--json")
    assert final.json["channel"]["sequence"] == 4
    primary = final.json["channel"]["rollout"]["primary"]["version"]
    assert primary == "models/meeting/versions/1.0.0"

    (code,) = PAGE.blocks("python")
    status, out, err = await python("-c", code.replace("127.0.0.1:50061", registry))
    assert status == 0, err
    lines = out.split()
    assert lines[-2:] == ["ValidationReport", "models/meeting/versions/1.0.0"]


def test_the_page_has_every_rule_and_no_other() -> None:
    """A finding's id is found by searching the page."""
    named = set(re.findall(r"^\| `([a-z*]+\.[a-z-]+)` \|", PAGE.text, re.MULTILINE))
    anywhere = {rule[2:] for rule in named if rule.startswith("*.")}
    lacking = {
        rule for rule in RULES if rule not in named and rule.partition(".")[2] not in anywhere
    }
    assert lacking == set()
    unknown = {rule for rule in named if rule not in RULES and not rule.startswith("*.")}
    assert unknown == set()
    ids = {rule.partition(".")[2] for rule in RULES}
    assert anywhere <= ids


def test_every_command_is_on_the_page() -> None:
    """And those on the page exist."""
    named = {command.split()[2] for command, _ in PAGE.commands() if command != START}
    others = {"pods", "compare"}  # they need servers: see the page on operating
    assert named | others == set(models.commands)
    assert all(f"voiceflow models {other}" in PAGE.text for other in others)


def test_the_workflow_calls_commands_that_there_are() -> None:
    """With options that there are; the file is what GitHub reads."""
    workflow = yaml.safe_load((DOCS / "publishing-workflow.yaml").read_text(encoding="utf-8"))
    assert workflow[True]["push"]["tags"] == ["v*"]  # YAML 1.1 reads `on` as a truth value
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    lines = [line for step in steps for line in step.get("run", "").splitlines()]
    called = [
        shlex.split(line.replace("$version", "meeting@1.0.0"))[2:]
        for line in lines
        if line.startswith("voiceflow models ")
    ]
    assert [arguments[0] for arguments in called] == ["pack", "validate", "publish", "promote"]
    for name, *arguments in called:
        command = models.commands[name]
        assert isinstance(command, click.Command)
        command.make_context(name, arguments)


def test_every_link_of_the_page_leads_somewhere() -> None:
    """Inside the project, and inside the page."""
    for target in re.findall(r"\]\(([^)]+)\)", PAGE.text):
        path, _, anchor = target.partition("#")
        assert (DOCS / path).exists(), target
        if not path:
            heading = rf"^#+ {anchor.replace('-', ' ')}$"
            assert re.search(heading, PAGE.text, re.MULTILINE | re.IGNORECASE), target
