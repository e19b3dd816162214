"""A session turns bytes into replies by itself: no transport, no engine thread."""

from __future__ import annotations

import numpy as np
import pytest

from tests.fakes.places import DirectLane, FakePlaces, direct, engine_of
from tests.unit.inference.fakes import Adder
from voiceflow.artifact import LatencyMode
from voiceflow_inference.audio import AudioEncoding, AudioFormat
from voiceflow_inference.batcher import Urgency
from voiceflow_inference.session import Session, algorithmic_latency_samples
from voiceflow_inference.stream_config import StreamConfig

SECOND = bytes(32_000)


class Clock:
    """Seconds that a test moves."""

    seconds = 0.0

    def __call__(self) -> float:
        """Now."""
        return self.seconds


def config(rate_hertz: int = 16_000) -> StreamConfig:
    """PCM16, density."""
    audio_format = AudioFormat(AudioEncoding.PCM16, rate_hertz)
    return StreamConfig(
        audio_format,
        LatencyMode.DENSITY,
        0,
        20,
        send_provisional_turns=False,
        send_activity=False,
        session="s",
    )


@pytest.fixture
def clock() -> Clock:
    """At 0."""
    return Clock()


@pytest.fixture
def session(clock: Clock) -> Session:
    """A live one, alone on the adder."""
    places = FakePlaces(direct(Adder()))
    place = places.place("s")
    return Session(config(), place, places, urgency=Urgency.LIVE, horizon_seconds=2, clock=clock)


@pytest.fixture
def lane(session: Session) -> DirectLane:
    """The session's."""
    return engine_of(session.generation).lanes[0]


async def test_hops_are_asked_for_as_audio_comes(session: Session, lane: DirectLane) -> None:
    """Each full hop at once; the rest, in whole frames, by a flush; what is left at the end."""
    assert [reply async for reply in session.hear(SECOND[: 2 * 1279])] == []
    assert len([reply async for reply in session.hear(SECOND[: 2 * 1930])]) == 2
    assert [length for length, *_ in lane.asked] == [1280, 1280]
    assert len([reply async for reply in session.flush()]) == 2
    assert lane.asked[-1][0] == 640
    replies = [reply async for reply in session.finish()]
    assert lane.asked[-1][0] == 640  # nine samples and silence
    assert replies[-1].result.final_until_samples == 3209
    summary = session.summary(complete=True)
    assert (summary.covered_samples, summary.complete) == (3209, True)


async def test_audio_ahead_of_real_time_is_in_the_lower_class(
    session: Session, lane: DirectLane, clock: Clock
) -> None:
    """Ten seconds dumped at once start live and go on in the background, until time has passed."""
    async for _ in session.hear(SECOND * 10):
        pass
    classes = [urgency for *_, urgency in lane.asked]
    live = classes.count(Urgency.LIVE)
    assert classes == [Urgency.LIVE] * live + [Urgency.BACKGROUND] * (len(classes) - live)
    assert 2.0 <= live * 0.08 <= 2.2
    clock.seconds = 10.0
    async for _ in session.hear(SECOND):
        pass
    assert lane.asked[-1][2] is Urgency.LIVE


async def test_arrival_is_when_the_bytes_came(
    session: Session, lane: DirectLane, clock: Clock
) -> None:
    """Every hop of a message counts from it, so that the oldest audio goes first."""
    clock.seconds = 7.5
    async for _ in session.hear(SECOND):
        pass
    assert {arrived for _, arrived, _ in lane.asked} == {7.5}


def test_closing_gives_up_the_lane(session: Session, lane: DirectLane) -> None:
    """Whatever state the stream is in."""
    session.close()
    assert lane.closed


def test_algorithmic_latency_has_its_parts() -> None:
    """Hop and look-ahead, and for other rates the resampler's delay."""
    manifest = Adder().manifest
    assert algorithmic_latency_samples(config(), manifest) == 1280
    assert algorithmic_latency_samples(config(8000), manifest) > 1280 + 1000
    ahead = manifest.model_copy(update={"look_ahead_frames": 3})
    assert algorithmic_latency_samples(config(), ahead) == 1280 + 3 * 640


async def test_activity_covers_each_frame_once() -> None:
    """Where the audio ends within a hop, frames of the padding are left out."""
    asked = config()
    asked = StreamConfig(
        asked.audio_format,
        asked.latency_mode,
        0,
        20,
        send_provisional_turns=False,
        send_activity=True,
        session="s",
    )
    model = Adder()
    model.manifest = model.manifest.model_copy(update={"look_ahead_frames": 3})
    places = FakePlaces(direct(model))
    session = Session(asked, places.place("s"), places, urgency=Urgency.LIVE, horizon_seconds=2)
    replies = [reply async for reply in session.hear(SECOND[: 2 * 3000])]
    replies += [reply async for reply in session.finish()]
    seen = [reply.activity for reply in replies if reply.activity is not None]
    assert sum(len(activity.speech) for activity in seen) == 5
    assert sum(len(activity.tracks) for activity in seen) == 5
    assert seen[0].tracks_start_samples == seen[0].speech_start_samples == 0
    assert np.concatenate([activity.speech for activity in seen]).shape == (5,)
    assert all(activity.speech_start_samples <= 3000 for activity in seen)
