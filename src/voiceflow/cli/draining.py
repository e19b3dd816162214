"""`voiceflow drain`: takes a server out of service while it runs, and back."""

from __future__ import annotations

import asyncio

import click

from voiceflow.cli.options import Target, as_seconds, target_argument
from voiceflow.cli.printing import json_option, print_json, tell
from voiceflow.client import DiarizationClient
from voiceflow.errors import VoiceFlowError

_LOOK_EVERY_SECONDS = 0.5


@click.command()
@target_argument("server")
@click.option("--undo", is_flag=True, help="Take streams again.")
@click.option(
    "--deadline",
    "deadline_seconds",
    type=as_seconds,
    metavar="SPAN",
    help="Tell live streams to go elsewhere after so long: 5m, 1h. [they go on to their end]",
)
@click.option("--wait", is_flag=True, help="End when no stream is left.")
@click.option(
    "--timeout",
    "timeout_seconds",
    type=as_seconds,
    metavar="SPAN",
    help="With --wait: at most so long; then exit code 4.",
)
@json_option
def drain(
    server: Target,
    undo: bool,
    deadline_seconds: float | None,
    wait: bool,
    timeout_seconds: float | None,
    as_json: bool,
) -> None:
    """Take the server at HOST:PORT out of service: it takes no new streams.

    Its health says NOT_SERVING, and its connections are closed as soon as their streams have ended,
    so that load balancers and clients turn to another server. Live streams go on to their end.
    """
    if undo and (wait or deadline_seconds is not None):
        raise click.UsageError("--undo: neither with --deadline nor with --wait")
    if timeout_seconds is not None and not wait:
        raise click.UsageError("--timeout: only with --wait")
    server.check()
    asyncio.run(_drain(server, not undo, deadline_seconds, wait, timeout_seconds, as_json=as_json))


async def _drain(
    server: Target,
    draining: bool,
    deadline_seconds: float | None,
    wait: bool,
    timeout_seconds: float | None,
    *,
    as_json: bool,
) -> None:
    async with DiarizationClient(server.address, identity=server.identity) as client:
        state = await client.set_draining(draining=draining, deadline_seconds=deadline_seconds)
        streams, files = state.streams, state.files
        if not as_json:
            word = "drains" if state.draining else "takes streams"
            tell(f"{server.address} {word}; {_count(streams, files)}")
        if wait:
            streams, files = await _until_empty(client, _count(streams, files), timeout_seconds)
            if not as_json:
                tell(f"{server.address} has no streams")
        if as_json:
            print_json({"draining": state.draining, "streams": streams, "files": files})


async def _until_empty(
    client: DiarizationClient, left: str, timeout_seconds: float | None
) -> tuple[int, int]:
    try:
        async with asyncio.timeout(timeout_seconds):
            while True:
                state = await client.serving_state()
                if not state.draining:
                    raise VoiceFlowError("the server takes streams again", reason="DRAIN_UNDONE")
                if state.streams == 0 and state.files == 0:
                    return 0, 0
                left = _count(state.streams, state.files)
                await asyncio.sleep(_LOOK_EVERY_SECONDS)
    except TimeoutError:
        raise VoiceFlowError(
            f"{left} after {timeout_seconds:g} s", reason="DEADLINE_EXCEEDED"
        ) from None


def _count(streams: int, files: int) -> str:
    return f"{streams} live streams and {files} recordings are served"
