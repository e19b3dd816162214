"""The group of commands, and what every command ends with.

Exit codes: 0 done (also when Ctrl-C ended the audio early and the results were written, or ended
`watch`), 1 the stream failed or was cut off (what was final is written), a gate did not pass, or
what came out could not be written, 2 wrong usage, 3 the audio, a file, a name or the request is not
usable, 4 no server, or it is too busy, 5 not served by that server (yet), or not installed here, 6
not allowed as things are, or changed meanwhile, 7 not allowed for this caller, or not signed by who
may, 130 interrupted.
"""

from __future__ import annotations

import asyncio
import os
import sys
from importlib.metadata import version

import click

from voiceflow.cli.audit import audit
from voiceflow.cli.bench import bench
from voiceflow.cli.budget import budget_command
from voiceflow.cli.demo import demo
from voiceflow.cli.diarize import diarize
from voiceflow.cli.draining import drain
from voiceflow.cli.enrol import enrol_command
from voiceflow.cli.evaluate import evaluate
from voiceflow.cli.fleet import fleet_command
from voiceflow.cli.identity import dev_certs, tokens
from voiceflow.cli.models import models
from voiceflow.cli.printing import plain
from voiceflow.cli.rollout import rollout
from voiceflow.cli.serving_state import serving_state
from voiceflow.cli.trust import trust
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
    Unauthenticated,
    Unavailable,
    Untrusted,
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
    Unauthenticated: 7,
    Forbidden: 7,
    Untrusted: 7,
}
_EXIT_CODES_BY_REASON = {"GATES_NOT_PASSED": 1, "BUMP_TOO_SMALL": 1, "DEADLINE_EXCEEDED": 4}


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(version("voiceflow"), prog_name="voiceflow")
def commands() -> None:
    """Who speaks when, while the conversation goes on."""


commands.add_command(diarize)
commands.add_command(enrol_command)
commands.add_command(demo)
commands.add_command(evaluate)
commands.add_command(bench)
commands.add_command(budget_command)
commands.add_command(serving_state)
commands.add_command(fleet_command)
commands.add_command(drain)
commands.add_command(rollout)
commands.add_command(models)
commands.add_command(audit)
commands.add_command(dev_certs)
commands.add_command(tokens)
commands.add_command(trust)


def run() -> int:
    """Runs the command that this process was started with; errors become lines.

    Returns:
        The exit code.

    Raises:
        KeyboardInterrupt: It was interrupted.
    """
    try:
        code = commands.main(prog_name="voiceflow", standalone_mode=False)
    except VoiceFlowError as error:
        for line in error_lines(error):
            click.echo(line, err=True)
        return exit_code(error)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, asyncio.CancelledError):
        raise KeyboardInterrupt from None
    except OSError as error:  # a full disk, a folder that may not be written
        _drop_output()
        what = f"{error.filename}: " if error.filename is not None else ""
        click.echo(f"voiceflow: {what}{error.strerror or error} (IO_FAILED)", err=True)
        return 1
    return code if isinstance(code, int) else 0


def exit_code(error: VoiceFlowError) -> int:
    """The exit code that tells a script what kind of error it was."""
    return _EXIT_CODES_BY_REASON.get(error.reason, _EXIT_CODES.get(type(error), 1))


def error_lines(error: VoiceFlowError) -> list[str]:
    """What went wrong: one line, and one for each thing that stands in the way."""
    violations = error.violations if isinstance(error, NotAllowedNow) else ()
    if not violations:
        return [plain(f"voiceflow: {error.message} ({error.reason})")]
    # The message lists them all; here each has a line of its own.
    what = error.message.partition(": ")[0]
    return [
        plain(f"voiceflow: {what} ({error.reason})"),
        *(plain(f"  {one.kind}  {one.subject}: {one.description}") for one in violations),
    ]


def _drop_output() -> None:
    """What is still to be written to standard output would fail again at the end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
