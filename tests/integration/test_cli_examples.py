"""What the README and the examples show, run as it stands there."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import soundfile

from tests.fakes.models import Spoken, tones, write_stream_package
from tests.fakes.service import running
from voiceflow.onnx import bind
from voiceflow.package import load_package

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[str]:
    """Address of the real service."""
    package = write_stream_package(tmp_path / "package")
    async with running(bind(load_package(package))) as (_, address):
        yield address


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A conversation of two tones."""
    path = tmp_path / "meeting.wav"
    samples = tones(Spoken((2,), 2.0), Spoken((), 0.6), Spoken((8,), 2.0))
    soundfile.write(path, samples, 16_000)
    return path


async def output(folder: Path, *arguments: str) -> str:
    """What a Python process prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def test_the_code_in_the_readme_runs(server: str, recording: Path) -> None:
    """With the server's address put in; it prints two turns and writes the RTTM."""
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    out = await output(recording.parent, "-c", code.replace("127.0.0.1:50051", server))
    assert [line.split()[0] for line in out.splitlines()] == ["S1", "S2"]
    assert len((recording.parent / "meeting.rttm").read_text().splitlines()) == 2


async def test_the_live_client_follows_a_call(server: str, recording: Path) -> None:
    """It tells who took over, and when speech ended."""
    script = str(ROOT / "examples" / "live_client.py")
    out = await output(recording.parent, script, str(recording), "--server", server)
    assert "now S2" in out
    assert "silence, noticed" in out
    assert "talk time" in out


@pytest.mark.parametrize("page", ["README.md", "docs/client.md"])
def test_every_link_leads_somewhere(page: str) -> None:
    """Inside the project."""
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert ((ROOT / page).parent / target).exists(), target
