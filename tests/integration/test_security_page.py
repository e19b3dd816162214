"""The page on security: every command in it runs as it stands there, in its order."""

from __future__ import annotations

import shlex
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import soundfile
import yaml

from tests.fakes.models import Spoken, tones, write_stream_package
from tests.integration.pages import Page, python, run, service
from voiceflow.identity.caller import CallerRole
from voiceflow.identity.grants import Grants

PAGE = Page("security.md")
REGISTRY = "127.0.0.1:50061"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the page takes for granted: a package and a recording."""
    write_stream_package(tmp_path / "package", model="meeting")
    soundfile.write(tmp_path / "meeting.wav", tones(Spoken((2,), 2.0)), 16_000)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
async def test_the_page_leads_from_nothing_to_a_signed_model_that_serves_known_callers(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the exit codes that it says."""
    said: dict[str, str] = {}
    registry = ""
    async with AsyncExitStack() as running:
        for command, expected in PAGE.commands():
            if command.startswith("export "):
                monkeypatch.setenv(*command.removeprefix("export ").split("="))
            elif command.startswith("python -m "):
                _, *arguments = shlex.split(command.replace(REGISTRY, registry))
                starting = service(*arguments)
                address = await running.enter_async_context(starting)
                registry = registry or address
                name = "REGISTRY" if "voiceflow_registry" in command else "SERVER"
                monkeypatch.setenv(f"VOICEFLOW_{name}", address)
            else:
                code, said[command] = await run(command)
                assert code == expected, f"{command}\n{said[command]}"
        (program,) = PAGE.blocks("python")
        code, out, err = await python("-c", program.replace(REGISTRY, registry))
        assert code == 0, err
        assert "models/meeting/versions/1.0.0" in out
    refused = next(
        text
        for command, text in said.items()
        if "publisher-key.pem" in command and "promote" in command
    )
    assert "ROLE_MISSING" in refused
    entries = next(text for command, text in said.items() if command.startswith("voiceflow audit"))
    assert "spiffe://voiceflow.local/publisher/dev" in entries
    assert (desk / "token").read_text().count(".") == 2


def test_the_access_file_of_the_page_is_one() -> None:
    """It grants what the page says that it grants."""
    (text,) = PAGE.blocks("yaml")
    grants = Grants.from_yaml(text)
    publisher = grants.caller("spiffe://example.org/ci/diarizer")
    assert publisher.roles == {CallerRole.PUBLISHER, CallerRole.READER}
    assert publisher.owns_model("diarizer-small")
    assert not publisher.owns_model("other")
    assert grants.caller("spiffe://example.org/ns/prod/sa/pod").is_pod("blue-1", "diarizer")
    assert yaml.safe_load(text)["schema_version"] == 1


def test_the_page_has_every_role() -> None:
    """In its table, and no other."""
    assert PAGE.first_column("([a-z]+)") - {"role", "attack", "boundary"} == set(CallerRole)


def test_every_link_of_the_page_leads_somewhere() -> None:
    """Inside the project."""
    assert PAGE.dead_links() == []
