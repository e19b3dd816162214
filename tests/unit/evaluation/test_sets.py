"""Labelled conversations: what makes a set, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voiceflow.artifact import digest_of
from voiceflow.errors import ContentCorrupt, InvalidInput
from voiceflow.evaluation import EvaluationSet, Spoken, read_audio

RTTM = "SPEAKER talk 1 0.5 1.5 <NA> <NA> ann <NA> <NA>\n;; a comment\n"
SECOND = 16_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two labelled recordings of two seconds, and a file that is neither."""
    for name in ("talk", "more"):
        soundfile.write(tmp_path / f"{name}.flac", np.zeros(2 * SECOND), SECOND)
        (tmp_path / f"{name}.rttm").write_text(RTTM)
    (tmp_path / "README.md").write_text("about them")
    return tmp_path


def test_another_rate_is_resampled(tmp_path: Path) -> None:
    """What a model hears has 16 kHz."""
    soundfile.write(tmp_path / "low.wav", np.zeros((800, 2)), 8000)
    assert read_audio(tmp_path / "low.wav").shape == (1600,)


def test_a_set_is_its_recordings_and_references(folder: Path) -> None:
    """In order of name, with what is said in them."""
    opened = EvaluationSet.open(folder)
    assert [recording.name for recording in opened.recordings] == ["more", "talk"]
    assert opened.recordings[0].reference == (Spoken("ann", 0.5, 2.0),)
    assert opened.recordings[0].samples().shape == (2 * SECOND,)


def test_the_digest_of_a_set_is_that_of_its_list_of_files(folder: Path) -> None:
    """It can be taken from names and digests alone; other files have no part in it."""
    names = ("more.flac", "more.rttm", "talk.flac", "talk.rttm")
    lines = "".join(f"{name} {digest_of((folder / name).read_bytes())}\n" for name in names)
    assert EvaluationSet.open(folder).digest == digest_of(lines.encode())
    (folder / "README.md").write_text("other words")
    assert EvaluationSet.open(folder).digest == digest_of(lines.encode())


@pytest.mark.parametrize("name", ["talk.flac", "talk.rttm"])
def test_another_content_is_another_set(folder: Path, name: str) -> None:
    """A changed recording or label shows in the digest."""
    before = EvaluationSet.open(folder).digest
    if name == "talk.flac":
        soundfile.write(folder / name, np.full(SECOND, 0.5), SECOND)
    else:
        (folder / name).write_text(RTTM.replace("ann", "bob"))
    assert EvaluationSet.open(folder).digest != before


def test_a_recording_that_changed_since_is_refused(folder: Path) -> None:
    """What is scored is what the digest says."""
    recording = EvaluationSet.open(folder).recordings[0]
    soundfile.write(recording.audio, np.full(SECOND, 0.5), SECOND)
    with pytest.raises(ContentCorrupt):
        recording.samples()


def _no_folder(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def _nothing_labelled(folder: Path) -> None:
    for path in folder.glob("*.rttm"):
        path.unlink()


def _two_recordings(folder: Path) -> None:
    soundfile.write(folder / "talk.wav", np.zeros(SECOND), SECOND)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_no_folder, "is no folder"),
        (_nothing_labelled, "holds no <name>.rttm"),
        (lambda folder: (folder / "talk.rttm").unlink(), "talk: a recording without talk.rttm"),
        (lambda folder: (folder / "talk.flac").unlink(), "talk.rttm has 0 recordings"),
        (_two_recordings, "talk.rttm has 2 recordings"),
        (lambda folder: (folder / "talk.rttm").write_text(";; nobody\n"), "names no speech"),
        (
            lambda folder: (folder / "talk.rttm").write_text(RTTM.replace(" 0.5 ", " 9.5 ")),
            "talk.rttm names no speech in the 2 s of talk.flac",
        ),
    ],
)
def test_a_set_with_gaps_is_refused(
    folder: Path, spoil: Callable[[Path], object], told: str
) -> None:
    """What is wrong with it is told when it is opened, not in the middle of a run."""
    spoil(folder)
    with pytest.raises(InvalidInput, match=told) as refused:
        EvaluationSet.open(folder)
    assert refused.value.reason == "EVALUATION_SET_INVALID"


def test_audio_that_cannot_be_decoded_is_told(folder: Path) -> None:
    """With the name of the file, before anything is run."""
    (folder / "talk.flac").write_bytes(b"no audio")
    with pytest.raises(InvalidInput, match=r"talk\.flac cannot be decoded") as refused:
        EvaluationSet.open(folder)
    assert refused.value.reason == "EVALUATION_SET_INVALID"
