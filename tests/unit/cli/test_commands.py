"""Usage, outputs and exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from voiceflow.cli.commands import commands, exit_code
from voiceflow.cli.outputs import Outputs
from voiceflow.cli.service_process import newest_model
from voiceflow.client import Timeline
from voiceflow.errors import (
    InvalidInput,
    NotFound,
    NotServed,
    Overloaded,
    Unavailable,
    VoiceFlowError,
)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a.wav", "--mic"],
        ["-", "--encoding", "pcm16"],
        ["-", "--rate", "8000"],
        ["a.wav", "--encoding", "pcm16", "--rate", "8000"],
        ["a.wav", "--rttm", "-", "--json", "-"],
        ["a.wav", "--json", "no/such/folder/a.json"],
        ["a.wav", "--mode", "fast"],
        ["a.wav", "--minimum-speakers", "-1"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    """Before anything is opened or connected."""
    assert CliRunner().invoke(commands, ["diarize", *arguments]).exit_code == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidInput("", reason="R"), 3),
        (NotFound("", reason="R"), 3),
        (Unavailable("", reason="R"), 4),
        (Overloaded("", reason="R", retry_after_seconds=1.0), 4),
        (NotServed("", reason="R"), 5),
        (VoiceFlowError("", reason="R"), 1),
    ],
)
def test_exit_codes_are_those_that_help_states(error: VoiceFlowError, code: int) -> None:
    """A script can tell a wrong file from a missing server."""
    assert exit_code(error) == code


def test_only_what_was_asked_for_is_written(tmp_path: Path) -> None:
    """And the files are named."""
    path = str(tmp_path / "a.json")
    assert Outputs(json=path).write(Timeline(), "a.wav", None) == [path]
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_the_newest_model_is_the_highest_version(tmp_path: Path) -> None:
    """By semantic version, not by letters; what is no version is passed over."""
    for name in ("1.2.0", "1.10.0", "1.10.0-rc.1", "notes"):
        (tmp_path / name).mkdir()
    assert newest_model(tmp_path).name == "1.10.0"


def test_a_folder_without_models_says_so(tmp_path: Path) -> None:
    """With what to do about it."""
    with pytest.raises(NotFound, match="--model-dir"):
        newest_model(tmp_path / "none")
