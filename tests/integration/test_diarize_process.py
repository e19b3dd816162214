"""The service as a process: its ready line, what it refuses to start with, how it stops."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.models import Spoken, tones, write_stream_package
from tests.fakes.service import FINISH, audio, config, diarize, pcm16

LIMIT_SECONDS = 240.0
"""For the end of a process that cannot serve, or of a group: the machine may be busy."""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small stateful model."""
    return write_stream_package(tmp_path_factory.mktemp("package"))


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """A service process."""
    return subprocess.Popen(
        [sys.executable, "-m", "voiceflow_inference", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )


async def test_it_says_where_it_listens_serves_and_stops(package: Path) -> None:
    """One line on standard output names the address; SIGTERM ends it with status 0."""
    with start("--model-dir", str(package), "--port", "0") as process:
        assert process.stdout is not None
        word, address, model = process.stdout.readline().split()
        assert (word, model) == ("ready", "model=models/tones/versions/1.0.0")
        requests = [config(), audio(pcm16(tones(Spoken((3,), 2.0)))), FINISH]
        replies = await diarize(address.removeprefix("address="), requests)
        assert replies[-1].summary.complete
        process.send_signal(signal.SIGTERM)
        rest, log = process.communicate(timeout=60)
        assert process.returncode == 0
        assert rest == ""
        assert "Traceback" not in log


async def test_a_service_that_begins_handles_sigterm_itself(tmp_path: Path) -> None:
    """The kernel spares the first process of a container what that does not handle."""
    places = ("--cache-dir", str(tmp_path / "cache"), "--state-dir", str(tmp_path / "state"))
    with start("--registry", "127.0.0.1:1", *places) as process:
        assert process.stderr is not None
        assert any("no --trust-root" in line for line in process.stderr)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 128 + signal.SIGTERM


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Status and last words of a process that ends by itself."""
    with process:
        _, errors = process.communicate(timeout=LIMIT_SECONDS)
        return process.returncode, errors


def test_plain_text_beyond_loopback_is_refused(tmp_path: Path) -> None:
    """Without --insecure it does not start, and says why, before it looks for a model."""
    model = str(tmp_path / "no-model")
    status, errors = ended(start("--model-dir", model, "--host", "10.0.0.1"))
    assert status == 1
    assert "--insecure" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_provider_that_is_not_there_is_refused(tmp_path: Path, workers: str) -> None:
    """By one process and by a group, before a model is looked for; it says which there is."""
    model = str(tmp_path / "no-model")
    process = start("--model-dir", model, "--workers", workers, VOICEFLOW_PROVIDER="cuda")
    status, errors = ended(process)
    assert status == 1
    (said,) = [line for line in errors.splitlines() if line.startswith("cannot serve:")]
    assert "--provider cuda asks for; it has cpu (PROVIDER_MISSING)" in said
    assert "Traceback" not in errors


def test_a_damaged_package_is_refused(tmp_path: Path) -> None:
    """One flipped byte of the graph: it does not start, and says which file."""
    folder = write_stream_package(tmp_path)
    graph = bytearray((folder / "model.onnx").read_bytes())
    graph[len(graph) // 2] ^= 1
    (folder / "model.onnx").write_bytes(graph)
    status, errors = ended(start("--model-dir", str(folder)))
    assert status == 1
    assert "model.onnx" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("arguments", "environment", "named"),
    [
        ([], {}, "--model-dir"),
        (["--model-dir", "x", "--port", "70000"], {}, "--port"),
        (["--model-dir", "x", "--provider", "rocm"], {}, "--provider"),
        (["--model-dir", "x"], {"VOICEFLOW_IDLE_SECONDS": "0"}, "--idle-seconds"),
    ],
)
def test_settings_that_are_not_allowed_are_named(
    arguments: list[str], environment: dict[str, str], named: str
) -> None:
    """Status 2 and the setting's name, from the command line and the environment alike."""
    status, errors = ended(start(*arguments, **environment))
    assert status == 2
    assert named in errors
    assert "Traceback" not in errors
