"""A recording makes a voice only where one person speaks in it, for long enough."""

from __future__ import annotations

from dataclasses import replace

import pytest

from voiceflow.client import UNKNOWN, FileResult, Prototype, SpeakerMerged, SpeakerSummary, Summary
from voiceflow.client.enrolling import one_voice
from voiceflow.errors import InvalidInput

VECTOR = (Prototype("s", (1.0,), 3.0),)


def heard(*talk: tuple[str, float], merges: tuple[tuple[str, str], ...] = ()) -> FileResult:
    """What a service says of a recording in which so much was said by each."""
    gone = {one for one, _ in merges}
    speakers = tuple(
        SpeakerSummary(name, round(seconds * 16_000), () if name in gone else VECTOR)
        for name, seconds in talk
    )
    found = tuple(SpeakerMerged(one, other, 0) for one, other in merges)
    version = "models/m/versions/1.0.0"
    summary = Summary(speakers, 160_000, complete=True, merges=found, model_version=version)
    return FileResult((), (), summary)


@pytest.mark.parametrize(
    ("result", "label"),
    [
        (heard(("S1", 3.0)), "S1"),
        (heard(("S1", 9.0), (UNKNOWN, 1.0)), "S1"),
        (heard(("S1", 0.5), ("S2", 9.0)), "S2"),
        (heard(("S1", 4.0), ("S2", 4.0), merges=(("S2", "S1"),)), "S1"),
        (heard(("S1", 2), ("S2", 2), ("S3", 2), merges=(("S3", "S2"), ("S2", "S1"))), "S1"),
        (heard(("Ann", 4.0), ("S1", 9.0), merges=(("S1", "Ann"),)), "Ann"),
    ],
)
def test_one_person_is_found(result: FileResult, label: str) -> None:
    """Whose speech is nine tenths or more, merged labels being one."""
    assert one_voice(result, "a.wav").speaker == label


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (heard(), "SPEECH_TOO_SHORT"),
        (heard(("S1", 2.99)), "SPEECH_TOO_SHORT"),
        (heard((UNKNOWN, 9.0)), "SPEECH_TOO_SHORT"),
        (heard(("S1", 8.9), (UNKNOWN, 1.1)), "NOT_ONE_VOICE"),
        (heard(("S1", 5.0), ("S2", 5.0)), "NOT_ONE_VOICE"),
        (heard(("S1", 9.0), merges=(("S1", "Ann"),)), "NOT_ONE_VOICE"),
    ],
)
def test_what_is_not_one_persons_is_refused(result: FileResult, reason: str) -> None:
    """And the error names the recording."""
    with pytest.raises(InvalidInput, match=r"a\.wav: ") as caught:
        one_voice(result, "a.wav")
    assert (caught.value.reason, caught.value.field) == (reason, "audio")


def test_a_speaker_without_a_voice_is_none() -> None:
    """Whatever server leaves it out: nobody is enrolled with nothing."""
    summary = heard(("S1", 9.0)).summary
    bare = replace(summary, speakers=(SpeakerSummary("S1", 9 * 16_000),))
    with pytest.raises(InvalidInput):
        one_voice(FileResult((), (), bare), "a.wav")
