"""A voice file holds what was asked for, for its owner alone, and is read with suspicion."""

from __future__ import annotations

import json
import stat
import traceback
from pathlib import Path
from typing import Any

import pytest

from voiceflow.client import EnrolledSpeaker, Prototype
from voiceflow.client.voices import Voice, read_voice, voice_json, write_voice
from voiceflow.errors import InvalidInput

VOICE = Voice(
    EnrolledSpeaker(
        "李 Ann",
        (
            Prototype("space-1", (0.6, -0.8000000119209290), 4.25),
            Prototype("space-1", (1.0, 0.0), 60.0),
        ),
    ),
    "models/diarizer/versions/1.0.0",
)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """To the last bit of every value."""
    path = tmp_path / "ann.json"
    write_voice(path, VOICE)
    assert read_voice(path) == VOICE
    assert json.loads(path.read_text("utf-8")) == json.loads(voice_json(VOICE))


def test_a_voice_file_is_its_owners_alone(tmp_path: Path) -> None:
    """Also where one that everybody could read stood before; nothing else is left there."""
    path = tmp_path / "ann.json"
    path.write_text("old")
    path.chmod(0o644)
    write_voice(path, VOICE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["ann.json"]


def changed(**changes: Any) -> str:
    """The file with other fields."""
    return json.dumps(json.loads(voice_json(VOICE)) | changes)


PROTOTYPE = {"embedding_space": "s", "speech_seconds": 1.0, "values": [1.0]}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]",
        "secret",
        changed(format="voiceflow-voice/2"),
        changed(name=7),
        changed(more="x"),
        changed(prototypes=[]),
        changed(prototypes=[PROTOTYPE | {"values": "secret"}]),
        changed(prototypes=[PROTOTYPE | {"values": ["secret"]}]),
        changed(prototypes=[PROTOTYPE | {"speech_seconds": float("nan")}]),
        changed(prototypes=[PROTOTYPE | {"values": [float("inf")]}]),
        changed(prototypes=[{"values": [1.0]}]),
    ],
)
def test_what_is_no_voice_file_is_refused_and_not_shown(tmp_path: Path, content: str) -> None:
    """The error names the file and the place, never what stands there."""
    path = tmp_path / "ann.json"
    path.write_text(content)
    with pytest.raises(InvalidInput) as caught:
        read_voice(path)
    assert caught.value.reason == "VOICE_FILE_INVALID"
    assert str(path) in caught.value.message
    assert "secret" not in "".join(traceback.format_exception(caught.value))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """As is one that is none."""
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(InvalidInput, match=path.name) as caught:
            read_voice(path)
        assert caught.value.reason == "VOICE_FILE_INVALID"


def test_a_voice_shows_no_vector() -> None:
    """In a log or an error."""
    assert "0.8" not in repr(VOICE)
