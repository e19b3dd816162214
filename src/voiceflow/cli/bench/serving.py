"""Whom a load is for: a server that is named, or one that is started for it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import click

from voiceflow.artifact import SAMPLE_RATE_HERTZ
from voiceflow.bench.live import Server
from voiceflow.bench.usage import allow_connections
from voiceflow.cli.options import Target, optional_target_option
from voiceflow.cli.printing import tell
from voiceflow.cli.service_process import newest_model, running_service
from voiceflow.client.registry import open_package
from voiceflow.errors import Unavailable

MODELS: Final = Path("models/diarizer")


def server_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which server, or which model one is started with."""
    model = click.option(
        "--model-dir",
        type=click.Path(path_type=Path),
        help=f"The package that the service is started with; else the newest in {MODELS}.",
    )
    named = optional_target_option(
        "server", "The inference service to put under load; without it one is started here"
    )
    return named(model(command))


@asynccontextmanager
async def serving(
    named: Target | None, model: Path | None, *settings: str
) -> AsyncIterator[Server]:
    """Gives the server that is named, or starts one and ends it.

    Args:
        named: None: start one.
        model: Its package; None: the newest there is.
        settings: More of its command line.

    Raises:
        click.UsageError: Both are given.
        VoiceFlowError: The server may not be dialled so, or does not start.
    """
    allow_connections()
    if named is not None:
        if model is not None:
            raise click.UsageError("give either --server or --model-dir")
        named.check()
        yield Server.at(named.address, named.identity)
        return
    folder = model or newest_model(MODELS)
    manifest = (await asyncio.to_thread(open_package, folder)).manifest
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "service.log"
        options: list[str | Path] = ["--model-dir", folder, "--log-level", "warning", *settings]
        service = running_service("voiceflow_inference", log, *options)
        try:
            async with service as address:
                started = f"{manifest.model} {manifest.version} is served on {address}"
                tell(f"{started} for as long as this takes", err=True)
                yield Server.at(address)
        except Unavailable as error:
            if error.reason in {"SERVICE_FAILED", "SERVICE_NOT_READY"}:  # its folder goes with us
                tell(await asyncio.to_thread(log.read_text), err=True)
            raise


def sample_audio(seconds: float) -> bytes:
    """The synthetic conversation, over again as long as it takes, PCM16 at 16 kHz."""
    import numpy as np  # noqa: PLC0415

    from voiceflow.sample import conversation  # noqa: PLC0415 - scipy is slow to import

    samples = np.resize(conversation(), round(seconds * SAMPLE_RATE_HERTZ))
    return (samples * 32767).astype("<i2").tobytes()
