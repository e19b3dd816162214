"""What `voiceflow evaluate` refuses before it dials anybody."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from voiceflow.cli.commands import commands, exit_code
from voiceflow.errors import InvalidInput, NotAllowedNow, VoiceFlowError

NOBODY = "127.0.0.1:1"
SPOKEN = "SPEAKER a 1 0.5 1.0 <NA> <NA> A <NA> <NA>\n"


def refused(data: Path) -> VoiceFlowError:
    """What the command ends with."""
    result = CliRunner().invoke(commands, ["evaluate", "--data", str(data), "--server", NOBODY])
    assert isinstance(result.exception, VoiceFlowError), result.output
    return result.exception


def sound(path: Path) -> None:
    """A recording of two seconds."""
    soundfile.write(path, np.zeros(32_000, np.float32), 16_000)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--data"],
        ["--data", ".", "--mode", "fast"],
        ["--data", ".", "--json", "no/such/folder/a.json"],
        ["--data", ".", "--insecure", "--token-file", "token"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    """Before anything is read."""
    assert CliRunner().invoke(commands, ["evaluate", *arguments]).exit_code == 2


@pytest.mark.parametrize(
    ("files", "reason", "told"),
    [
        ({}, "EVALUATION_SET_INVALID", "holds no"),
        ({"a.rttm": SPOKEN}, "EVALUATION_SET_INVALID", "0 recordings"),
        ({"a.wav": "", "a.rttm": SPOKEN, "b.wav": ""}, "EVALUATION_SET_INVALID", "b: "),
        ({"a.wav": "", "a.rttm": ""}, "EVALUATION_SET_INVALID", "names no speech"),
        ({"a.wav": "", "a.rttm": SPOKEN.replace("0.5", "9.5")}, "EVALUATION_SET_INVALID", "2 s"),
        ({"a.wav": "", "a.rttm": SPOKEN.replace("0.5", "-1")}, "REFERENCE_INVALID", "line 1"),
        ({"a.wav": "", "a.rttm": SPOKEN.replace("0.5", "soon")}, "REFERENCE_INVALID", "line 1"),
        ({"a.wav": "no sound", "a.rttm": SPOKEN}, "EVALUATION_SET_INVALID", "decoded"),
    ],
    ids=[
        "empty-folder",
        "no-audio",
        "no-reference",
        "no-speech",
        "speech-past-the-end",
        "before-the-start",
        "no-number",
        "no-sound",
    ],
)
def test_a_set_that_cannot_be_evaluated_is_refused(
    tmp_path: Path, files: dict[str, str], reason: str, told: str
) -> None:
    """With what is wrong and where, before anybody is dialled."""
    for name, content in files.items():
        if name.endswith(".wav") and not content:
            sound(tmp_path / name)
        else:
            (tmp_path / name).write_text(content)
    error = refused(tmp_path)
    assert isinstance(error, InvalidInput)
    assert (error.reason, exit_code(error)) == (reason, 3)
    assert told in error.message


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """With its name."""
    error = refused(tmp_path / "nowhere")
    assert error.reason == "EVALUATION_SET_INVALID"
    assert "nowhere" in error.message


def test_a_scorer_that_is_missing_is_said_before_anything_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not after an hour of streams."""
    sound(tmp_path / "a.wav")
    (tmp_path / "a.rttm").write_text(SPOKEN)
    monkeypatch.setitem(sys.modules, "pyannote.metrics.diarization", None)
    error = refused(tmp_path)
    assert isinstance(error, NotAllowedNow)
    assert (error.reason, exit_code(error)) == ("SCORER_MISSING", 6)
