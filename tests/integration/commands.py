"""Commands to their end inside the test's process, which spares the start of one."""

from __future__ import annotations

import asyncio

from click.testing import CliRunner

from voiceflow.cli.commands import commands, error_lines, exit_code
from voiceflow.errors import VoiceFlowError


async def done(*arguments: object) -> tuple[int, str, str]:
    """A `voiceflow …` command in a thread: its exit code, standard output and error.

    Not for what handles signals, which a process's main thread alone may.
    """
    return await asyncio.to_thread(_invoke, [str(one) for one in arguments])


def _invoke(arguments: list[str]) -> tuple[int, str, str]:
    result = CliRunner().invoke(commands, arguments)
    error = result.exception
    if isinstance(error, VoiceFlowError):
        lines = "\n".join(error_lines(error))
        return exit_code(error), result.stdout, f"{result.stderr}{lines}\n"
    if error is not None and not isinstance(error, SystemExit):
        raise error
    return result.exit_code, result.stdout, result.stderr
