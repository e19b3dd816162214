"""A client in a process of its own, to be killed or frozen.

    python -m tests.faults.client_process ADDRESS

Opens a stream, sends a second of audio and says `began` when it has been admitted. Then it waits
for replies, until it is ended.
"""

from __future__ import annotations

import asyncio
import sys

from tests.fakes.service import audio
from tests.faults.streams import Stream, config, connected


async def main(address: str) -> None:
    """Opens the stream and stays."""
    async with connected(address) as channel:
        stream = Stream(channel)
        await stream.send(config(), audio(b"\0" * 32_000))
        await stream.covered(0.9)
        sys.stdout.write("began\n")
        sys.stdout.flush()
        await stream.call.read()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
