"""Starts the registry: `python -m voiceflow_registry --help`.

When requests are answered, one line goes to standard output:
``ready address=HOST:PORT store=PLACE``. Logs go to standard error.
"""

from __future__ import annotations

import asyncio
import sys
from urllib.parse import quote

from pydantic import ValidationError
from pydantic_settings import CliApp

from voiceflow.errors import InvalidInput, VoiceFlowError
from voiceflow.rpc.server import heed_sigterm
from voiceflow.telemetry import logs, started
from voiceflow_registry.app import build
from voiceflow_registry.settings import Settings
from voiceflow_registry.storage.object_store import StoreError


def main() -> int:
    """Serves until SIGTERM or SIGINT.

    Returns:
        0 after a graceful end, 2 where a setting is not allowed, 1 where the server cannot start.
    """
    heed_sigterm()
    try:
        settings = CliApp.run(Settings)
    except ValidationError as error:
        for problem in error.errors():
            name = "-".join(str(part) for part in problem["loc"]).replace("_", "-")
            message = problem["msg"].removeprefix("Value error, ")
            sys.stderr.write(f"--{name}: {message}\n" if name else f"{message}\n")
        return 2
    logs.set_up(settings)

    def say_ready(address: str) -> None:
        sys.stdout.write(f"ready address={address} store={quote(settings.store, safe='/:')}\n")
        sys.stdout.flush()

    try:
        app = build(settings, on_ready=say_ready)  # before what records has threads of gRPC
        with started(settings, "voiceflow-registry"):
            asyncio.run(app.run())
    except InvalidInput as error:
        logs.say_last(settings, f"{error.message} ({error.reason})")
        return 2
    except VoiceFlowError as error:
        logs.say_last(settings, f"cannot serve: {error.message} ({error.reason})")
        return 1
    except (StoreError, OSError) as error:
        logs.say_last(settings, f"cannot serve: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
