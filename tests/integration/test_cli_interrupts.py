"""Ctrl-C ends every command, whatever it is doing, with one line and an exit code."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.models import write_stream_package

pytestmark = pytest.mark.usefixtures("heeds_interrupts")

RUN = "from voiceflow.cli import main; main()"


async def start(*arguments: object, python: tuple[str, ...] = ()) -> asyncio.subprocess.Process:
    """A command, as the console script starts it."""
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        *(sys.executable, *python, "-c", RUN, *map(str, arguments)), stdout=pipe, stderr=pipe
    )


async def interrupted(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    """What a command says and ends with after Ctrl-C."""
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(60):
        _, err = await process.communicate()
    return process.returncode, err.decode()


@pytest.fixture
async def mute() -> AsyncIterator[tuple[str, asyncio.Event]]:
    """Address of a server that takes connections and says nothing, and whether one has come."""
    came = asyncio.Event()

    def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        came.set()

    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", came
    server.close()
    for writer in writers:
        writer.close()


@pytest.mark.parametrize(
    "arguments",
    [
        ["models", "list"],
        ["models", "validate", "tones@1.0.0"],
        ["models", "publish", "{package}"],
        ["models", "promote", "tones@1.0.0", "--channel", "stable"],
        ["models", "download", "tones@1.0.0", "--out", "{package}-fetched"],
        ["serving-state"],
    ],
    ids=lambda arguments: "-".join(arguments[:2]),
)
async def test_a_command_that_waits_for_its_server_ends_with_130(
    mute: tuple[str, asyncio.Event], tmp_path: Path, arguments: list[str]
) -> None:
    """And with one line."""
    address, came = mute
    package = write_stream_package(tmp_path / "package")
    option = "--registry" if arguments[0] == "models" else "--server"
    process = await start(*(one.format(package=package) for one in arguments), option, address)
    await came.wait()
    code, err = await interrupted(process)
    assert (code, err.split("\n")) == (130, ["", "voiceflow: interrupted", ""])


async def test_a_watch_that_is_interrupted_has_ended_well(mute: tuple[str, asyncio.Event]) -> None:
    """Nothing else ends it."""
    address, came = mute
    process = await start("models", "watch", "tones/stable", "--registry", address)
    await came.wait()
    assert await interrupted(process) == (0, "")


async def test_a_command_that_is_still_being_loaded_ends_with_130() -> None:
    """Python tells each module that it has imported; hundreds come after this one."""
    process = await start("models", "list", python=("-X", "importtime"))
    assert process.stderr is not None
    while line := await process.stderr.readline():
        if line.split(b"|")[-1].strip() == b"click.core":
            break
    code, err = await interrupted(process)
    assert code == 130
    said = [line for line in err.splitlines() if not line.startswith("import time:")]
    assert said == ["voiceflow: interrupted"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
async def test_an_output_that_cannot_be_written_is_one_line_and_1() -> None:
    """No traceback, also not from what Python still holds at its end."""
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", RUN, "models", "--help"),
            stdout=full,
            stderr=asyncio.subprocess.PIPE,
        )
        _, err = await process.communicate()
    finally:
        os.close(full)
    assert process.returncode == 1
    assert err.decode() == "voiceflow: No space left on device (IO_FAILED)\n"


async def test_a_reader_that_goes_away_ends_a_command_quietly() -> None:
    """As `voiceflow models --help | head -0` does."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", RUN, "models", "--help"),
            stdout=writing,
            stderr=asyncio.subprocess.PIPE,
        )
        _, err = await process.communicate()
    finally:
        os.close(writing)
    assert (process.returncode, err) == (1, b"")
