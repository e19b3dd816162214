"""Keeps what servers read from files fresh, and counts what was refused."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Never

from voiceflow.identity.reloading import Reloaded
from voiceflow.telemetry.metrics import RELOAD_FAILURES


async def keep_fresh(sources: Sequence[Reloaded[Any]], every_seconds: float) -> Never:
    """Checks values against their files again and again, until it is cancelled.

    Each content that was refused counts once in `voiceflow.reload.failures`, by `what`.

    Args:
        sources: What to check; their files are read in a thread.
        every_seconds: How long to wait between two looks.
    """
    while True:
        await asyncio.sleep(every_seconds)
        for source in sources:
            before = source.failures
            await asyncio.to_thread(source.check)
            if source.failures > before:
                RELOAD_FAILURES.add(source.failures - before, {"what": source.what})
