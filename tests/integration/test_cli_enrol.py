"""`voiceflow enrol` makes a voice of recordings, and `voiceflow diarize --enrol` knows it."""

from __future__ import annotations

import json
import re
import shlex
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import soundfile

from tests.fakes.models import Spoken, tones
from tests.fakes.service import running
from tests.integration.commands import done
from tests.integration.test_cli import finish
from voiceflow.client import Prototype, SpeakerSummary, Summary
from voiceflow.client.voices import read_voice
from voiceflow.onnx import bind
from voiceflow.package import load_package

PAGE = (Path(__file__).parents[2] / "docs/enrolment.md").read_text("utf-8")


@pytest.fixture
async def server(stream_package: Path) -> AsyncIterator[str]:
    """Address of the real service."""
    async with running(bind(load_package(stream_package))) as (_, address):
        yield address


def recorded(path: Path, *talk: Spoken) -> Path:
    """A recording."""
    soundfile.write(path, tones(*talk), 16_000)
    return path


async def test_a_voice_is_learnt_and_called_by_name(server: str, tmp_path: Path) -> None:
    """From two recordings; the first turn of the conversation is too short for anybody else."""
    first = recorded(tmp_path / "one.wav", Spoken((8,), 4.0))
    second = recorded(tmp_path / "two.wav", Spoken((), 0.5), Spoken((8,), 3.5))
    voice = tmp_path / "ann.voice.json"
    code, out, err = await done(
        *("enrol", first, second, "--name", "Ann Lee", "--out", voice, "--server", server)
    )
    assert (code, out) == (0, ""), err
    assert err.splitlines() == [
        "one.wav: one voice",
        "two.wav: one voice",
        f"wrote {voice}: a voiceprint, which is personal data",
    ]
    assert stat.S_IMODE(voice.stat().st_mode) == 0o600
    content = json.loads(voice.read_text("utf-8"))
    assert (content["name"], content["model_version"]) == ("Ann Lee", "models/tones/versions/1.0.0")
    assert [one["embedding_space"] for one in content["prototypes"]] == ["tones-1"]
    assert content["prototypes"][0]["speech_seconds"] > 7.5

    call = recorded(tmp_path / "call.wav", Spoken((8,), 0.9), Spoken((), 0.6), Spoken((2,), 2.0))
    for more in ((), ("--realtime", "--mode", "agent")):
        code, out, err = await finish(
            *("diarize", call, "--enrol", voice, "--server", server, "--rttm", "-", *more)
        )
        assert code == 0, err
        assert [line.split()[7] for line in out.splitlines()] == ["Ann_Lee", "S1"]


async def test_nothing_is_written_that_was_not_asked_for(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --out it says so; with - the voice is all that stands on standard output."""
    recording = recorded(tmp_path / "one.wav", Spoken((8,), 4.0))
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    code, out, err = await done("enrol", recording, "--name", "Ann", "--server", server)
    assert (code, out) == (0, "")
    assert err.splitlines() == ["one.wav: one voice", "nothing is written: --out says where to"]
    code, out, _ = await done("enrol", recording, "--name", "Ann", "--out", "-", "--server", server)
    assert (code, json.loads(out)["name"]) == (0, "Ann")
    assert not list(empty.iterdir())


async def test_what_makes_no_voice_is_an_error_in_a_line(server: str, tmp_path: Path) -> None:
    """And nothing is written."""
    ann = recorded(tmp_path / "ann.wav", Spoken((8,), 4.0))
    two = recorded(tmp_path / "two.wav", Spoken((8,), 4.0), Spoken((2,), 4.0))
    short = recorded(tmp_path / "short.wav", Spoken((8,), 2.0), Spoken((), 3.0))
    other = recorded(tmp_path / "other.wav", Spoken((3,), 4.0))
    target = tmp_path / "voice.json"
    for recordings, name, reason, usage in (
        ((two,), "Ann", "NOT_ONE_VOICE", 3),
        ((short,), "Ann", "SPEECH_TOO_SHORT", 3),
        ((ann, other), "Ann", "NOT_THE_SAME_VOICE", 3),
        ((ann,), "S1", "ENROLLED_NAME_INVALID", 3),
        ((ann,), " Ann", "ENROLLED_NAME_INVALID", 3),
        ((tmp_path / "none.wav",), "Ann", "FILE_MISSING", 3),
        ((), "Ann", "Missing argument", 2),
    ):
        code, out, err = await done(
            *("enrol", *recordings, "--name", name, "--out", target, "--server", server)
        )
        assert (code, out) == (usage, ""), err
        assert reason in err
        assert not target.exists()
    code, _, err = await done(
        *("enrol", ann, "--name", "Ann", "--out", tmp_path / "no" / "x", "--server", server)
    )
    assert (code, "there is no such folder" in err) == (2, True)


async def test_voice_files_that_are_none_or_collide_are_refused(
    server: str, tmp_path: Path
) -> None:
    """Before any audio is sent, or by the server."""
    call = recorded(tmp_path / "call.wav", Spoken((8,), 4.0))
    voice, broken = tmp_path / "ann.json", tmp_path / "broken.json"
    broken.write_text("{}")
    code, _, err = await done("enrol", call, "--name", "Ann", "--out", voice, "--server", server)
    assert code == 0, err
    for voices, reason in (
        ((broken,), "VOICE_FILE_INVALID"),
        ((voice, voice), "ENROLLED_NAME_INVALID"),
    ):
        options = [part for one in voices for part in ("--enrol", one)]
        code, out, err = await finish("diarize", call, "--server", server, *options)
        assert (code, out) == (3, "")
        assert reason in err


async def test_the_page_says_what_can_be_done(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its commands run as they stand there, in that order, and its code does what it says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VOICEFLOW_SERVER", server)
    for name, band in (("ann", 8), ("bob-desk", 2), ("bob-phone", 2)):
        recorded(tmp_path / f"{name}.wav", Spoken((band,), 4.0))
    recorded(tmp_path / "meeting.wav", Spoken((8,), 0.9), Spoken((2,), 2.0), Spoken((5,), 2.0))
    (console,) = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    for line in console.splitlines():
        dollar, command, *arguments = shlex.split(line)
        assert (dollar, command) == ("$", "voiceflow")
        to_its_end = finish if arguments[0] == "diarize" else done
        code, out, err = await to_its_end(*arguments)
        assert code == 0, err
    assert [line.split("\t")[2] for line in out.splitlines()] == ["Ann Lee", "Bob", "S1"]

    (source,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    code_of_page: dict[str, Any] = {}
    exec(source, code_of_page)  # noqa: S102 - our own page
    ann = read_voice(tmp_path / "ann.voice.json").speaker
    assert code_of_page["with_ann"](tmp_path / "ann.voice.json").enrolled_speakers == (ann,)
    voice = (Prototype("tones-1", (1.0,), 3.0),)
    heard = (SpeakerSummary("S1", 16_000, voice),)
    summary = Summary(heard, 16_000, complete=True, merges=(), model_version="")
    assert code_of_page["remembered"](summary, "S1", "Eve").prototypes == voice
