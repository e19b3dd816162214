"""The page on operating: every command in it runs as it stands there, in its order."""

from __future__ import annotations

import re
import shlex
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import soundfile
import yaml

from tests.fakes.models import Spoken, tones, write_stream_package
from tests.integration.pages import DOCS, Page, run, service
from voiceflow_inference.settings import Settings

PAGE = Page("operating.md")
SERVING = DOCS.parent / "services/inference/voiceflow_inference/serving"
REGISTRY = "127.0.0.1:50061"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the page takes for granted: two packages, and a recording."""
    first = write_stream_package(tmp_path / "meeting-1.0.0", model="meeting")
    write_stream_package(tmp_path / "meeting-1.1.0", model="meeting", version="1.1.0")
    assert first.is_dir()
    soundfile.write(tmp_path / "meeting.wav", tones(Spoken((2,), 2.0)), 16_000)
    (policy,) = PAGE.blocks("toml")
    (tmp_path / "policy.toml").write_text(policy)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.usefixtures("desk")
async def test_the_page_leads_through_a_canary_a_rollback_and_a_blue_green_switch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each command ends well, and says what the page says that it does."""
    said: list[tuple[str, str]] = []
    places: dict[str, str] = {}
    async with AsyncExitStack() as running:
        for command, expected in PAGE.commands():
            program, *arguments = [places.get(one, one) for one in shlex.split(command)]
            if program == "python":
                address = await running.enter_async_context(service(*arguments))
                port = arguments[arguments.index("--port") + 1] if "--port" in arguments else ""
                place = f"127.0.0.1:{port}" if port else REGISTRY
                places[place] = address
                if place == REGISTRY:
                    monkeypatch.setenv("VOICEFLOW_REGISTRY", address)
                continue
            code, told = await run(shlex.join([program, *arguments]))
            assert code == expected, f"{command}\n{told}"
            said.append((command, told))
    fleets = [told for command, told in said if "fleet" in command]
    assert all("converged" in told for told in fleets)
    assert "canary 1.1.0 at 5 %" in fleets[1]
    assert "colour=green" in fleets[-1]
    (compared,) = (told for command, told in said if "compare" in command)
    assert {"meeting@1.0.0", "meeting@1.1.0", "streams"} <= set(compared.split())
    drained = [told for command, told in said if "drain" in command and "--wait" in command]
    assert all("has no streams" in told for told in drained)


def test_the_page_has_every_alarm() -> None:
    """By its subject, and no other."""
    (table,) = re.findall(r"^\| about the .*?\n\n", PAGE.text, re.MULTILINE | re.DOTALL)
    told = set(re.findall(r"^\| ([a-z ]+) \| ", table, re.MULTILINE)) - {"about the"}
    code = "\n".join(source.read_text("utf-8") for source in SERVING.glob("*.py"))
    sounded = set(re.findall(r"alarms\.sound\(([A-Z]+),", code))
    subjects = dict(re.findall(r'^([A-Z]+): Final = "([a-z ]+)"$', code, re.MULTILINE))
    assert told == {subjects[name] for name in sounded}


def test_the_settings_of_the_page_have_their_defaults() -> None:
    """As the service has them."""
    rows = re.findall(r"^\| `--([a-z-]+)` \| ([0-9.]+) \| ", PAGE.text, re.MULTILINE)
    assert rows
    for name, default in rows:
        assert Settings.model_fields[name.replace("-", "_")].default == float(default), name


def test_the_service_of_the_page_is_one() -> None:
    """What Kubernetes would read."""
    (text,) = PAGE.blocks("yaml")
    assert yaml.safe_load(text)["spec"]["selector"]["voiceflow.dev/colour"] == "green"


def test_every_link_of_the_page_leads_somewhere() -> None:
    """Inside the project."""
    assert PAGE.dead_links() == []
