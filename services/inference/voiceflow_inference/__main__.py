"""Starts the inference service.

    python -m voiceflow_inference --registry 127.0.0.1:50061 --channel stable
    python -m voiceflow_inference --model-dir models/diarizer/1.0.0 --port 0

When requests are answered, one line goes to standard output:
``ready address=HOST:PORT model=NAME``. Logs go to standard error.
"""

from __future__ import annotations

import asyncio
import logging
import sys

from pydantic import ValidationError
from pydantic_settings import CliApp

from voiceflow.errors import VoiceFlowError
from voiceflow_inference.app import build, find_package, load_model, secure, trusting
from voiceflow_inference.settings import Settings


async def serve(settings: Settings) -> None:
    """Loads, warms, serves, drains."""
    security = secure(settings)
    async with trusting(settings) as trusted:
        package = await find_package(settings, trusted)
        model = await asyncio.to_thread(load_model, settings, package)
        name = model.manifest.resource_name

        def say_ready(address: str) -> None:
            sys.stdout.write(f"ready address={address} model={name}\n")
            sys.stdout.flush()

        await build(settings, model, security, on_ready=say_ready).run()


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
    logging.basicConfig(
        stream=sys.stderr,
        level=settings.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    try:
        asyncio.run(serve(settings))
    except VoiceFlowError as error:
        sys.stderr.write(f"cannot serve: {error.message} ({error.reason})\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"cannot serve: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
