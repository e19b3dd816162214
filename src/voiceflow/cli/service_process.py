"""Services as child processes on loopback, for as long as a command runs."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import semver

from voiceflow.errors import NotFound, Unavailable

_START_SECONDS: Final = 120.0
_STOP_SECONDS: Final = 40.0
"""Longer than the service's own grace period."""


def newest_model(folder: Path) -> Path:
    """The package with the highest version in a folder of packages.

    Raises:
        NotFound: If there is none.
    """
    versions = {
        semver.Version.parse(path.name): path
        for path in folder.glob("*")
        if semver.Version.is_valid(path.name) and path.is_dir()
    }
    if not versions:
        raise NotFound(
            f"{folder}: there is no model in it; give one with --model-dir",
            reason="MODEL_MISSING",
            field="model_dir",
        )
    return versions[max(versions)]


@asynccontextmanager
async def running_service(module: str, log: Path, *arguments: str | Path) -> AsyncIterator[str]:
    """Starts a service on a free port, waits until it is ready, and stops it at the end.

    Args:
        module: `voiceflow_inference` or `voiceflow_registry`.
        log: Where its log goes.
        arguments: Of its command line, besides the port.

    Yields:
        Its address, `host:port`.

    Raises:
        Unavailable: If it ends before it is ready, or is not ready in time.
    """
    with log.open("wb") as log_file:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            "--port",
            "0",
            *map(str, arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=log_file,
            env=_environment(),
            start_new_session=True,  # Ctrl-C is for us; we stop it when the results are written
        )
        try:
            yield await _address(process, module, log)
        finally:
            await _stop(process)


def _environment() -> dict[str, str]:
    """Without settings: what they say of other services, such as TLS, is not for these."""
    return {name: value for name, value in os.environ.items() if not name.startswith("VOICEFLOW_")}


async def _address(process: asyncio.subprocess.Process, module: str, log: Path) -> str:
    assert process.stdout is not None  # noqa: S101 - asked for above
    try:
        async with asyncio.timeout(_START_SECONDS):
            line = await process.stdout.readline()
    except TimeoutError:
        raise Unavailable(
            f"{module} is not ready after {_START_SECONDS:.0f} s; its log is {log}",
            reason="SERVICE_NOT_READY",
        ) from None
    facts = dict(word.partition("=")[::2] for word in line.decode().split())
    if "address" not in facts:
        raise Unavailable(
            f"{module} ended before it was ready; its log is {log}", reason="SERVICE_FAILED"
        )
    return facts["address"]


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
