"""What the baselines say, on conversations that can be written down."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.baselines import one_label, one_speaker, oracle_speech, told_speech
from tests.fakes.models import Spoken as Sounding
from tests.fakes.models import tones, write_stream_package
from voiceflow.cli.evaluate.scores import error_rates
from voiceflow.evaluation import EvaluationSet, Spoken
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow.pipeline.model import BoundModel, Frames
from voiceflow.pipeline.offline import model_frames


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> BoundModel:
    """Hears tones."""
    return bind(load_package(write_stream_package(tmp_path_factory.mktemp("m") / "1.0.0")))


@pytest.fixture
def labelled(tmp_path: Path) -> EvaluationSet:
    """Two tones after each other, and a pause between them that the reference calls speech."""
    audio = tones(Sounding((2,), 3.0), Sounding((), 1.0), Sounding((8,), 3.0))
    soundfile.write(tmp_path / "one.wav", audio, 16_000)
    lines = ("SPEAKER one 1 0 4 <NA> <NA> A <NA> <NA>", "SPEAKER one 1 4 3 <NA> <NA> B <NA> <NA>")
    (tmp_path / "one.rttm").write_text("\n".join(lines))
    return EvaluationSet.open(tmp_path)


def test_one_speaker_speaks_from_beginning_to_end(labelled: EvaluationSet) -> None:
    """Nothing is missed; what is not the longest speaker's is confused."""
    pooled = error_rates(one_speaker(labelled), labelled).pooled
    assert pooled.missed_percent == pooled.false_alarm_percent == 0.0
    assert pooled.confusion_percent == pytest.approx(100 * 3 / 7)


def test_one_label_is_the_same_speech_by_one_voice() -> None:
    """Where two spoke at once, one does."""
    told = {"a": [Spoken("S1", 0.0, 2.0), Spoken("S2", 1.0, 3.0), Spoken("S2", 5.0, 6.0)]}
    assert one_label(told) == {"a": [Spoken("S1", 0.0, 3.0), Spoken("S1", 5.0, 6.0)]}


def test_told_speech_is_the_references_in_every_frame(model: BoundModel) -> None:
    """Frames of `speech` are told in time, those of `activity` later by the look-ahead."""
    samples = 16_000 * 4
    reference = [Spoken("A", 0.5, 2.0), Spoken("B", 1.5, 3.0)]
    change = told_speech(reference, model.manifest, samples)
    frames = [change(one) for one in model_frames(model, np.zeros(samples, np.float32))]
    frame_seconds = model.manifest.frame_samples / 16_000
    speech = np.concatenate([one.speech for one in frames])
    activity = np.concatenate([one.activity for one in frames])
    late = model.manifest.look_ahead_frames
    for seconds, voices in ((0.2, 0), (1.0, 1), (1.7, 2), (2.7, 1), (3.5, 0)):
        at = int(seconds / frame_seconds)
        assert speech[at] == (voices > 0)
        assert activity[at + late].tolist() == [voices > 0, voices > 1]
    first = round(0.5 / frame_seconds - 0.5)  # the frame with the reference's start in its middle
    assert np.flatnonzero(speech)[0] == first
    assert np.flatnonzero(activity[:, 0])[0] == first + late


def test_told_speech_leaves_the_voices_alone(model: BoundModel) -> None:
    """The embeddings are the model's."""
    (first, *_) = model_frames(model, tones(Sounding((2,), 1.0)))
    changed: Frames = told_speech([], model.manifest, 16_000)(first)
    assert changed.embedding is first.embedding


def test_with_oracle_speech_nothing_is_missed(model: BoundModel, labelled: EvaluationSet) -> None:
    """Also what no model could hear; both voices are told apart by what it hears of them."""
    pooled = error_rates(oracle_speech(model, labelled), labelled).pooled
    assert pooled.missed_percent < 1.0
    assert pooled.false_alarm_percent == 0.0
    assert pooled.confusion_percent < 20.0
