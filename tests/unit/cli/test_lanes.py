"""What the live view shows."""

from __future__ import annotations

from voiceflow.cli.lanes import Cell, Lane, LiveLanes
from voiceflow.client import UNKNOWN, Region, SpeakerMerged, Timeline, Turn, Update

SECOND = 16_000


def followed(
    *updates: Update, window_seconds: float = 10.0, sent_seconds: float = 0.0
) -> tuple[LiveLanes, Timeline]:
    """The view after some updates."""
    lanes, timeline = LiveLanes(window_seconds), Timeline()
    lanes.sent(sent_seconds)
    for update in updates:
        timeline.add(update)
        lanes.event(update)
    return lanes, timeline


def picture(cells: tuple[Cell, ...]) -> str:
    """One letter a cell: final, provisional, silent."""
    return "".join({Cell.FINAL: "F", Cell.PROVISIONAL: "p", Cell.SILENT: "."}[c] for c in cells)


def test_final_and_provisional_look_different() -> None:
    """What has become final covers what was provisional."""
    update = Update(
        (Region(0, 2 * SECOND, ("S1",)), Region(2 * SECOND, 3 * SECOND, ())),
        (
            Turn("S1", 0, 2 * SECOND, 0.9, final=True),
            Turn("S2", 3 * SECOND, 5 * SECOND, 0.5, final=False),
        ),
        5 * SECOND,
        3 * SECOND,
    )
    lanes, timeline = followed(update)
    assert picture(lanes.cells(timeline, "S1", 10)) == "FF........"
    assert picture(lanes.cells(timeline, "S2", 10)) == "...pp....."


def test_who_speaks_now_is_who_reaches_the_newest_audio() -> None:
    """A turn that ended seconds ago is over, an open one goes on."""
    turns = (
        Turn("S1", 0, 2 * SECOND, 0.9, final=False),
        Turn("S2", 2 * SECOND, 5 * SECOND - 2560, 0.5, final=False),
    )
    lanes, timeline = followed(Update((), turns, 5 * SECOND, 0))
    assert lanes.lanes(timeline) == (
        Lane("S1", 0.0, speaking=False),
        Lane("S2", 0.0, speaking=True),
    )


def test_the_window_moves_when_it_is_full() -> None:
    """After 25 seconds a window of 10 shows the last 10, and nothing older is kept."""
    updates = [
        Update(
            (Region(at * SECOND, (at + 1) * SECOND, ("S1",) if at == 20 else ()),),
            (),
            (at + 1) * SECOND,
            (at + 1) * SECOND,
        )
        for at in range(25)
    ]
    lanes, timeline = followed(*updates)
    assert lanes.start_seconds == 15.0
    assert picture(lanes.cells(timeline, "S1", 10)) == ".....F...."
    assert len(lanes._recent) <= 11


def test_talk_time_is_that_of_the_final_regions() -> None:
    """Overlap counts for both; speakers stand by number, UNKNOWN last."""
    update = Update(
        (
            Region(0, SECOND, (UNKNOWN,)),
            Region(SECOND, 3 * SECOND, ("S10", "S2")),
            Region(3 * SECOND, 4 * SECOND, ("S2",)),
        ),
        (),
        4 * SECOND,
        4 * SECOND,
    )
    lanes, timeline = followed(update)
    assert [(lane.speaker, lane.talk_seconds) for lane in lanes.lanes(timeline)] == [
        ("S2", 3.0),
        ("S10", 2.0),
        (UNKNOWN, 1.0),
    ]


def test_merged_speakers_share_a_lane() -> None:
    """From the moment when it is known."""
    update = Update(
        (Region(0, SECOND, ("S1",)), Region(SECOND, 2 * SECOND, ("S2",))),
        (),
        2 * SECOND,
        2 * SECOND,
    )
    lanes, timeline = followed(update)
    timeline.add(SpeakerMerged("S2", "S1", 2 * SECOND))
    assert lanes.lanes(timeline) == (Lane("S1", 2.0, speaking=False),)
    assert picture(lanes.cells(timeline, "S1", 10)) == "FF........"


def test_lag_is_the_audio_that_was_sent_and_is_not_computed() -> None:
    """Never negative."""
    lanes, _ = followed(Update((), (), 2 * SECOND, 0), sent_seconds=2.5)
    assert lanes.lag_seconds == 0.5
    lanes, _ = followed(Update((), (), 2 * SECOND, 0), sent_seconds=1.0)
    assert lanes.lag_seconds == 0.0
