"""Commands that can be followed: each is the root of a trace that goes on in the services."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
from pydantic import ValidationError

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

    Args:
        name: `voiceflow.promote`.
        telemetry_file: Where spans go; None: nowhere but to the collector of the environment.

    Raises:
        NotAllowedNow: TELEMETRY_MISSING.
    """
    try:
        settings = TelemetrySettings(
            otlp_endpoint=os.environ.get(_ENDPOINT) or None, telemetry_file=telemetry_file
        )
    except ValidationError as error:
        problem = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise click.UsageError(f"{_ENDPOINT}: {problem}") from error
    left: click.exceptions.Exit | None = None
    with started(settings, "voiceflow-cli"), telling(name) as span:
        try:
            yield
        except click.exceptions.Exit as error:  # no failure: what was asked for has been told
            span.set_attribute("process.exit.code", error.exit_code)
            left = error
    if left is not None:
        raise left
