"""What is measured of a folder of files that any system could have written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voiceflow.cli.evaluate.hypotheses import (
    ALIASES,
    Heard,
    read_ends,
    speech_path,
    tellings_path,
    write_heard,
    write_hypothesis,
)
from voiceflow.cli.evaluate.report import measure
from voiceflow.cli.evaluate.speech import SpeechFrames, write_speech
from voiceflow.errors import InvalidInput
from voiceflow.evaluation import EvaluationSet, Spoken, write_rttm
from voiceflow.evaluation.telling import Telling

SECONDS = 12
REFERENCE = (Spoken("A", 1.0, 4.0), Spoken("A", 4.4, 6.0), Spoken("B", 8.0, 10.0))
FOUND = (Spoken("S1", 1.0, 4.0), Spoken("S1", 4.4, 6.0), Spoken("S2", 8.0, 10.0))


@pytest.fixture
def labelled(tmp_path: Path) -> EvaluationSet:
    """Two recordings with the same reference; the name of one has a space."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("one", "and two"):
        soundfile.write(folder / f"{name}.wav", np.zeros(SECONDS * 16_000, np.float32), 16_000)
        (folder / f"{name}.rttm").write_text(write_rttm("x", REFERENCE))
    return EvaluationSet.open(folder)


def heard(found: tuple[Spoken, ...] = FOUND) -> Heard:
    """A system that tells all of it, frame by frame, a second after the audio."""
    frames = np.zeros(SECONDS * 25)
    for one in found:
        frames[round(one.start_seconds * 25) : round(one.end_seconds * 25)] = 1.0
    return Heard(
        "models/m/versions/1.0.0",
        final=found,
        aliased=tuple(Spoken("S1", one.start_seconds, one.end_seconds) for one in found),
        tellings=tuple(
            Telling(
                float(second + 1),
                float(second),
                tuple(
                    Spoken(
                        one.speaker,
                        max(one.start_seconds, float(second)),
                        min(one.end_seconds, second + 1.0),
                    )
                    for one in found
                    if one.start_seconds < second + 1 and one.end_seconds > second
                ),
            )
            for second in range(SECONDS)
        ),
        speech=tuple(
            SpeechFrames((number + 1) * 0.04, number * 0.04, 0.04, (float(value),))
            for number, value in enumerate(frames)
        ),
        ends_seconds=(4.2, 6.3, 10.3),
    )


@pytest.fixture
def folder(tmp_path: Path, labelled: EvaluationSet) -> Path:
    """What a perfect system said of them."""
    for one in labelled.recordings:
        write_heard(tmp_path / "out", one.name, heard())
    return tmp_path / "out"


def test_a_perfect_system_makes_no_error(folder: Path, labelled: EvaluationSet) -> None:
    """With either collar, in the end and two seconds after the audio; nobody is invented."""
    report = measure(folder, labelled)
    for rates in report.rates.values():
        assert rates.pooled.der_percent == rates.der_interval_percent.high == 0.0
        assert [score.speakers for score in rates.recordings] == ["2/2", "2/2"]
    assert list(report.rates) == [0.0, 0.5]
    assert report.streaming is not None
    assert report.streaming.by_delay[2.0].der_percent == 0.0
    assert report.streaming.by_delay[0.5].der_percent > 10.0
    assert report.streaming.speakers.invented == 0


def test_merged_labels_are_scored_apart(folder: Path, labelled: EvaluationSet) -> None:
    """Here they were merged wrongly: B is confused, and the rates of what was sent stay."""
    report = measure(folder, labelled)
    assert report.aliased is not None
    assert report.aliased.pooled.confusion_percent == pytest.approx(100 * 2 / 6.6)


def test_the_end_of_speech_is_measured_as_sent_and_as_it_could_be(
    folder: Path, labelled: EvaluationSet
) -> None:
    """The first event cut into a pause of 0.4 s; a longer wait would not have."""
    found = measure(folder, labelled).end_of_speech
    assert found is not None
    assert found.as_sent is not None
    assert found.as_sent.latency_seconds(50) == pytest.approx(0.3)
    assert found.as_sent.cut_in_percent == 100.0
    best = found.best()
    assert best is not None
    assert best.wait_seconds == pytest.approx(0.4)
    assert best.endings.cut_in_percent == 0.0
    assert found.at(0.5, 0.2).endings.cut_in_percent == 100.0


def test_only_the_rttm_files_are_needed(tmp_path: Path, labelled: EvaluationSet) -> None:
    """What the other files would say is not known, and not made up."""
    for one in labelled.recordings:
        write_hypothesis(tmp_path / "out", one.name, FOUND)
    report = measure(tmp_path / "out", labelled)
    unknown = (report.aliased, report.streaming, report.end_of_speech)
    assert unknown == (None, None, None)
    data = report.as_data()
    assert [data[name] for name in ("aliased", "streaming", "end_of_speech")] == [None] * 3


def test_the_figures_are_json_and_the_text_says_the_same(
    folder: Path, labelled: EvaluationSet
) -> None:
    """What there is none of is null, or a dash."""
    report = measure(folder, labelled)
    data = json.loads(json.dumps(report.as_data(), allow_nan=False))
    later = data["streaming"]["by_age"][-1]
    assert (later["from_seconds"], later["to_seconds"]) == (120.0, None)
    assert later["der_percent"] is None
    assert data["streaming"]["by_delay"][-1]["delay_seconds"] == "final"
    assert data["set_digest"] == labelled.digest
    text = report.as_text()
    assert "DER 0.0 % (95 % interval 0.0 to 0.0)" in text
    assert "| from 120 s on     |      0.0 |     - |" in text


@pytest.mark.parametrize("missing", ["one.rttm", "one.tellings.jsonl", "one.ends.json"])
def test_a_recording_that_a_folder_says_nothing_of_is_an_error(
    folder: Path, labelled: EvaluationSet, missing: str
) -> None:
    """Not left out: the rates would be of other recordings."""
    (folder / missing).unlink()
    with pytest.raises(InvalidInput, match=missing) as caught:
        measure(folder, labelled)
    assert caught.value.reason == "HYPOTHESIS_MISSING"


def test_a_merged_hypothesis_that_is_missing_is_an_error(
    folder: Path, labelled: EvaluationSet
) -> None:
    """Likewise."""
    (folder / ALIASES / "one.rttm").unlink()
    with pytest.raises(InvalidInput, match="aliases"):
        measure(folder, labelled)


@pytest.mark.parametrize(
    "frames",
    [
        [SpeechFrames(0.04, 0.0, 0.04, (0.1,)), SpeechFrames(0.12, 0.08, 0.04, (0.1,))],
        [SpeechFrames(0.04, 0.04, 0.04, (0.1,))],
        [SpeechFrames(0.04, 0.0, 0.04, (0.1,)), SpeechFrames(0.06, 0.04, 0.02, (0.1,))],
    ],
    ids=["hole", "late-start", "other-length"],
)
def test_frames_that_do_not_follow_each_other_are_an_error(
    folder: Path, labelled: EvaluationSet, frames: list[SpeechFrames]
) -> None:
    """All later ones would lie at the wrong place."""
    write_speech(speech_path(folder, "one"), frames)
    with pytest.raises(InvalidInput, match="one: ") as caught:
        measure(folder, labelled)
    assert caught.value.reason == "SPEECH_INVALID"


@pytest.mark.parametrize("text", ["", "{}", "[-1]", "[NaN]", '["soon"]'])
def test_times_that_are_none_are_an_error(folder: Path, text: str) -> None:
    """With what is allowed."""
    (folder / "one.ends.json").write_text(text)
    with pytest.raises(InvalidInput, match="list of times") as caught:
        read_ends(folder, "one")
    assert caught.value.reason == "ENDS_INVALID"


def test_a_name_with_white_space_is_one_field_of_the_rttm(folder: Path) -> None:
    """The file keeps the name; no field shifts."""
    lines = (folder / "and two.rttm").read_text().splitlines()
    assert {line.split()[1] for line in lines} == {"and_two"}
    assert tellings_path(folder, "and two").is_file()
