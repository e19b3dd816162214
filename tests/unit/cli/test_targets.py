"""Options of commands that dial a server: what is refused before anything is dialled."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from tests.fakes.identity import development_identity
from voiceflow.cli.commands import commands, exit_code
from voiceflow.errors import VoiceFlowError

CA = str(development_identity() / "ca.pem")
CERTIFICATE = str(development_identity() / "reader.pem")
FAR = "registry.example:50061"


def run(*arguments: str, **environment: str) -> tuple[int, str]:
    """A command to its end: exit code, and what it says of its failure."""
    result = CliRunner().invoke(commands, arguments, env=environment)
    if isinstance(result.exception, VoiceFlowError):
        return exit_code(result.exception), result.exception.reason
    return result.exit_code, result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("models", "list", "--registry"),
        ("models", "publish", ".", "--registry"),
        ("models", "watch", "diarizer/stable", "--registry"),
        ("models", "validate", "diarizer@1.0.0", "--registry"),
        ("audit", "--registry"),
        ("fleet", "diarizer/stable", "--registry"),
        ("serving-state", "--server"),
        ("drain",),
        ("diarize", "nothing.wav", "--server"),
    ],
    ids=" ".join,
)
def test_commands_dial_no_other_machine_in_plain_text(arguments: tuple[str, ...]) -> None:
    """Before anything is opened or sent."""
    assert run(*arguments, FAR) == (3, "INSECURE_ADDRESS")


def test_plain_text_to_another_machine_is_dialled_where_it_is_asked_for() -> None:
    """That nobody answers there is all that is wrong with it."""
    code, reason = run("serving-state", "--server", "0.0.0.0:1", "--insecure")
    assert (code, reason) == (4, "UNAVAILABLE")


def test_files_that_cannot_be_used_are_a_matter_of_files() -> None:
    """Exit code 3, as for every other file."""
    assert run("models", "list", "--ca", "gone.pem") == (3, "CREDENTIALS_UNREADABLE")
    assert run("models", "list", "--cert", CERTIFICATE) == (3, "CREDENTIALS_INCOMPLETE")


@pytest.mark.parametrize("option", ["--ca", "--cert", "--key", "--token-file", "--server-name"])
def test_plain_text_and_an_identity_are_not_both_asked_for(option: str) -> None:
    """As options; what the environment names is left aside instead."""
    code, said = run("models", "list", "--insecure", option, CA)
    assert code == 2
    assert f"give either --insecure or {option}" in said
    variable = f"VOICEFLOW_{option[2:].replace('-', '_').upper()}"
    assert run("serving-state", "--insecure", "--server", "127.0.0.1:1", **{variable: CA})[0] == 4


def test_a_name_alone_makes_no_identity() -> None:
    """It would be looked for in vain on a certificate that nobody shows."""
    code, said = run("models", "list", "--server-name", "registry.example")
    assert code == 2
    assert "--server-name: only with" in said
