"""Starts the inference service.

    python -m voiceflow_inference --registry 127.0.0.1:50061 --channel stable
    python -m voiceflow_inference --model-dir models/diarizer --port 0
    python -m voiceflow_inference --model-dir models/diarizer --workers 4

When requests are answered, one line goes to standard output:
``ready address=HOST:PORT model=NAME``. Logs go to standard error.
"""

from __future__ import annotations

import sys

from pydantic import ValidationError
from pydantic_settings import CliApp

from voiceflow.rpc.server import heed_sigterm
from voiceflow.telemetry import logs
from voiceflow_inference.settings import Settings
from voiceflow_inference.workers import group


def main() -> int:
    """The process; returns its exit status."""
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
    if settings.workers > 1:
        return group.run(settings, _say_ready)
    from voiceflow_inference import lifetime  # noqa: PLC0415 - who only supervises loads no engine

    why = lifetime.run(settings, _say_ready)
    if why is not None:
        logs.say_last(settings, why)
        return 1
    return 0


def _say_ready(address: str, model: str) -> None:
    sys.stdout.write(f"ready address={address} model={model}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
