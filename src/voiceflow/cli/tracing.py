"""Commands that can be followed: each is the root of a trace that goes on in the services."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import click
from pydantic import ValidationError

from voiceflow.cli.printing import err
from voiceflow.errors import VoiceFlowError
from voiceflow.telemetry import TelemetrySettings, started
from voiceflow.telemetry.spans import telling

_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"

telemetry_file_option = click.option(
    "--telemetry-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Add the spans of what changes something to this file, one OTLP request in JSON a line."
    f" A collector gets them, too, where {_ENDPOINT} names one.",
)


@contextmanager
def traced(name: str, telemetry_file: Path | None) -> Iterator[None]:
    """A command runs in a span of its own, and what it asks of a service belongs to its trace.

    An environment that nothing can be recorded by is no reason not to roll back: it is said, and
    the command goes on.

    Args:
        name: `voiceflow.promote`.
        telemetry_file: Where spans go; None: nowhere but to the collector of the environment.

    Raises:
        NotAllowedNow: TELEMETRY_MISSING, where a file is given.
        OSError: The file cannot be written.
    """
    left: click.exceptions.Exit | None = None
    with _recording(telemetry_file), telling(name) as span:
        try:
            yield
        except click.exceptions.Exit as error:  # no failure: what was asked for has been told
            span.set_attribute("process.exit.code", error.exit_code)
            left = error
    if left is not None:
        raise left


@contextmanager
def _recording(telemetry_file: Path | None) -> Iterator[None]:
    with ExitStack() as stack:
        endpoint = os.environ.get(_ENDPOINT)
        if not (endpoint and _start(stack, endpoint, telemetry_file)):
            stack.enter_context(started(TelemetrySettings(telemetry_file=telemetry_file), _SERVICE))
        yield


def _start(stack: ExitStack, endpoint: str, telemetry_file: Path | None) -> bool:
    """Records by the environment, too; False: that cannot be done, which has been said."""
    try:
        settings = TelemetrySettings(otlp_endpoint=endpoint, telemetry_file=telemetry_file)
        stack.enter_context(started(settings, _SERVICE))
    except ValidationError as error:
        problem = error.errors()[0]["msg"].removeprefix("Value error, ")
    except VoiceFlowError as error:
        problem = error.message
    except Exception as error:  # noqa: BLE001 - of an exporter that reads further variables
        problem = str(error) or type(error).__name__
    else:
        return True
    err().print(f"{_ENDPOINT}: nothing is sent to it: {problem}", highlight=False, markup=False)
    return False


_SERVICE: Final = "voiceflow-cli"
