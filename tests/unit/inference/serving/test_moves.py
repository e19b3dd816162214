"""What two loaded models claim of each other is believed only where it is seen in what they say."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.fakes import bad_models
from tests.fakes.models import FloatArray, Spoken, tones, write_stream_package
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow.pipeline.model import BoundModel, Frames, State
from voiceflow_inference.serving.moves import Verifier, claimed_how, synthetic_conversation
from voiceflow_inference.serving.placing import How

Load = Callable[..., BoundModel]


def two_tones() -> FloatArray:
    """Twelve seconds of two voices that take turns."""
    return tones(*(Spoken((band,), 1.2) for band in (3, 11) * 5))


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Writes a package of the tiny streaming model, changed, and loads it."""

    def _load(version: str, *, graph: bytes = b"", **changes: object) -> BoundModel:
        folder = write_stream_package(tmp_path / version, version, graph=graph, **changes)
        return bind(load_package(folder))

    return _load


@pytest.fixture
def verifier() -> Verifier:
    """It lets models hear tones."""
    return Verifier(two_tones)


def test_same_memory_is_carried(load: Load, verifier: Verifier) -> None:
    """Where the other file of the same function goes on with the memory as with its own."""
    old, new = load("1.0.0"), load("1.0.1", licence="MIT")
    assert verifier.verify(old, new) is How.CARRIED
    assert verifier.verify(new, old) is How.CARRIED


def test_a_false_claim_on_a_state_space_is_not_believed(load: Load, verifier: Verifier) -> None:
    """Its memory is ten times as large: vectors agree, so the audio is replayed."""
    old, new = load("1.0.0"), load("1.0.1", graph=bad_models.other_state())
    assert claimed_how(old.manifest, new.manifest) is How.CARRIED
    assert verifier.verify(old, new) is How.REPLAYED


def test_another_state_space_is_replayed(load: Load, verifier: Verifier) -> None:
    """Vectors agree."""
    old = load("1.0.0")
    new = load("1.1.0", graph=bad_models.other_state(), state_space="tones-2")
    assert verifier.verify(old, new) is How.REPLAYED


def test_a_false_claim_on_an_embedding_space_is_not_believed(
    load: Load, verifier: Verifier, caplog: pytest.LogCaptureFixture
) -> None:
    """Its vectors mean something else, whatever it says of its memory: clients are told."""
    old = load("1.0.0")
    for version, space in (("1.0.1", "tones-1"), ("1.1.0", "tones-2")):
        new = load(version, graph=bad_models.other_vectors(), state_space=space)
        with caplog.at_level(logging.WARNING):
            assert verifier.verify(old, new) is How.TOLD
        assert "seen here: told" in caplog.text


@pytest.mark.parametrize(
    ("change", "how"),
    [
        ({"embedding_space": "tones-2"}, How.TOLD),
        ({"look_ahead_frames": 3}, How.TOLD),
        ({"tracks": 1}, How.TOLD),
        ({"embedding_dim": 8}, How.TOLD),
        ({"frame_samples": 320}, How.TOLD),
        ({"hop_samples": {"density": 6400}}, How.TOLD),
        ({"state_space": None}, How.REPLAYED),
        ({"state_space": "tones-2", "context_seconds": 0.3}, How.REPLAYED),
        ({"state_space": "tones-2", "context_seconds": 0.5}, How.TOLD),
        ({"context_seconds": 0.5}, How.CARRIED),
    ],
)
def test_claims_are_those_of_the_manifests(load: Load, change: dict[str, object], how: How) -> None:
    """Frames of another form cannot follow; audio is kept for the context of the old one alone."""
    old = load("1.0.0").manifest
    assert claimed_how(old, old.model_validate(old.model_dump() | change)) is how
    both_without = old.model_copy(update={"state_space": None})
    assert claimed_how(both_without, both_without) is How.REPLAYED


def test_a_false_claim_with_a_longer_context_is_told(load: Load, verifier: Verifier) -> None:
    """The memory cannot be carried, and not enough audio is kept."""
    old = load("1.0.0")
    new = load("1.0.1", graph=bad_models.other_state(), context_seconds=0.5)
    assert verifier.verify(old, new) is How.TOLD


class Raising:
    """Claims what another model does, and fails."""

    def __init__(self, model: BoundModel) -> None:
        self.manifest = model.manifest.model_copy(update={"source_commit": "0" * 40})
        self.state_shapes = model.state_shapes

    def run(self, _audio: FloatArray, _state: State) -> tuple[Frames, dict[str, FloatArray]]:
        """Fails."""
        raise RuntimeError("as told")

    def terminate(self) -> None:
        """Nothing runs."""


def test_a_model_that_fails_is_not_believed(load: Load, verifier: Verifier) -> None:
    """Nothing is raised: streams are told."""
    old = load("1.0.0")
    assert verifier.verify(old, Raising(old)) is How.TOLD


def test_a_pair_is_heard_once(load: Load) -> None:
    """The same two again are answered from memory; audio is made only if something is heard."""
    asked = 0

    def audio() -> FloatArray:
        nonlocal asked
        asked += 1
        return two_tones()

    verifier, old, new = Verifier(audio), load("1.0.0"), load("1.0.1", licence="MIT")
    other = load("2.0.0", embedding_space="tones-2")
    assert verifier.verify(old, other) is How.TOLD
    assert asked == 0
    assert verifier.verify(old, new) is verifier.verify(old, new) is How.CARRIED
    assert asked == 1


def test_the_conversation_is_speech_that_says_something() -> None:
    """Twelve seconds, made once."""
    audio = synthetic_conversation()
    assert audio.shape == (12 * 16_000,)
    assert np.abs(audio).max() > 0.1
    assert synthetic_conversation() is audio
