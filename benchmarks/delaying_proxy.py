"""A way to a server that takes longer: what comes in one end leaves the other so much later.

    python -m benchmarks.delaying_proxy --to HOST:PORT --delay-milliseconds 20

Half of the delay lies on either direction. Order and rate stay as they are: pieces that follow each
other closely do so at the other end. Says `ready address=…` and serves until it is ended. It stands
for a network's distance, not for its losses or its limits.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

_PIECE_BYTES = 65_536


async def serve(to: str, delay_seconds: float, output: IO[str]) -> None:
    """Passes connections on, for ever.

    Args:
        to: `host:port` of the server.
        delay_seconds: Of a way there and back together.
        output: Where to say that it is ready.
    """

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = to.rpartition(":")
        there_reader, there_writer = await asyncio.open_connection(host, int(port))
        with contextlib.suppress(OSError):
            await asyncio.gather(
                _pass_on(reader, there_writer, delay_seconds / 2),
                _pass_on(there_reader, writer, delay_seconds / 2),
            )

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print(f"ready address=127.0.0.1:{port}", file=output, flush=True)
    async with server:
        await server.serve_forever()


@contextmanager
def delayed(to: str, delay_milliseconds: float) -> Iterator[str]:
    """The address of a proxy in a process of its own, for as long as the block lasts."""
    delay = ("--delay-milliseconds", str(delay_milliseconds))
    command = [sys.executable, "-m", "benchmarks.delaying_proxy", "--to", to, *delay]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            assert process.stdout is not None  # noqa: S101 - asked for above
            _, found, address = process.stdout.readline().strip().partition("address=")
            if not found:
                raise RuntimeError("the delaying proxy does not start")
            yield address
        finally:
            process.terminate()


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_seconds: float
) -> None:
    """What is read is written so much later, in its order; the end, too."""
    loop = asyncio.get_running_loop()
    on_its_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def deliver() -> None:
        while True:
            due, data = await on_its_way.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not data:
                writer.close()
                return
            writer.write(data)
            await writer.drain()

    delivering = asyncio.create_task(deliver())
    try:
        while True:
            data = await reader.read(_PIECE_BYTES)
            on_its_way.put_nowait((loop.time() + delay_seconds, data))
            if not data:
                await delivering
                return
    finally:
        delivering.cancel()


def main() -> None:
    """Serves."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--to", required=True, metavar="HOST:PORT")
    parser.add_argument("--delay-milliseconds", type=float, default=20.0)
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(arguments.to, arguments.delay_milliseconds / 1000, sys.stdout))


if __name__ == "__main__":
    main()
