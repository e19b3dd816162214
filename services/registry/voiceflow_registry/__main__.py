"""Starts the registry: `python -m voiceflow_registry --help`."""

from __future__ import annotations

import asyncio
import logging
import sys

from pydantic import ValidationError
from pydantic_settings import CliApp

from voiceflow.errors import VoiceFlowError
from voiceflow_registry.app import build
from voiceflow_registry.settings import Settings


def main() -> int:
    """Serves until SIGTERM or SIGINT.

    Returns:
        0 after a graceful end, 2 where a setting is not allowed, 1 where the server cannot start.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        settings = CliApp.run(Settings)
    except ValidationError as error:
        for fault in error.errors():
            name = ".".join(str(part) for part in fault["loc"])
            sys.stderr.write(f"{name}: {fault['msg']}, not {fault['input']!r}\n")
        return 2
    server = build(settings, on_ready=_announce)
    try:
        asyncio.run(server.run())
    except (VoiceFlowError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2 if isinstance(error, VoiceFlowError) else 1
    return 0


def _announce(address: str) -> None:
    sys.stdout.write(f"registry listening on {address}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
