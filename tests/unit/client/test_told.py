"""What a caller is told over several streams: everything once, and nothing that does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.simulated_streams import FRAME, WHO, Simulation, spoken
from voiceflow.client import (
    Begin,
    Event,
    FrameActivity,
    Region,
    SpeakerMerged,
    SpeakerSummary,
    SpeechEvent,
    SpeechEventKind,
    StreamLimits,
    Summary,
    Timeline,
    Timings,
    Turn,
    Update,
    wire,
)
from voiceflow.client.told import Told

BEGIN = Begin("s", "models/m/versions/1.0.0", 1, 0, 0, 0, FRAME, StreamLimits(0, 0, 0, 0, 0))
OTHERS: Sequence[tuple[str, ...]] = ((), ("S2",), ("S1", "UNKNOWN"), (), ("S1",), ("S4", "S1"))
"""What another model makes of the same audio."""


@dataclass(frozen=True)
class Cut:
    """Where a stream ends: after so many more frames, its last so many replies unread."""

    frames: int
    unread: int


conversations = st.lists(
    st.tuples(st.integers(0, len(WHO) - 1), st.integers(1, 70)), min_size=1, max_size=8
)
cuts = st.lists(st.builds(Cut, st.integers(1, 150), st.integers(0, 4)), max_size=4)


def told(
    audio: bytes, cuts: Sequence[Cut], models: Sequence[Sequence[tuple[str, ...]]]
) -> list[Event]:
    """What a caller is told of a conversation whose streams are cut; models serve them in turn."""
    teller = Told(BEGIN)
    news: list[Event] = []
    token, at = b"", 0
    for index in range(len(cuts) + 1):
        stream = Simulation(token, models[index % len(models)])
        if index:
            teller.resume(BEGIN)
        # The caller has heard of `at` frames; the next cut lies beyond.
        end = len(audio)
        if index < len(cuts):
            end = min(end, max(stream.start, at + cuts[index].frames) * 2 * FRAME)
        replies = stream.hear(audio[stream.start * 2 * FRAME : end])
        if index < len(cuts):
            replies = replies[: max(0, len(replies) - cuts[index].unread)]
        else:
            replies += stream.finish(complete=True)
        for reply in replies:
            event = wire.event_of(reply)
            assert event is not None
            if isinstance(event, Update):
                token = event.resume_token or token
                at = max(at, event.covered_samples // FRAME)
                event = replace(event, resume_token=b"")
            if (one := teller.take(event)) is not None:
                news.append(one)
    return news


@settings(deadline=None)
@given(parts=conversations, cuts=cuts)
def test_a_cut_conversation_tells_what_an_uncut_one_does(
    parts: list[tuple[int, int]], cuts: list[Cut]
) -> None:
    """Every event, update and turn, in their order, and the same summary."""
    audio = spoken(*parts)
    cut, uncut = told(audio, cuts, [WHO]), told(audio, [], [WHO])
    assert cut[:-1] == uncut[:-1]
    assert isinstance(cut[-1], Summary)
    assert isinstance(uncut[-1], Summary)
    assert cut[-1].covered_samples == uncut[-1].covered_samples


@settings(deadline=None)
@given(parts=conversations, cuts=cuts)
def test_another_model_breaks_nothing_that_was_told(
    parts: list[tuple[int, int]], cuts: list[Cut]
) -> None:
    """The partition is exact, turns are what it adds up to, and starts and ends alternate."""
    audio = spoken(*parts)
    news = told(audio, cuts, [WHO, OTHERS])
    timeline = Timeline()
    turns: list[Turn] = []
    noticed = 0
    active = {"speech": False, "overlap": False}
    for event in news:
        timeline.add(event)
        match event:
            case Update():
                turns += event.turns
            case SpeechEvent():
                family, _, what = event.kind.partition("_")
                assert active[family] is (what == "ended")
                active[family] = what == "started"
                assert event.noticed_at_samples >= noticed
                noticed = event.noticed_at_samples
            case _:
                pass
    assert timeline.final_until_samples == len(audio) // 2
    assert sorted(_span(turn) for turn in turns) == sorted(_runs(news))
    summary = news[-1]
    assert isinstance(summary, Summary)
    if cuts:
        talk = {one.speaker: one.talk_samples for one in summary.speakers}
        assert talk == _talk(news)


def _span(turn: Turn) -> tuple[str, int, int]:
    return turn.speaker, turn.start_samples, turn.end_samples


def _regions(news: list[Event]) -> list[Region]:
    return [region for event in news if isinstance(event, Update) for region in event.final_regions]


def _runs(news: list[Event]) -> list[tuple[str, int, int]]:
    """The longest stretches in which each speaker is present."""
    done: list[tuple[str, int, int]] = []
    going: dict[str, int] = {}
    end = 0
    for region in [*_regions(news), Region(-1, -1, ())]:
        done += [(name, going.pop(name), end) for name in set(going) - set(region.speakers)]
        for name in region.speakers:
            going.setdefault(name, region.start_samples)
        end = region.end_samples
    return done


def _talk(news: list[Event]) -> dict[str, int]:
    talk: dict[str, int] = {}
    for region in _regions(news):
        for name in region.speakers:
            talk[name] = talk.get(name, 0) + region.end_samples - region.start_samples
    return talk


def region(start: int, end: int, *speakers: str) -> Region:
    """A region, in frames."""
    return Region(start * FRAME, end * FRAME, speakers)


def update(*regions: Region, turns: Sequence[Turn] = (), covered: int, final: int) -> Update:
    """An update, in frames."""
    return Update(regions, tuple(turns), covered * FRAME, final * FRAME)


def turn(speaker: str, start: int, end: int, confidence: float, *, final: bool = True) -> Turn:
    """A turn, in frames."""
    return Turn(speaker, start * FRAME, end * FRAME, confidence, final)


@pytest.fixture
def resumed() -> Told:
    """Told 50 of 80 frames, of which S1 spoke from 10 on; another stream goes on from 40."""
    teller = Told(BEGIN)
    teller.take(update(region(0, 10), region(10, 50, "S1"), covered=80, final=50))
    teller.resume(BEGIN)
    return teller


def test_a_region_that_lies_across_the_seam_is_cut(resumed: Told) -> None:
    """It begins where the told ones end."""
    news = resumed.take(update(region(40, 60, "S1"), covered=90, final=60))
    assert isinstance(news, Update)
    assert news.final_regions == (region(50, 60, "S1"),)


def test_what_only_repeats_is_not_told(resumed: Told) -> None:
    """Neither regions nor the audio covered go back."""
    assert resumed.take(update(region(40, 48, "S1"), covered=72, final=48)) is None
    news = resumed.take(update(region(48, 52, "S1"), covered=79, final=52))
    assert isinstance(news, Update)
    assert (news.covered_samples, news.final_until_samples) == (80 * FRAME, 52 * FRAME)


def test_a_turn_has_the_confidence_of_the_server(resumed: Told) -> None:
    """Also where the other server says that it began later."""
    told = [turn("S1", 45, 60, 0.75)]
    news = resumed.take(
        update(region(40, 60, "S1"), region(60, 61), turns=told, covered=90, final=61)
    )
    assert isinstance(news, Update)
    assert news.turns == (turn("S1", 10, 60, 0.75),)


def test_a_turn_that_the_other_server_ended_earlier_ends_at_the_seam(resumed: Told) -> None:
    """Its last frames were told as final, so they are in it."""
    told = [turn("S1", 10, 45, 0.75)]
    news = resumed.take(
        update(region(40, 45, "S1"), region(45, 60), turns=told, covered=90, final=60)
    )
    assert isinstance(news, Update)
    assert news.turns == (turn("S1", 10, 50, 0.75),)


def test_turns_that_may_still_change_begin_where_the_told_ones_let_them(resumed: Told) -> None:
    """One that goes on keeps its start; a newcomer begins at the seam; what has ended is gone."""
    seen = [
        turn("S1", 45, 70, 0.5, final=False),
        turn("S2", 44, 80, 0.5, final=False),
        turn("S3", 41, 49, 0.5, final=False),
        turn("S1", 75, 85, 0.5, final=False),
    ]
    news = resumed.take(update(turns=seen, covered=88, final=40))
    assert isinstance(news, Update)
    assert [(one.speaker, one.start_samples // FRAME) for one in news.turns] == [
        *(("S1", 10), ("S2", 50)),
        ("S1", 75),
    ]


def test_frames_are_told_once() -> None:
    """Activity goes on after the frames that the caller has."""

    def activity(speech: int, tracks: int) -> FrameActivity:
        frames = tuple(float(speech + at) for at in range(8))
        pairs = tuple((float(tracks + at), 0.0) for at in range(8))
        return FrameActivity(speech * FRAME, frames, tracks * FRAME, pairs)

    teller = Told(BEGIN)
    teller.take(replace(update(covered=80, final=0), activity=activity(72, 68)))
    teller.resume(BEGIN)
    news = teller.take(replace(update(covered=84, final=0), activity=activity(76, 72)))
    assert isinstance(news, Update)
    assert news.activity == FrameActivity(
        *(80 * FRAME, (80.0, 81.0, 82.0, 83.0)),
        *(76 * FRAME, ((76.0, 0.0), (77.0, 0.0), (78.0, 0.0), (79.0, 0.0))),
    )


def test_timings_are_told_once() -> None:
    """Hops that another server computes once more say nothing of those that were told."""
    teller = Told(BEGIN)
    assert [teller.take(Timings(end, ())) is not None for end in (1, 2, 3)] == [True] * 3
    teller.resume(BEGIN)
    assert [teller.take(Timings(end, ())) is not None for end in (2, 3, 4)] == [False, False, True]


def test_merges_are_told_once_and_summed_up() -> None:
    """One that the other server knows nothing of stays, and so does one of its own."""
    first, again, second = (SpeakerMerged("S2", "S1", at) for at in (1, 2, 3))
    second = replace(second, from_speaker="S3")
    teller = Told(BEGIN)
    assert teller.take(first) == first
    teller.resume(BEGIN)
    assert teller.take(again) is None
    assert teller.take(second) == second
    summary = teller.take(Summary((), 0, complete=True, merges=(), model_version="m"))
    assert isinstance(summary, Summary)
    assert summary.merges == (first, second)


def test_the_summary_has_everybody_who_was_told(resumed: Told) -> None:
    """And nobody else: talk time is that of the regions told."""
    summary = Summary((SpeakerSummary("S9", 7),), 0, complete=True, merges=(), model_version="m")
    news = resumed.take(summary)
    assert isinstance(news, Summary)
    assert news.speakers == (SpeakerSummary("S1", 40 * FRAME),)


def test_the_summary_ends_where_the_told_regions_do(resumed: Told) -> None:
    """Resampled from elsewhere, audio of a rate that divides badly may be a sample shorter."""
    until = resumed.final_until_samples
    summary = Summary((), until - 1, complete=True, merges=(), model_version="m")
    news = resumed.take(summary)
    assert isinstance(news, Summary)
    assert news.covered_samples == until


def test_nothing_is_touched_before_anything_was_resumed() -> None:
    """Whatever a server says passes as it is."""
    teller = Told(BEGIN)
    odd: list[Event] = [
        update(region(5, 9, "S1"), turns=[turn("S7", 0, 3, 0.1)], covered=2, final=1),
        SpeechEvent(SpeechEventKind.SPEECH_ENDED, 9, 3),
        SpeechEvent(SpeechEventKind.SPEECH_ENDED, 9, 2),
        SpeakerMerged("S1", "S2", 0),
        SpeakerMerged("S1", "S2", 0),
        Summary((), 7, complete=False, merges=(), model_version="m"),
    ]
    assert [teller.take(event) for event in odd] == odd


def test_an_event_that_came_late_is_told_all_the_same(resumed: Told) -> None:
    """An end of speech that the first server had not noticed: whoever waits for it hears of it."""
    resumed.take(SpeechEvent(SpeechEventKind.SPEECH_STARTED, 60 * FRAME, 72 * FRAME))
    late = SpeechEvent(SpeechEventKind.SPEECH_ENDED, 70 * FRAME, 76 * FRAME)
    news = resumed.take(late)
    assert news == replace(late, noticed_at_samples=80 * FRAME)


def test_an_end_of_what_never_began_is_not_told(resumed: Told) -> None:
    """The other server takes the audio before for speech."""
    ended = SpeechEvent(SpeechEventKind.OVERLAP_ENDED, 70 * FRAME, 88 * FRAME)
    assert resumed.take(ended) is None
