"""A session turns bytes into replies by itself: no transport, no engine thread."""

from __future__ import annotations

import asyncio
from time import monotonic_ns

import numpy as np
import pytest

from tests.fakes.places import DirectLane, FakePlaces, direct, engine_of
from tests.unit.inference.fakes import Adder
from voiceflow.artifact import LatencyMode
from voiceflow.catalog.channels import Role
from voiceflow.pipeline.model import FloatArray, Frames, State
from voiceflow_inference.audio import AudioEncoding, AudioFormat
from voiceflow_inference.batcher import ModelFailed, Urgency
from voiceflow_inference.serving.generation import Generation
from voiceflow_inference.serving.placing import How, Place
from voiceflow_inference.session import Session, algorithmic_latency_samples
from voiceflow_inference.stages import Arrival, Stage
from voiceflow_inference.stream_config import StreamConfig

SECOND = bytes(32_000)


class Framewise(Adder):
    """Each frame says how loud it begins; nothing depends on how many come at once."""

    def run(self, audio: FloatArray, state: State) -> tuple[Frames, dict[str, FloatArray]]:
        """Loud is speech."""
        frames, state = super().run(audio, state)
        speech = np.abs(audio.reshape(len(audio), -1, 640)[:, :, 0]) * 4
        return Frames(speech, speech[:, :, None], frames.embedding), state


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


async def test_a_recording_asks_for_hops_together_and_tells_of_each(clock: Clock) -> None:
    """However it is cut, it says what a live stream says; what is short goes alone."""
    rng = np.random.default_rng(0)
    samples = rng.integers(-9000, 9000, 10 * 1280 + 600, np.int16)

    async def told(session: Session, sizes: list[int]) -> list[object]:
        data, replies = samples.tobytes(), []
        for size in sizes:
            replies += [reply async for reply in session.hear(data[: 2 * size])]
            data = data[2 * size :]
        replies += [reply async for reply in session.hear(data)]
        replies += [reply async for reply in session.finish()]
        assert sum(r.times.hops for r in replies if r.times is not None) == len(replies) - 1
        return [reply.result for reply in replies]

    def session_of(urgency: Urgency) -> Session:
        generation = direct(Framewise())
        engine_of(generation).recording_hops = 4
        places = FakePlaces(generation)
        place = places.place("s")
        return Session(config(), place, places, urgency=urgency, horizon_seconds=2, clock=clock)

    live = session_of(Urgency.LIVE)
    expected = await told(live, [])
    assert len(expected) == 12
    for sizes in ([], [100, 5000, 1, 2000]):
        recording = session_of(Urgency.BACKGROUND)
        assert await told(recording, sizes) == expected
        lengths = [length for length, *_ in engine_of(recording.generation).lanes[0].asked]
        assert lengths == [4 * 1280, 4 * 1280, 2 * 1280, 640]


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


async def test_what_was_computed_in_the_lower_class_does_not_count(
    session: Session, lane: DirectLane, clock: Clock
) -> None:
    """A stream that hears a while again at once, or brings what it could not send, is live then."""
    async for _ in session.hear(SECOND * 30):
        pass
    for _ in range(5):
        clock.seconds += 1.0
        async for _ in session.hear(SECOND):
            pass
    assert {urgency for *_, urgency in lane.asked[-48:]} == {Urgency.LIVE}


async def test_a_hop_tells_its_way(session: Session) -> None:
    """From the message that completed it, through all that a session does, to its reply."""
    arrival = Arrival(1, request=7)
    replies = [reply async for reply in session.hear(SECOND[: 2 * 3000], arrival)]
    replies += [reply async for reply in session.flush()]
    replies += [reply async for reply in session.finish()]
    ways = [reply.times for reply in replies]
    assert [times is None for times in ways] == [False, False, True, False, True]
    assert [times.audio_end_samples for times in ways if times is not None] == [1280, 2560, 3000]
    first = ways[0]
    assert first is not None
    assert (first.started_ns, first.request, first.samples) == (1, 7, 1280)
    assert (first.generation, first.model_version) == (1, session.generation.name)
    assert [*first.elapsed_ns()] == [
        *(Stage.RECEIVE, Stage.DECODE, Stage.QUEUE, Stage.IDENTITY, Stage.TURNS)
    ]


async def test_a_hop_waits_for_those_before_it_in_its_message(session: Session) -> None:
    """Until its stream turns to it, it was received and no more."""
    clock_ns, seen = 0, []
    async for reply in session.hear(SECOND[: 2 * 2560]):
        assert reply.times is not None
        received_ns = reply.times.marks[0][1]
        assert received_ns >= clock_ns
        clock_ns = monotonic_ns()
        seen.append(reply.times.elapsed_ns()[Stage.RECEIVE])
    assert seen[1] > seen[0]


def moving(how: How = How.CARRIED) -> tuple[Session, Generation]:
    """A session on the adder, and where it may go."""
    old, new = direct(Adder(), 1), direct(Adder(), 2)
    places = FakePlaces(old, new)
    places.ways[old, new] = how
    place = places.place("s")
    return Session(config(), place, places, urgency=Urgency.LIVE, horizon_seconds=2), new


async def test_a_hop_that_moved_names_who_computed_it() -> None:
    """Not where its stream was when it came."""
    session, new = moving()
    session.leave_for(new, How.CARRIED)
    replies = [reply async for reply in session.hear(SECOND[: 2 * 1280])]
    assert [reply.times.generation for reply in replies if reply.times is not None] == [2]


async def test_replies_name_who_computed_them() -> None:
    """Moved comes with the first hop of the new one, and flushes are of the one of now."""
    session, new = moving()
    replies = [reply async for reply in session.hear(SECOND[: 2 * 1280])]
    session.leave_for(new, How.CARRIED)
    replies += [reply async for reply in session.hear(SECOND[: 2 * 1280])]
    replies += [reply async for reply in session.flush()]
    assert [reply.generation for reply in replies] == [1, 2, 2]
    assert [reply.moved is not None for reply in replies] == [False, True, False]


async def test_each_version_is_counted_for_what_it_did() -> None:
    """A stream that moved was one of both; changes of labels count where they happened."""
    session, new = moving()
    old = session.generation
    async for _ in session.hear(SECOND):
        pass
    session._diarizer._label_changes.count = 5
    session.leave_for(new, How.CARRIED)
    async for _ in session.hear(SECOND):
        pass
    session.score(1.0)
    session.close()
    for generation in (old, new):
        assert generation.tally.counts.streams == 1
        assert generation.tally.counts.failed_streams == 0
        assert generation.tally.counts.score_count == 0
        assert not generation.tally._live
    assert new.tally.counts.label_changes == 0


async def test_a_stream_that_fails_counts_as_failed() -> None:
    """On the version that failed it."""
    session, _ = moving()
    engine_of(session.generation).failing = {1}
    with pytest.raises(ModelFailed):
        async for _ in session.hear(SECOND):
            pass
    session.close()
    assert session.generation.tally.counts.failed_streams == 1


@pytest.mark.parametrize("urgency", [Urgency.LIVE, Urgency.BACKGROUND])
async def test_live_streams_are_shadowed(urgency: Urgency) -> None:
    """Recordings are not: a shadow could not follow them."""
    own, other = direct(Adder(), 1), direct(Adder(), 2)
    places = FakePlaces(own)
    place = Place(own, Role.PRIMARY, other)
    session = Session(config(), place, places, urgency=urgency, horizon_seconds=2)
    for _ in range(3):
        async for _ in session.hear(SECOND[: 2 * 1280]):
            await asyncio.sleep(0)
    lanes = engine_of(other).lanes
    assert len(lanes) == (urgency is Urgency.LIVE)
    session.close()
    assert all(lane.closed for lane in lanes)
