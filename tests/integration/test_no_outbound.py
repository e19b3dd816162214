"""Neither service turns to another machine of its own accord, nor leaves files at home."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.fakes.models import Spoken, tones, write_stream_package
from tests.fakes.processes import serving
from tests.fakes.service import FINISH, audio, config, diarize, pcm16
from voiceflow.client.registry import RegistryClient

pytest.importorskip("pyseccomp", reason="needs pyseccomp and libseccomp to close the way out")


@asynccontextmanager
async def isolated(home: Path, *arguments: str) -> AsyncIterator[str]:
    """A service that may answer and not ask, as on a server: without CI in its environment.

    Yields:
        Its address; at the end it has stopped as told, so the kernel did not end it.
    """
    await asyncio.to_thread(home.mkdir)
    hidden = ("CI", "ORT_DISABLE_TELEMETRY")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    arguments = ("-m", "tests.fakes.isolated", *arguments)
    async with serving(*arguments, environment=environment | {"HOME": str(home)}) as (
        failure,
        address,
    ):
        yield address
    assert not failure, failure


async def test_turning_to_another_machine_would_be_seen(tmp_path: Path) -> None:
    """The control: a client, which has to dial, is ended by the kernel at its first try."""
    (tmp_path / "dialling.py").write_text(
        "import socket\nsocket.create_connection(('127.0.0.1', 9))\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.fakes.isolated", "dialling"),
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    assert await process.wait() == -signal.SIGSYS


async def test_the_inference_service_serves_without_dialling(tmp_path: Path) -> None:
    """A whole stream is served; ONNX Runtime's telemetry has neither called nor kept a database."""
    package = write_stream_package(tmp_path / "package")
    home = tmp_path / "home"
    async with isolated(home, "voiceflow_inference", "--model-dir", str(package)) as address:
        requests = [config(), audio(pcm16(tones(Spoken((3,), 2.0)))), FINISH]
        replies = await diarize(address, requests)
        assert replies[-1].summary.complete
    assert list(home.rglob("*")) == []


async def test_the_registry_runs_models_without_dialling(tmp_path: Path) -> None:
    """A version goes through the real gates and is committed."""
    package = write_stream_package(tmp_path / "package")
    home = tmp_path / "home"
    store = tmp_path / "store"
    async with (
        isolated(home, "voiceflow_registry", "--store", str(store)) as address,
        RegistryClient(address) as client,
    ):
        published = await client.publish(package)
        assert published.version.publish_time is not None
    assert list(home.rglob("*")) == []
