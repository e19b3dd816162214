"""Labelled conversations and error rates over them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voiceflow import evaluation
from voiceflow.artifact import digest_of
from voiceflow.errors import ContentCorrupt, InvalidInput, NotAllowedNow
from voiceflow.evaluation import EvaluationSet, Scorer, Spoken, read_audio, read_rttm
from voiceflow.pipeline.turns import Region

RTTM = "SPEAKER talk 1 0.5 1.5 <NA> <NA> ann <NA> <NA>\n;; a comment\n"
REFERENCE = [Spoken("ann", 0.0, 4.0), Spoken("bob", 4.0, 8.0)]
SECOND = 16_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two labelled recordings of two seconds, and a file that is neither."""
    for name in ("talk", "more"):
        soundfile.write(tmp_path / f"{name}.flac", np.zeros(2 * SECOND), SECOND)
        (tmp_path / f"{name}.rttm").write_text(RTTM)
    (tmp_path / "README.md").write_text("about them")
    return tmp_path


def test_the_parts_of_an_error_are_told_apart() -> None:
    """Half of Ann missed, half of Bob taken for Ann, a second of silence called speech."""
    found = [
        Region(0, 2 * SECOND, ("S1",)),
        Region(4 * SECOND, 6 * SECOND, ("S1",)),
        Region(6 * SECOND, 8 * SECOND, ("S2",)),
        Region(8 * SECOND, 9 * SECOND, ("S2",)),
    ]
    score = Scorer().add("talk", REFERENCE, found, 10 * SECOND)
    assert (score.missed_percent, score.confusion_percent) == (25.0, 25.0)
    assert score.false_alarm_percent == 12.5
    assert score.der_percent == 62.5
    assert score.speakers == "2/2"


def test_rates_are_pooled_over_reference_speech() -> None:
    """A recording counts by how much is spoken in it, not as one of several."""
    scorer = Scorer()
    scorer.add(
        "right",
        REFERENCE,
        [Region(0, 4 * SECOND, ("S1",)), Region(4 * SECOND, 8 * SECOND, ("S2",))],
        8 * SECOND,
    )
    scorer.add("missed", [Spoken("ann", 0.0, 2.0)], [], 2 * SECOND)
    assert scorer.pooled().der_percent == pytest.approx(20.0)
    assert scorer.pooled().reference_seconds == pytest.approx(10.0)


def test_overlap_is_scored_without_a_collar() -> None:
    """Whoever speaks at the same time counts twice, up to the very edge."""
    both = [Spoken("ann", 0.0, 1.0), Spoken("bob", 0.0, 1.0)]
    score = Scorer().add("talk", both, [Region(0, SECOND, ("S1",))], SECOND)
    assert score.der_percent == 50.0


def test_another_rate_is_resampled(tmp_path: Path) -> None:
    """What a model hears has 16 kHz."""
    soundfile.write(tmp_path / "low.wav", np.zeros((800, 2)), 8000)
    assert read_audio(tmp_path / "low.wav").shape == (1600,)


def test_a_reference_gives_speakers_and_times() -> None:
    """Only the lines that name a speaker count."""
    assert read_rttm(RTTM) == [Spoken("ann", 0.5, 2.0)]


@pytest.mark.parametrize(
    "line",
    [
        "SPEAKER talk 1 0.5",
        "SPEAKER talk 1 x 1.5 a b ann",
        "SPEAKER talk 1 -1 2 a b ann",
        "SPEAKER talk 1 nan 2 a b ann",
    ],
)
def test_a_line_that_is_none_is_refused(line: str) -> None:
    """The line is named, and what is allowed."""
    with pytest.raises(InvalidInput, match="line 2") as refused:
        read_rttm(f"{RTTM.splitlines()[0]}\n{line}\n", "talk.rttm")
    assert refused.value.reason == "REFERENCE_INVALID"


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


def test_a_missing_scorer_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """pyannote.metrics comes with an extra, and the message says which."""

    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(NotAllowedNow, match=r"voiceflow\[registry\]") as refused:
        Scorer()
    assert refused.value.reason == "SCORER_MISSING"


def test_scoring_is_imported_only_where_it_is_used() -> None:
    """Importing the module brings no pyannote: a sandboxed process need not load it."""
    source = Path(evaluation.__file__).read_text("utf-8")
    assert "import pyannote" not in source
    assert "from pyannote" not in source
