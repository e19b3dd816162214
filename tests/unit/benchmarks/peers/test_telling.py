"""What the peer says and when, of labels and stretches made by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers.diart.settings import SAMPLE_RATE_HERTZ, Settings, read_tuned
from benchmarks.peers.diart.telling import (
    NOBODY,
    Labels,
    Stretch,
    final_turns,
    json_lines,
    rttm,
    step_samples,
    tellings,
)
from voiceflow.evaluation import Spoken, read_rttm
from voiceflow.evaluation.telling import final, read_tellings

SETTINGS = Settings(
    level_dbfs=None,
    threshold=0.5,
    silence_seconds=0.3,
    pad_seconds=0.0,
    window_seconds=2.0,
    window_dbfs=None,
    rho_update=0.3,
    delta_new=0.3,
    latency_seconds=2.0,
)


def stretch(start: float, end: float, told: float | None) -> Stretch:
    """Speech, its start told at once and its end at `told`."""
    rate = SAMPLE_RATE_HERTZ
    return Stretch(
        round(start * rate),
        round(end * rate),
        round(start * rate) + 512,
        None if told is None else round(told * rate),
    )


def labels(*steps: int) -> Labels:
    """Of consecutive steps."""
    return np.asarray(steps, np.int64)


def samples(seconds: float) -> int:
    """At 16 kHz."""
    return round(seconds * SAMPLE_RATE_HERTZ)


def to_the_sample(spoken: list[Spoken]) -> list[tuple[str, int, int]]:
    """Speaker, start and end in samples."""
    return [(s.speaker, samples(s.start_seconds), samples(s.end_seconds)) for s in spoken]


def test_steps_come_every_half_second_and_at_the_end() -> None:
    """A recording is told after each half second, and once more where it ends between two."""
    assert step_samples(samples(1.0)) == [8_000, 16_000]
    assert step_samples(samples(1.2)) == [8_000, 16_000, 19_200]
    assert step_samples(100) == [100]


def test_what_is_heard_is_told_at_the_next_step() -> None:
    """Speech from 0.6 s on is said at 1.0 s, up to there and no further."""
    told = tellings(labels(NOBODY, 0, 0, 0), [stretch(0.6, 2.0, None)], samples(2.0), SETTINGS)
    assert [one.turns for one in told[:1]] == [()]
    (turn,) = told[1].turns
    assert (turn.speaker, turn.start_seconds, turn.end_seconds) == ("S1", 0.6, 1.0)


def test_a_pause_is_speech_until_its_end_is_told() -> None:
    """An end at 0.8 s that is told at 1.6 s is taken back then, however far back it lies."""
    spoken = [stretch(0.1, 0.8, 4.6), stretch(5.0, 6.0, None)]
    settings = replace(SETTINGS, latency_seconds=0.5)
    told = tellings(labels(*[0] * 12), spoken, samples(6.0), settings)
    assert final_turns(told[:9])[-1].end_seconds == 4.5
    assert final_turns(told[:10])[-1].end_seconds == 0.8
    assert told[9].from_seconds == 0.8


def test_the_windows_around_a_moment_outvote_the_first() -> None:
    """One step's odd label stands while it is the latest, and not when its neighbours have come."""
    spoken = [stretch(0.0, 5.0, None)]
    steps = labels(0, 0, 0, 0, 1, 0, 0, 0, 0, 0)
    told = tellings(steps, spoken, samples(5.0), SETTINGS)
    assert {turn.speaker for turn in final_turns(told)} == {"S1"}
    at_once = tellings(steps, spoken, samples(5.0), replace(SETTINGS, latency_seconds=0.5))
    assert [turn.speaker for turn in final_turns(at_once)] == ["S1", "S2", "S1"]
    assert final_turns(at_once)[1].start_seconds == 2.0


def test_windows_around_a_moment_weigh_more_than_those_at_its_edge() -> None:
    """Of four windows over 2.0-2.5 s the two in whose middle it lies agree, and they win."""
    steps = labels(0, 0, 0, 0, 0, 1, 1, 0, 0, 0)
    told = tellings(steps, [stretch(0.0, 5.0, None)], samples(5.0), SETTINGS)
    (second,) = (turn for turn in final_turns(told) if turn.speaker == "S2")
    assert second.start_seconds <= 2.1
    assert second.end_seconds >= 2.4


def test_no_turn_goes_on_after_the_recording() -> None:
    """A recording that ends within 10 ms of the grid ends its last turn with it."""
    told = tellings(labels(0, 0, 0), [stretch(0.1, 1.007, None)], samples(1.007), SETTINGS)
    assert final_turns(told)[-1].end_seconds == 1.007


def test_nothing_older_than_the_latency_is_told_anew() -> None:
    """With a latency of 1 s, a step at 5 s leaves alone what lies before 3.5 s."""
    told = tellings(
        labels(*[0] * 10),
        [stretch(0.0, 5.0, None)],
        samples(5.0),
        replace(SETTINGS, latency_seconds=1.0),
    )
    assert told[-1].from_seconds == 3.5


def test_an_onset_without_a_vote_takes_the_next_label() -> None:
    """Speech just before a step, in which no window voted, belongs to who speaks on."""
    settings = replace(SETTINGS, latency_seconds=0.5)
    told = tellings(labels(NOBODY, 2), [stretch(0.45, 1.0, None)], samples(1.0), settings)
    (turn,) = final_turns(told)
    assert (turn.speaker, turn.start_seconds, turn.end_seconds) == ("S3", 0.45, 1.0)


@pytest.mark.parametrize("latency_seconds", [0.5, 1.0, 2.0])
def test_our_evaluation_reads_what_the_peer_writes(tmp_path: Path, latency_seconds: float) -> None:
    """Tellings and RTTM say the same in the end, to the readers of `voiceflow.evaluation`."""
    rng = np.random.default_rng(3)
    spoken = [stretch(s, s + 1.3, s + 1.7) for s in np.arange(0.2, 18, 2.0).tolist()]
    settings = replace(SETTINGS, latency_seconds=latency_seconds)
    told = tellings(rng.integers(0, 3, 41), spoken, samples(20.003), settings)
    path = tmp_path / "a b.tellings.jsonl"
    path.write_text(json_lines(told), "utf-8")
    in_the_end = to_the_sample(final(read_tellings(path)))
    assert in_the_end == to_the_sample(read_rttm(rttm("a b", final_turns(told))))
    assert len(in_the_end) >= len(spoken)


def test_the_tuned_settings_can_be_read() -> None:
    """What is committed names every setting and no other."""
    assert read_tuned().delta_new > 0
