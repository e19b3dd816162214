"""A stream that goes on with the frames of another model in the same embedding space."""

from __future__ import annotations

import pytest

from tests.unit.pipeline.cutting import Script, Told
from tests.unit.pipeline.synthetic import (
    LIKE_1,
    conversation,
    labels_at,
    manifest,
    stream,
)
from voiceflow.artifact import LatencyMode, Manifest
from voiceflow.pipeline.diarizer import StreamDiarizer
from voiceflow.pipeline.model import Frames
from voiceflow.pipeline.moves import can_follow
from voiceflow.pipeline.turns import HopResult, SpeechEvent, SpeechEventKind

SCRIPT: Script = [
    (4.0, (1,)),
    (5.0, (2,)),
    (2.0, (1, 2)),
    (2.0, ()),
    (4.0, (1,)),
]


class Adopting(StreamDiarizer):
    """Adopts another model after so many hops."""

    hops = 0
    successor: Manifest | None = None
    at_hop = 18

    def push(self, frames: Frames) -> HopResult:
        """Takes a hop, of the other model once its time has come."""
        if self.hops == self.at_hop and self.successor is not None:
            self.adopt(self.successor)
        self.hops += 1
        return super().push(frames)


def told(successor: Manifest | None, script: Script = SCRIPT) -> Told:
    """A conversation that goes on with another model from 8.64 s on."""
    diarizer = Adopting(manifest())
    diarizer.successor = successor
    results = stream(conversation(script), diarizer)
    return Told(results, diarizer.summary(), diarizer.merges(), [])


def with_point(**changes: float) -> Manifest:
    """A manifest with other thresholds."""
    point = manifest().operating_point
    return manifest(version="1.1.0", operating_point=point.model_copy(update=changes))


def test_a_model_with_the_same_thresholds_changes_nothing() -> None:
    """All goes on: to the sample, and to the last event."""
    assert told(manifest(version="1.1.0")).results == told(None).results


@pytest.mark.parametrize(
    ("threshold", "seconds", "labels"),
    [
        ({"activity_threshold": 0.95}, 15.0, ()),
        ({"overlap_threshold": 0.95}, 9.5, ("S2",)),
    ],
)
def test_thresholds_of_the_model_hold_from_then_on(
    threshold: dict[str, float], seconds: float, labels: tuple[str, ...]
) -> None:
    """What was final stays; what comes is judged by the thresholds that belong to it."""
    results = told(with_point(**threshold)).results
    assert labels_at(results, 2.0) == ("S1",)
    assert labels_at(results, 5.0) == ("S2",)
    if labels == ("S2",):
        assert labels_at(results, seconds) in {("S1",), ("S2",)}
    else:
        assert labels_at(results, seconds) == labels


def test_events_are_judged_by_the_thresholds_of_the_model_too() -> None:
    """Nobody speaks any more by the new one's measure, and nobody interrupts."""
    kinds = [event.kind for event in told(with_point(speech_threshold=0.95)).speech_events()]
    assert kinds.count(SpeechEventKind.SPEECH_STARTED) == 1
    kinds = [event.kind for event in told(with_point(overlap_threshold=0.95)).speech_events()]
    assert SpeechEventKind.OVERLAP_STARTED not in kinds


def test_pauses_and_bursts_are_those_of_the_model() -> None:
    """A pause and a burst of 0.28 s: the one fills and tells them, the other tells and drops."""
    script: Script = [(10.0, (1,)), (0.28, ()), (3.0, (1,)), (2.0, ()), (0.28, (1,)), (4.0, ())]
    assert turns(script, with_point()) == [(0.0, 13.28), (15.28, 15.56)]
    strict = with_point(minimum_pause_seconds=0.2, minimum_turn_seconds=0.4)
    assert turns(script, strict) == [(0.0, 10.0), (10.28, 13.28)]


def test_how_long_another_speaker_must_be_heard_is_for_the_model_to_say() -> None:
    """Half a second of a known voice between two pieces of another."""
    script: Script = [(4.0, (2,)), (8.0, (1,)), (0.5, (2,)), (4.0, (1,))]
    assert len(turns(script, with_point())) == 4
    assert len(turns(script, with_point(smoothing_seconds=1.0))) == 2


def test_who_is_new_is_for_the_model_to_say() -> None:
    """Somebody a little like one of two who are known."""
    script: Script = [(4.0, (2,)), (5.0, (1,)), (2.0, ()), (4.0, (LIKE_1,))]
    for threshold, labels in ((0.4, ("S3",)), (0.1, ("S2",))):
        results = told(with_point(new_speaker_threshold=threshold), script).results
        assert labels_at(results, 13.0) == labels


def test_what_is_one_voice_is_for_the_model_to_say() -> None:
    """Pieces too short to name add up to a speaker, or are never alike."""
    pieces: Script = [(0.6, (2,)), (3.0, ())]
    script: Script = [(9.0, (1,)), (1.0, ()), *pieces * 4]
    for threshold, labels in ((0.6, ("S2",)), (1.0, ("UNKNOWN",))):
        results = told(with_point(same_speaker_threshold=threshold), script).results
        assert labels_at(results, 10.3 + 3 * 3.6) == labels


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("frame_samples", 320),
        ("look_ahead_frames", 7),
        ("tracks", 1),
        ("embedding_dim", 16),
        ("hop_samples", {LatencyMode.DENSITY: 7680}),
    ],
)
def test_frames_of_another_form_cannot_follow(field: str, value: object) -> None:
    """A hop boundary is none for a model with other frames, or with other hops."""
    assert not can_follow(manifest(), manifest(**{field: value}))
    assert not can_follow(manifest(**{field: value}), manifest())


def test_what_a_model_means_and_measures_is_no_matter_of_form() -> None:
    """Another version, space, or threshold: whether it may is for others to say."""
    assert can_follow(manifest(), manifest(embedding_space="other", state_space=None))
    assert can_follow(manifest(), with_point(speech_threshold=0.9))


def turns(script: Script, successor: Manifest) -> list[tuple[float, float]]:
    """Where the turns of a conversation are, in seconds."""
    return [(start / 16_000, end / 16_000) for _, start, end in told(successor, script).turns()]


def test_how_long_silence_ends_speech_holds_from_then_on() -> None:
    """A pause that would have ended it with the model before does not."""
    script: Script = [(9.6, (1,)), (0.4, ()), (4.0, (1,))]

    def ends(successor: Manifest | None) -> int:
        events = [event for result in told(successor, script).results for event in result.events]
        return sum(
            isinstance(event, SpeechEvent) and event.kind is SpeechEventKind.SPEECH_ENDED
            for event in events
        )

    assert ends(None) == 2
    assert ends(with_point(speech_end_seconds=0.6)) == 1
