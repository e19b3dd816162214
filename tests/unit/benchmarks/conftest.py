"""A small labelled set, and what systems said of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from voiceflow.cli.evaluate.hypotheses import Heard, write_heard
from voiceflow.cli.evaluate.speech import SpeechFrames
from voiceflow.evaluation import EvaluationSet, Spoken, write_rttm
from voiceflow.evaluation.telling import Telling

REFERENCE = (
    Spoken("A", 1.0, 4.0),
    Spoken("A", 4.4, 6.0),
    Spoken("B", 5.5, 7.0),
    Spoken("B", 8.0, 10.0),
)


@pytest.fixture
def labelled(tmp_path: Path) -> EvaluationSet:
    """A set named `simulated` of two recordings."""
    folder = tmp_path / "data" / "simulated"
    folder.mkdir(parents=True)
    for name in ("one", "two"):
        soundfile.write(folder / f"{name}.wav", np.zeros(192_000, np.float32), 16_000)
        (folder / f"{name}.rttm").write_text(write_rttm(name, REFERENCE))
    return EvaluationSet.open(folder)


@pytest.fixture
def told(tmp_path: Path, labelled: EvaluationSet) -> Path:
    """What a system said of it that misses the overlap and confuses a turn."""
    folder = tmp_path / "told"
    found = (
        Spoken("S1", 1.0, 4.0),
        Spoken("S2", 4.4, 6.0),
        Spoken("S2", 6.0, 7.2),
        Spoken("S2", 8.0, 10.0),
    )
    tellings = (Telling(12.0, 0.0, found),)
    speech = (SpeechFrames(12.0, 0.0, 0.04, (0.9,) * 300),)
    for one in labelled.recordings:
        write_heard(folder, one.name, Heard("m", found, found, tellings, speech, (6.4,)))
    return folder
