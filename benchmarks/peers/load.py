"""The clients that every server is loaded by: one process, the same pacing, whatever the protocol.

`benchmarks.serving_peers` runs it in the environment of the server that is called:

    .venv-peer-NAME/bin/python -m benchmarks.peers.load NAME --address HOST:PORT --audio PATH …

It connects, warms up, writes a line `ready`, waits for a line, makes its calls, and writes what it
has seen as a line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

WINDOW_BYTES: Final = 96_000
"""3 s of PCM16 at 16 kHz."""

_WARM_UP_CALLS: Final = 3
_CALL_SECONDS: Final = 60.0

Call = Callable[[bytes], Awaitable[None]]
"""Sends a window and waits for what the model says of it; raises `CallFailed`."""

Connect = Callable[[str], AbstractAsyncContextManager[Call]]
"""A client of a server at `host:port`, on a connection of its own."""


class CallFailed(Exception):
    """A call without an answer; the message says why, in a few words."""


@dataclass(slots=True)
class Seen:
    """What the clients have seen.

    Attributes:
        latencies: Of the calls that were answered, in seconds; of paced clients from the moment
            when the call was due, so that a client that is late hides no slow server.
        failures: How often, by reason.
        wall_seconds: From the first call to the last answer.
        client_cpu_seconds: Processor time of the clients' process meanwhile.
    """

    latencies: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    wall_seconds: float = 0.0
    client_cpu_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How often clients call.

    Attributes:
        clients: At once.
        seconds: No call begins later.
        interval_seconds: From one call of a client to its next, the clients spread evenly over it;
            None: each calls as soon as it has been answered.
    """

    clients: int
    seconds: float
    interval_seconds: float | None

    def due(self, client: int, turn: int, since_start: float) -> float | None:
        """When a client makes its next call, in seconds from the start; None: no more."""
        due = since_start
        if self.interval_seconds is not None:
            due = (turn + client / self.clients) * self.interval_seconds
        return due if due < self.seconds else None


@asynccontextmanager
async def connected(
    connect: Connect, address: str, windows: Sequence[bytes], clients: int
) -> AsyncIterator[list[Call]]:
    """Clients that have made a few calls already, none of which is counted."""
    async with AsyncExitStack() as stack:
        calls = [await stack.enter_async_context(connect(address)) for _ in range(clients)]
        for _ in range(_WARM_UP_CALLS):
            await asyncio.gather(*(call(windows[0]) for call in calls))
        yield calls


async def load(calls: Sequence[Call], windows: Sequence[bytes], pace: Pace) -> Seen:
    """Lets each client call at its pace, and send one window after another."""
    seen = Seen()
    cpu, start = time.process_time(), time.perf_counter()

    async def client(number: int, call: Call) -> None:
        for turn in itertools.count():
            now = time.perf_counter() - start
            if (due := pace.due(number, turn, now)) is None:
                return
            await asyncio.sleep(max(0.0, due - now))
            await _timed(call, windows[(number + turn) % len(windows)], start + due, seen)

    await asyncio.gather(*(client(number, call) for number, call in enumerate(calls)))
    seen.wall_seconds = time.perf_counter() - start
    seen.client_cpu_seconds = time.process_time() - cpu
    return seen


async def _timed(call: Call, window: bytes, since: float, seen: Seen) -> None:
    try:
        async with asyncio.timeout(_CALL_SECONDS):
            await call(window)
    except CallFailed as error:
        seen.failures[str(error)] += 1
    except TimeoutError:
        seen.failures[f"no answer in {_CALL_SECONDS:g} s"] += 1
    else:
        seen.latencies.append(time.perf_counter() - since)


def cut(audio: bytes) -> list[bytes]:
    """Whole windows of PCM16."""
    whole = len(audio) // WINDOW_BYTES * WINDOW_BYTES
    return [audio[start : start + WINDOW_BYTES] for start in range(0, whole, WINDOW_BYTES)]


async def _run(connect: Connect, address: str, windows: Sequence[bytes], pace: Pace) -> Seen:
    async with connected(connect, address, windows, pace.clients) as calls:
        print("ready", flush=True)
        sys.stdin.readline()
        return await load(calls, windows, pace)


def main() -> None:
    """Makes the calls; prints what was seen."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("name", help="of the server: a folder beside this file")
    parser.add_argument("--address", required=True)
    parser.add_argument("--audio", type=Path, required=True, help="PCM16 at 16 kHz, no header")
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--interval-seconds", type=float)
    arguments = parser.parse_args()
    connect: Connect = importlib.import_module(f"benchmarks.peers.{arguments.name}.calls").connect
    pace = Pace(arguments.clients, arguments.seconds, arguments.interval_seconds)
    windows = cut(arguments.audio.read_bytes())
    print(json.dumps(asdict(asyncio.run(_run(connect, arguments.address, windows, pace)))))


if __name__ == "__main__":
    main()
