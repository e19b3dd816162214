"""The page on operating: every command in it runs as it stands there, in its order."""

from __future__ import annotations

import asyncio
import re
import shlex
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import soundfile
import yaml
from click.testing import CliRunner

from tests.fakes.models import Spoken, tones, write_stream_package
from voiceflow.cli.commands import commands, error_lines, exit_code
from voiceflow.errors import VoiceFlowError
from voiceflow_inference.settings import Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/operating.md").read_text(encoding="utf-8")
REGISTRY = "127.0.0.1:50061"


def blocks(language: str) -> list[str]:
    """Code blocks of the page."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def listed_commands() -> Iterator[str]:
    """Each command of the page."""
    for block in blocks("console"):
        for line in block.splitlines():
            assert line.startswith("$ "), line
            yield line[2:].strip()


async def run(arguments: list[str]) -> tuple[int, str]:
    """A `voiceflow …` command to its end: its exit code, and all that it said."""
    if arguments[0] == "diarize":  # it handles signals, which a process's main thread alone may
        code = "from voiceflow.cli import main; main()"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", code, *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode()
    result = await asyncio.to_thread(CliRunner().invoke, commands, arguments)
    error = result.exception
    if isinstance(error, VoiceFlowError):
        return exit_code(error), result.output + "\n".join(error_lines(error))
    if error is not None and not isinstance(error, SystemExit):
        raise error
    return result.exit_code, result.output


@asynccontextmanager
async def service(arguments: list[str]) -> AsyncIterator[str]:
    """A service that a line of the page starts, on a free port; yields its address."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments, "--port", "0"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        line = (await process.stdout.readline()).decode()
        assert line.startswith("ready "), (await process.communicate())[1].decode()
        yield line.split()[1].removeprefix("address=")
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the page takes for granted: two packages, and a recording."""
    first = write_stream_package(tmp_path / "meeting-1.0.0", model="meeting")
    write_stream_package(tmp_path / "meeting-1.1.0", model="meeting", version="1.1.0")
    assert first.is_dir()
    soundfile.write(tmp_path / "meeting.wav", tones(Spoken((2,), 2.0)), 16_000)
    (policy,) = blocks("toml")
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
        for command in listed_commands():
            program, *arguments = shlex.split(command)
            arguments = [places.get(one, one) for one in arguments]
            if program == "python":
                address = await running.enter_async_context(service(arguments))
                port = arguments[arguments.index("--port") + 1] if "--port" in arguments else ""
                place = f"127.0.0.1:{port}" if port else REGISTRY
                places[place] = address
                if place == REGISTRY:
                    monkeypatch.setenv("VOICEFLOW_REGISTRY", address)
                continue
            code, told = await run(arguments)
            assert code == 0, f"{command}\n{told}"
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
    (table,) = re.findall(r"^\| about the .*?\n\n", PAGE, re.MULTILINE | re.DOTALL)
    told = set(re.findall(r"^\| ([a-z ]+) \| ", table, re.MULTILINE)) - {"about the"}
    sources = (ROOT / "services/inference/voiceflow_inference/serving").glob("*.py")
    code = "\n".join(source.read_text("utf-8") for source in sources)
    sounded = set(re.findall(r"alarms\.sound\(([A-Z]+),", code))
    subjects = dict(re.findall(r'^([A-Z]+): Final = "([a-z ]+)"$', code, re.MULTILINE))
    assert told == {subjects[name] for name in sounded}


def test_the_settings_of_the_page_have_their_defaults() -> None:
    """As the service has them."""
    rows = re.findall(r"^\| `--([a-z-]+)` \| ([0-9.]+) \| ", PAGE, re.MULTILINE)
    assert rows
    for name, default in rows:
        assert Settings.model_fields[name.replace("-", "_")].default == float(default), name


def test_the_service_of_the_page_is_one() -> None:
    """What Kubernetes would read."""
    (text,) = blocks("yaml")
    assert yaml.safe_load(text)["spec"]["selector"]["colour"] == "green"


def test_every_link_of_the_page_leads_somewhere() -> None:
    """Inside the project."""
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
