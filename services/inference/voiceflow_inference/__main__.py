"""Starts the inference service.

    python -m voiceflow_inference --registry 127.0.0.1:50061 --channel stable
    python -m voiceflow_inference --model-dir models/diarizer --port 0

When requests are answered, one line goes to standard output:
``ready address=HOST:PORT model=NAME``. Logs go to standard error.
"""

from __future__ import annotations

import asyncio
import gc
import sys

from pydantic import ValidationError
from pydantic_settings import CliApp

from voiceflow.errors import VoiceFlowError
from voiceflow.telemetry import logs, started
from voiceflow_inference.app import build, opened, secure
from voiceflow_inference.settings import Settings


async def serve(settings: Settings) -> None:
    """Loads, warms, serves, drains."""
    security = secure(settings)
    async with opened(settings) as origin:

        def say_ready(address: str) -> None:
            name = app.manager.primary.name
            sys.stdout.write(f"ready address={address} model={name}\n")
            sys.stdout.flush()

        app = await build(settings, security, origin, on_ready=say_ready)
        gc.collect()
        gc.freeze()  # to look through what stands for good takes a tenth of a second of all streams
        await app.run()


def main() -> int:
    """The process; returns its exit status."""
    try:
        settings = CliApp.run(Settings)
    except ValidationError as error:
        for problem in error.errors():
            name = "-".join(str(part) for part in problem["loc"]).replace("_", "-")
            message = problem["msg"].removeprefix("Value error, ")
            sys.stderr.write(f"--{name}: {message}\n" if name else f"{message}\n")
        return 2
    logs.set_up(settings)
    try:
        with started(settings, "voiceflow-inference", settings.pod_name):
            asyncio.run(serve(settings))
    except VoiceFlowError as error:
        logs.say_last(settings, f"cannot serve: {error.message} ({error.reason})")
        return 1
    except OSError as error:
        logs.say_last(settings, f"cannot serve: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
