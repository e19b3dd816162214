"""The group of commands, and what every command ends with.

Exit codes: 0 done (also when Ctrl-C ended the audio early and the results were written), 1 the
stream failed or was cut off (what was final is written), 2 wrong usage, 3 the audio or the request
is not usable, 4 no server, or it is too busy, 5 the server does not do this (yet), 130 interrupted
without results.
"""

from __future__ import annotations

import asyncio
import sys
from importlib.metadata import version

import click

from voiceflow.cli.demo import demo
from voiceflow.cli.diarize import diarize
from voiceflow.cli.serving_state import serving_state
from voiceflow.errors import (
    InvalidInput,
    NotFound,
    NotServed,
    OutOfOrder,
    Overloaded,
    Unavailable,
    VoiceFlowError,
)

_EXIT_CODES: dict[type[VoiceFlowError], int] = {
    InvalidInput: 3,
    OutOfOrder: 3,
    NotFound: 3,
    Unavailable: 4,
    Overloaded: 4,
    NotServed: 5,
}


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(version("voiceflow"), prog_name="voiceflow")
def commands() -> None:
    """Who speaks when, while the conversation goes on."""


commands.add_command(diarize)
commands.add_command(demo)
commands.add_command(serving_state)


def main() -> None:
    """Runs a command; errors become one line and an exit code."""
    try:
        commands.main(prog_name="voiceflow", standalone_mode=True)
    except VoiceFlowError as error:
        click.echo(f"voiceflow: {error.message} ({error.reason})", err=True)
        sys.exit(exit_code(error))
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo("voiceflow: interrupted", err=True)
        sys.exit(130)


def exit_code(error: VoiceFlowError) -> int:
    """The exit code that tells a script what kind of error it was."""
    return _EXIT_CODES.get(type(error), 1)
