"""`voiceflow drain` against the real service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from click.testing import CliRunner

from tests.fakes import service
from tests.fakes.models import write_window_package
from tests.faults.streams import Stream, connected
from voiceflow.cli.commands import commands, error_lines, exit_code
from voiceflow.errors import VoiceFlowError
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow.pipeline.model import BoundModel
from voiceflow_inference.app import App

SECOND = service.audio(bytes(32_000))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> BoundModel:
    """A model that is quick to run."""
    return bind(load_package(write_window_package(tmp_path_factory.mktemp("drain") / "model")))


@dataclass(frozen=True)
class Server:
    """A server, and an operator's terminal.

    Attributes:
        app: The server.
        address: Where it is.
    """

    app: App
    address: str

    def drains(self) -> bool:
        """Whether it takes no streams."""
        return self.app.admission.draining

    async def drain(self, *options: str) -> tuple[int, str]:
        """The command to its end: exit code, and all that it said."""
        arguments = ["drain", self.address, *options]
        result = await asyncio.to_thread(CliRunner().invoke, commands, arguments)
        error = result.exception
        if isinstance(error, VoiceFlowError):
            return exit_code(error), result.stdout + "\n".join(error_lines(error))
        if error is not None and not isinstance(error, SystemExit):
            raise error
        return result.exit_code, result.output


@pytest.fixture
async def server(model: BoundModel) -> AsyncIterator[Server]:
    """In service."""
    async with service.running(model, grace_seconds=0.4) as (app, address):
        yield Server(app, address)


async def test_a_server_is_drained_and_taken_back(server: Server) -> None:
    """At once; what is said is what the server said."""
    count = "0 live streams and 0 recordings are served"
    assert await server.drain() == (0, f"{server.address} drains; {count}\n")
    assert server.drains()
    assert await server.drain("--undo") == (0, f"{server.address} takes streams; {count}\n")
    assert not server.drains()
    code, said = await server.drain("--json")
    assert (code, json.loads(said)) == (0, {"draining": True, "streams": 0, "files": 0})


async def test_waiting_ends_with_the_last_stream(server: Server) -> None:
    """And not before."""
    async with connected(server.address) as channel:
        live = Stream(channel)
        await live.send(service.config(), SECOND)
        await live.covered(0.4)
        waiting = asyncio.create_task(server.drain("--wait"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(waiting), 0.7)
        await live.send(service.FINISH)
        await live.outcome()
        code, said = await waiting
    assert code == 0
    assert said.splitlines()[-1] == f"{server.address} has no streams"


async def test_waiting_ends_when_the_time_is_up(server: Server) -> None:
    """Exit code 4; a deadline for the streams ends them, and with them the waiting."""
    async with connected(server.address) as channel:
        live = Stream(channel)
        await live.send(service.config(), SECOND)
        await live.covered(0.4)
        code, said = await server.drain("--wait", "--timeout", "0.1s")
        assert code == 4
        assert "1 live streams and 0 recordings are served after 0.1 s (DEADLINE_EXCEEDED)" in said
        code, _ = await server.drain("--deadline", "0s", "--wait", "--timeout", "1m")
        assert code == 0
        assert not (await live.outcome()).complete


async def test_waiting_ends_badly_when_somebody_takes_the_server_back(server: Server) -> None:
    """Streams would come without end."""
    async with connected(server.address) as channel:
        live = Stream(channel)
        await live.send(service.config(), SECOND)
        await live.covered(0.4)
        waiting = asyncio.create_task(server.drain("--wait"))
        while not server.drains():  # noqa: ASYNC110 another thread's doing
            await asyncio.sleep(0.01)
        assert (await server.drain("--undo"))[0] == 0
        code, said = await waiting
        assert (code, "DRAIN_UNDONE" in said) == (1, True)
        await live.send(service.FINISH)
        await live.outcome()


@pytest.mark.parametrize(
    "options",
    [
        ("--undo", "--wait"),
        ("--undo", "--deadline", "5m"),
        ("--timeout", "5m"),
        ("--deadline", "soon"),
        ("--deadline", "-1s"),
    ],
)
async def test_what_does_not_go_together_is_wrong_usage(
    server: Server, options: tuple[str, ...]
) -> None:
    """Exit code 2, and the server goes on as it did."""
    code, _ = await server.drain(*options)
    assert code == 2
    assert not server.drains()


def test_no_server_is_drained_by_default() -> None:
    """It has to be named."""
    assert CliRunner().invoke(commands, ["drain"]).exit_code == 2
