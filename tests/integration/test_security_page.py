"""The page on security: every command in it runs as it stands there, in its order."""

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
from voiceflow.identity.caller import CallerRole
from voiceflow.identity.grants import Grants

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "security.md").read_text(encoding="utf-8")
REGISTRY = "127.0.0.1:50061"


def blocks(language: str) -> list[str]:
    """Code blocks of the page."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def listed_commands() -> Iterator[tuple[str, int]]:
    """Each command of the page, with the exit code that it says."""
    for block in blocks("console"):
        for line in block.splitlines():
            assert line.startswith("$ "), line
            command, _, remark = line[2:].partition("   #")
            said = re.search(r"exit code (\d+)", remark)
            yield command.strip(), int(said[1]) if said else 0


async def run(command: str) -> tuple[int, str]:
    """A `voiceflow …` command to its end: its exit code, and all that it said."""
    line, _, target = command.partition(" > ")
    arguments = shlex.split(line)[1:]
    # It handles signals, which a process's main thread alone may; all others start faster here.
    act = _in_process if arguments[0] == "diarize" else _in_thread
    code, out, err = await act(arguments)
    if target:
        await asyncio.to_thread(Path(target).write_text, out)
    return code, out + err


async def _in_process(arguments: list[str]) -> tuple[int, str, str]:
    return await _process("-c", "from voiceflow.cli import main; main()", *arguments)


async def _process(*arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def _in_thread(arguments: list[str]) -> tuple[int, str, str]:
    result = await asyncio.to_thread(CliRunner().invoke, commands, arguments)
    error = result.exception
    if isinstance(error, VoiceFlowError):
        return exit_code(error), result.stdout, "\n".join(error_lines(error))
    if error is not None and not isinstance(error, SystemExit):
        raise error
    return result.exit_code, result.stdout, result.stderr


@asynccontextmanager
async def service(command: str) -> AsyncIterator[str]:
    """A service that a line of the page starts, on a free port; yields its address."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *shlex.split(command)[1:], "--port", "0"),
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
        for command, expected in listed_commands():
            if command.startswith("export "):
                monkeypatch.setenv(*command.removeprefix("export ").split("="))
            elif command.startswith("python -m "):
                starting = service(command.replace(REGISTRY, registry))
                address = await running.enter_async_context(starting)
                registry = registry or address
                name = "REGISTRY" if "voiceflow_registry" in command else "SERVER"
                monkeypatch.setenv(f"VOICEFLOW_{name}", address)
            else:
                code, said[command] = await run(command)
                assert code == expected, f"{command}\n{said[command]}"
        (program,) = blocks("python")
        code, out, err = await _process("-c", program.replace(REGISTRY, registry))
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
    (text,) = blocks("yaml")
    grants = Grants.from_yaml(text)
    publisher = grants.caller("spiffe://example.org/ci/diarizer")
    assert publisher.roles == {CallerRole.PUBLISHER, CallerRole.READER}
    assert publisher.owns_model("diarizer-small")
    assert not publisher.owns_model("other")
    assert grants.caller("spiffe://example.org/ns/prod/sa/pod").is_pod("blue-1", "diarizer")
    assert yaml.safe_load(text)["schema_version"] == 1


def test_the_page_has_every_role() -> None:
    """In its table, and no other."""
    assert set(re.findall(r"^\| ([a-z]+) \| ", PAGE, re.MULTILINE)) - {"role", "attack"} == set(
        CallerRole
    )


def test_every_link_of_the_page_leads_somewhere() -> None:
    """Inside the project."""
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (DOCS / target).exists(), target
