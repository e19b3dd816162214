"""What tells a container engine whether a server on this machine serves."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest

from tests.fakes.echo import echoing
from voiceflow.rpc.probe import fault, main


async def test_a_server_that_serves_has_no_fault() -> None:
    """And one that drains says NOT_SERVING."""
    async with echoing() as server:
        assert await asyncio.to_thread(fault, server.address) is None
        server.set_serving(serving=False)
        told = await asyncio.to_thread(fault, server.address)
    assert told == f"{server.address}: NOT_SERVING"


async def test_a_process_says_it_by_its_status() -> None:
    """0 while the server serves, proxy or not; 1 and a line when it is gone."""

    async def ask(port: str) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "voiceflow.rpc.probe", port),
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "http_proxy": "http://127.0.0.1:9"},
        )
        _, told = await process.communicate()
        return process.returncode, told.decode()

    async with echoing() as server:
        _, _, port = server.address.rpartition(":")
        assert await ask(port) == (0, "")
    assert await ask(port) == (1, f"127.0.0.1:{port}: UNAVAILABLE\n")


@pytest.mark.parametrize("arguments", [[], ["fifty"], ["50052", "50062"], ["127.0.0.1:50052"]])
def test_it_asks_this_machine_alone(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """One port, and nothing else, is what it takes."""
    assert main(arguments) == 1
    assert capsys.readouterr().err == "usage: python -m voiceflow.rpc.probe PORT\n"
