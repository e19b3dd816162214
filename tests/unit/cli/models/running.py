"""Runs a command as a shell does, inside the test's process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from click.testing import CliRunner

from voiceflow.cli.commands import commands, error_lines, exit_code
from voiceflow.errors import VoiceFlowError


@dataclass(frozen=True)
class Outcome:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, as one document."""
        return json.loads(self.out)

    @property
    def json_lines(self) -> list[Any]:
        """Standard output, a document a line."""
        return [json.loads(line) for line in self.out.splitlines()]


def run(*arguments: object) -> Outcome:
    """`voiceflow models …` to its end, with errors as `main` tells them."""
    result = CliRunner().invoke(commands, ["models", *map(str, arguments)])
    error = result.exception
    if isinstance(error, VoiceFlowError):
        lines = "\n".join(error_lines(error))
        return Outcome(exit_code(error), result.stdout, f"{result.stderr}{lines}\n")
    if error is not None and not isinstance(error, SystemExit):
        raise error
    return Outcome(result.exit_code, result.stdout, result.stderr)
