"""One process of the service, from its start to its end; returns its last words, if it has any."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable
from typing import Final

from voiceflow.errors import VoiceFlowError
from voiceflow.identity.key_set import KeySet
from voiceflow.telemetry import started
from voiceflow_inference.app import App, build, opened, secure
from voiceflow_inference.last_words import last_words
from voiceflow_inference.settings import Settings

OnReady = Callable[[str, str], None]
"""Told the bound ``host:port`` and the name of the version, when requests are answered."""


_SWITCH_SECONDS: Final = 1e-4
"""A thread that waits for the interpreter asks for it after so long.

An engine lets go of it some thirty times around a batch, and a busy event loop gives it back only
when asked: with Python's own 5 ms the engine stands still beside an event loop that is not full.
"""

# What a hop leaves behind is freed without the collector, but for what is held for two seconds.
# By Python's own 700 and 10 that is looked through until it counts as old, and then all that is.
_YOUNG_OBJECTS: Final = 20_000
_YOUNG_COLLECTIONS: Final = 20


async def _at_once(_app: App) -> None:
    """Nobody is waited for."""


def run(
    settings: Settings,
    on_ready: OnReady,
    *,
    own_keys: KeySet | None = None,
    before_serving: Callable[[App], Awaitable[None]] = _at_once,
) -> str | None:
    """Loads, warms, serves until SIGTERM, drains.

    Args:
        settings: All of them.
        on_ready: Called once.
        own_keys: Seal resume tokens where no key set is given; None: those of this process alone.
        before_serving: Waited for when all is warm, and before anybody is answered.

    Returns:
        Why it could not serve; None: it did.
    """
    try:
        with started(settings, "voiceflow-inference", settings.pod_name):
            asyncio.run(_serve(settings, on_ready, own_keys, before_serving))
    except (VoiceFlowError, OSError) as error:
        return last_words(error)
    return None


async def _serve(
    settings: Settings,
    on_ready: OnReady,
    own_keys: KeySet | None,
    before_serving: Callable[[App], Awaitable[None]],
) -> None:
    security = secure(settings)
    async with opened(settings) as origin:

        def say_ready(address: str) -> None:
            on_ready(address, app.manager.primary.name)

        app = await build(settings, security, origin, own_keys=own_keys, on_ready=say_ready)
        sys.setswitchinterval(_SWITCH_SECONDS)
        gc.collect()
        gc.freeze()  # to look through what stands for good takes a tenth of a second of all streams
        gc.set_threshold(_YOUNG_OBJECTS, _YOUNG_COLLECTIONS)
        await before_serving(app)
        await app.run()
