"""Two-second verification of any package's vectors, and of the peer's where it can be run."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks import accuracy_systems
from benchmarks.accuracy_systems import System
from benchmarks.accuracy_voices import embed_by, left_rates, run_verification
from tests.fakes.models import Spoken, tones
from training import paths
from training.shape import FRAME_SAMPLES
from training.verification import graph_embed

VOICES = {"low": 3, "high": 9}


@pytest.fixture
def speech(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two speakers, a tone each, as a set of speech has them."""
    root = tmp_path / "speech"
    (root / "eval").mkdir(parents=True)
    head = ["file", "split", "set", "speaker", "start_seconds", "end_seconds"]
    head += ["language", "channel", "speech"]
    with (root / "utterances.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(head)
        for name, band in VOICES.items():
            soundfile.write(root / "eval" / f"{name}.wav", tones(Spoken((band,), 6.2)), 16_000)
            where = f"eval/{name}.wav"
            row = [where, "eval", "tones", name, "0.000", "6.200", "", "", "0.000-6.200"]
            rows.writerow(row)
    monkeypatch.setattr(paths, "SPEECH", root)
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    return root


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where a run has left what the systems said."""
    for system in (System.DENSITY, System.PEER):
        (tmp_path / "out" / system).mkdir(parents=True)
    return tmp_path / "out"


@pytest.mark.parametrize("package", ["stream_package", "window_package"])
def test_either_contract_has_a_vector_for_a_stretch(
    package: str, request: pytest.FixtureRequest
) -> None:
    """A stateful model and a windowed one, neither of the shape that is trained now."""
    audio = np.stack([tones(Spoken((band,), 2.0)) for band in VOICES.values()])
    vectors = embed_by(request.getfixturevalue(package))(audio)
    assert vectors.argmax(axis=1).tolist() == list(VOICES.values())


def test_vectors_are_taken_for_the_frames_that_they_are_of(stream_package: Path) -> None:
    """The look-ahead is met: each part of a stretch counts for as long as it is."""
    audio = np.stack([tones(Spoken((2,), 0.4), Spoken((8,), 1.6))])
    (vector,) = embed_by(stream_package)(audio)
    expected = 0.2 * np.eye(16)[2] + 0.8 * np.eye(16)[8]
    assert vector.tolist() == pytest.approx(expected.tolist(), abs=1e-6)


def test_a_windowed_model_hears_a_stretch_in_one_window(window_package: Path) -> None:
    """Not hop by hop, where its vectors would be of all that came before."""
    rng = np.random.default_rng(1)
    audio = rng.standard_normal((2, 32_000)).astype(np.float32) * 0.1
    whole = graph_embed(window_package / "model.onnx")(audio)
    assert np.array_equal(embed_by(window_package)(audio), whole)


@pytest.mark.usefixtures("speech")
def test_the_rates_of_both_are_left_for_the_report(
    stream_package: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours tell tones apart; why the peer's encoder could not is told."""
    monkeypatch.setattr(accuracy_systems, "PEER_PYTHON", Path(sys.executable))
    why = run_verification(stream_package, out, peer=True)
    assert why is not None
    assert "No module named" in why
    assert left_rates(out, peer=True) == {System.DENSITY: {"tones": 0.0, "pooled": 0.0}}
    with np.load(out / "stretches.npz") as held:
        assert held["audio"].shape == (6, 50 * FRAME_SAMPLES)
    (out / System.PEER / "equal-error.json").write_text('{"pooled": 8.5}')
    assert left_rates(out, peer=True)[System.PEER] == {"pooled": 8.5}
    assert System.PEER not in left_rates(out, peer=False)


def test_without_speech_nothing_is_verified(
    stream_package: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever measures recordings of his own may not have the project's speakers."""
    monkeypatch.setattr(paths, "SPEECH", tmp_path / "none")
    assert run_verification(stream_package, out, peer=True) is None
    assert left_rates(out, peer=True) == {}
