"""A recording diarized as a stream that moves from model to model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.models import Spoken, tones
from voiceflow.artifact import LatencyMode, Manifest
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow.pipeline.model import BoundModel, FloatArray, Frames, State
from voiceflow.pipeline.offline import Switch, SwitchKind, diarize, diarize_switching
from voiceflow.pipeline.replay import from_int16, replay_start_samples, to_int16
from voiceflow.pipeline.turns import HopResult

AUDIO = tones(
    Spoken((3,), 4.0),
    Spoken((), 0.5),
    Spoken((9,), 3.0),
    Spoken((3, 9), 1.3),
    Spoken((3,), 4.0),
    Spoken((9,), 3.1),
    Spoken((), 1.0),
)
HOP = 7680


class Turned:
    """A model whose embeddings are another's turned, and that says so."""

    def __init__(self, model: BoundModel) -> None:
        self._model = model
        dim = model.manifest.embedding_dim
        turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(dim, dim)))
        self._turn: FloatArray = turn.astype(np.float32)
        self.manifest: Manifest = model.manifest.model_copy(update={"embedding_space": "turned"})
        self.state_shapes = model.state_shapes

    def run(self, audio: FloatArray, state: State) -> tuple[Frames, dict[str, FloatArray]]:
        """As the other, but for the embeddings."""
        frames, state = self._model.run(audio, state)
        return Frames(frames.speech, frames.activity, frames.embedding @ self._turn), state

    def terminate(self) -> None:
        """Nothing to end."""


class Counting:
    """A model that keeps what it was asked to hear."""

    def __init__(self, model: BoundModel) -> None:
        self._model = model
        self.manifest: Manifest = model.manifest
        self.state_shapes: Mapping[str, tuple[int, ...]] = model.state_shapes
        self.heard: list[FloatArray] = []
        self.states: list[State] = []

    def run(self, audio: FloatArray, state: State) -> tuple[Frames, dict[str, FloatArray]]:
        """As the other."""
        self.heard.append(audio[0].copy())
        self.states.append(state)
        return self._model.run(audio, state)

    def terminate(self) -> None:
        """Nothing to end."""


@pytest.fixture(scope="module")
def model(stream_package: Path) -> BoundModel:
    """A model that hears tones."""
    return bind(load_package(stream_package))


def finals(results: list[HopResult]) -> tuple[Any, ...]:
    """All that is final."""
    return (
        [turn for result in results for turn in result.turns_final],
        [event for result in results for event in result.events],
        results[-1].final_until_samples,
    )


@pytest.mark.parametrize("mode", LatencyMode)
def test_without_a_switch_it_is_diarize(model: BoundModel, mode: LatencyMode) -> None:
    """Result by result."""
    assert diarize_switching(AUDIO, model, [], mode) == diarize(model, AUDIO, mode=mode)


@pytest.mark.parametrize("contract", ["stream", "window"])
@pytest.mark.parametrize("how", SwitchKind)
@pytest.mark.parametrize("mode", LatencyMode)
def test_a_model_that_is_the_same_goes_on_as_if_there_were_no_switch(
    contract: str, mode: LatencyMode, how: SwitchKind, request: pytest.FixtureRequest
) -> None:
    """At the start, in speech, in silence, in overlap, in the padding, and several times."""
    model = bind(load_package(request.getfixturevalue(f"{contract}_package")))
    whole = finals(diarize(model, AUDIO, mode=mode))
    places = [0, 6 * HOP, 9 * HOP, 16 * HOP, 20 * HOP, len(AUDIO) // HOP * HOP, 10**9]
    for place in places:
        assert finals(diarize_switching(AUDIO, model, [Switch(place, model, how)], mode)) == whole
    switches = [Switch(place, model, how) for place in places]
    assert finals(diarize_switching(AUDIO, model, switches, mode)) == whole


def test_a_model_that_means_other_things_by_its_vectors_finds_the_speakers_again(
    model: BoundModel,
) -> None:
    """Resumed there and back: turns and labels are as if nothing had happened."""
    whole, *_ = finals(diarize(model, AUDIO))
    switches = [
        Switch(18 * HOP, Turned(model), SwitchKind.RESUMED),
        Switch(28 * HOP, model, SwitchKind.RESUMED),
    ]
    turns, *_ = finals(diarize_switching(AUDIO, model, switches))
    assert [(turn.speaker, turn.start_samples, turn.end_samples) for turn in turns] == [
        (turn.speaker, turn.start_samples, turn.end_samples) for turn in whole
    ]
    assert {turn.speaker for turn in turns} == {"S1", "S2"}


def test_what_is_carried_is_the_memory_and_every_hop_is_computed_once(model: BoundModel) -> None:
    """By one model or by the other."""
    first, second = Counting(model), Counting(model)
    diarize_switching(AUDIO, first, [Switch(5 * HOP, second, SwitchKind.CARRIED)])
    heard = np.concatenate([*first.heard, *second.heard])
    np.testing.assert_array_equal(heard[: len(AUDIO)], AUDIO)
    assert sum(map(len, first.heard)) == 5 * HOP
    assert np.any(second.states[0]["power"])


@pytest.mark.parametrize("replayed_from", [None, 2 * HOP])
def test_what_is_replayed_is_the_last_audio_as_it_is_kept(
    model: BoundModel, replayed_from: int | None
) -> None:
    """In 16 bits, from where the switch says, or the model's own context; the rest once."""
    first, second = Counting(model), Counting(model)
    switch = Switch(5 * HOP, second, SwitchKind.REPLAYED, replayed_from)
    diarize_switching(AUDIO, first, [switch])
    start = replayed_from or 4 * HOP  # a context of 0.4 s is a hop of 0.48 s
    heard = np.concatenate(second.heard)
    np.testing.assert_array_equal(
        heard[: 5 * HOP - start], from_int16(to_int16(AUDIO[start : 5 * HOP]))
    )
    assert not np.any(second.states[0]["power"])
    np.testing.assert_array_equal(heard[5 * HOP - start :][:HOP], AUDIO[5 * HOP : 6 * HOP])


@given(st.lists(st.integers(-32_768, 32_767), max_size=50))
def test_audio_of_16_bits_is_kept_exactly(samples: list[int]) -> None:
    """And louder audio is clipped, not wrapped."""
    audio = (np.array(samples, np.float64) / 32_768).astype(np.float32)
    np.testing.assert_array_equal(from_int16(to_int16(audio)), audio)
    loud = np.array([1.0, 2.0, -2.0], np.float32)
    assert to_int16(loud).tolist() == [32_767, 32_767, -32_768]


def test_a_replay_begins_with_a_whole_hop_and_holds_the_context(model: BoundModel) -> None:
    """Or where the stream began."""
    manifest = model.manifest
    assert replay_start_samples(10 * HOP, manifest, LatencyMode.DENSITY) == 9 * HOP
    assert replay_start_samples(10 * HOP, manifest, LatencyMode.AGENT) == 10 * HOP - 5 * 1280
    assert replay_start_samples(1280, manifest, LatencyMode.AGENT) == 0
