"""Services as processes of their own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager


@asynccontextmanager
async def serving(
    *arguments: str, environment: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[list[str], str]]:
    """Starts a service with Python on a free port, and ends it as an operator would.

    Yields:
        What it has logged, once it has ended and if that was not well; and its address.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments, "--port", "0"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    assert process.stdout is not None
    failure: list[str] = []
    try:
        line = (await process.stdout.readline()).decode()
        assert line.startswith("ready "), (await process.communicate())[1].decode()
        yield failure, line.split()[1].removeprefix("address=")
    finally:
        if process.returncode is None:
            process.terminate()
        _, log = await process.communicate()
        if process.returncode:
            failure.append(log.decode() or f"exit code {process.returncode}")
