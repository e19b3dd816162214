"""The group of commands, and what every command ends with.

Exit codes: 0 done (also when Ctrl-C ended the audio early and the results were written), 1 the
stream failed or was cut off (what was final is written), or a gate did not pass, 2 wrong usage, 3
the audio, a file, a name or the request is not usable, 4 no server, or it is too busy, 5 not served
by that server (yet), or not installed here, 6 not allowed as things are, or changed meanwhile, 7
not allowed for this caller, 130 interrupted without results.
"""

from __future__ import annotations

import asyncio
import sys
from importlib.metadata import version

import click

from voiceflow.cli.demo import demo
from voiceflow.cli.diarize import diarize
from voiceflow.cli.models import models
from voiceflow.cli.serving_state import serving_state
from voiceflow.errors import (
    AlreadyExists,
    Conflict,
    Forbidden,
    InvalidInput,
    NotAllowedNow,
    NotFound,
    NotServed,
    OutOfOrder,
    OutOfRange,
    Overloaded,
    PackageInvalid,
    TooLarge,
    Unavailable,
    VoiceFlowError,
)

_EXIT_CODES: dict[type[VoiceFlowError], int] = {
    InvalidInput: 3,
    OutOfOrder: 3,
    OutOfRange: 3,
    NotFound: 3,
    PackageInvalid: 3,
    TooLarge: 3,
    Unavailable: 4,
    Overloaded: 4,
    NotServed: 5,
    NotAllowedNow: 6,
    AlreadyExists: 6,
    Conflict: 6,
    Forbidden: 7,
}
_EXIT_CODES_BY_REASON = {"GATES_NOT_PASSED": 1, "BUMP_TOO_SMALL": 1, "DEADLINE_EXCEEDED": 4}


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(version("voiceflow"), prog_name="voiceflow")
def commands() -> None:
    """Who speaks when, while the conversation goes on."""


commands.add_command(diarize)
commands.add_command(demo)
commands.add_command(serving_state)
commands.add_command(models)


def main() -> None:
    """Runs a command; errors become one line and an exit code."""
    try:
        commands.main(prog_name="voiceflow", standalone_mode=True)
    except VoiceFlowError as error:
        for line in error_lines(error):
            click.echo(line, err=True)
        sys.exit(exit_code(error))
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo("voiceflow: interrupted", err=True)
        sys.exit(130)


def exit_code(error: VoiceFlowError) -> int:
    """The exit code that tells a script what kind of error it was."""
    return _EXIT_CODES_BY_REASON.get(error.reason, _EXIT_CODES.get(type(error), 1))


def error_lines(error: VoiceFlowError) -> list[str]:
    """What went wrong: one line, and one for each thing that stands in the way."""
    violations = error.violations if isinstance(error, NotAllowedNow) else ()
    if not violations:
        return [f"voiceflow: {error.message} ({error.reason})"]
    # The message lists them all; here each has a line of its own.
    what = error.message.partition(": ")[0]
    return [
        f"voiceflow: {what} ({error.reason})",
        *(f"  {one.kind}  {one.subject}: {one.description}" for one in violations),
    ]
