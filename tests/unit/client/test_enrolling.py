"""A recording makes a voice only where one person speaks in it, for long enough."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from voiceflow.client import (
    UNKNOWN,
    AudioFormat,
    DiarizationClient,
    Encoding,
    FileResult,
    Prototype,
    SpeakerMerged,
    SpeakerSummary,
    StreamConfig,
    Summary,
)
from voiceflow.client.audio import AudioSource
from voiceflow.client.enrolling import enrol, one_voice
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


class Scripted(DiarizationClient):
    """A client whose service is never dialled: it hears what it is told to.

    Attributes:
        asked: The configs.
    """

    def __init__(self, *results: FileResult) -> None:
        super().__init__("127.0.0.1:1")
        self.asked: list[StreamConfig] = []
        self._results = list(results)

    async def diarize_file(self, open_audio: object, config: StreamConfig) -> FileResult:
        """The next result."""
        del open_audio
        self.asked.append(config)
        return self._results.pop(0)


async def nothing(_piece_seconds: float) -> AsyncIterator[bytes]:
    """No audio."""
    pieces: tuple[bytes, ...] = ()
    for piece in pieces:
        yield piece


SOURCE = AudioSource("a.wav", AudioFormat(Encoding.PCM16, 16_000), nothing, 4.0, repeatable=True)


async def test_one_person_is_asked_for_and_then_recognised_among_two() -> None:
    """So one voice is not split in two; and whoever comes after may turn out to be another."""
    client = Scripted(heard(("S1", 4.0)), heard(("Ann", 4.0)), heard(("S1", 4.0)))
    async with client:
        first = await enrol(client, SOURCE, "Ann")
        second = await enrol(client, SOURCE, "Ann", known=first)
        with pytest.raises(InvalidInput) as caught:
            await enrol(client, SOURCE, "Ann", known=second)
    assert caught.value.reason == "NOT_THE_SAME_VOICE"
    assert [one.maximum_speakers for one in client.asked] == [1, 2, 2]
    assert [one.enrolled_speakers for one in client.asked] == [
        (),
        (first.speaker,),
        (second.speaker,),
    ]
    assert first.speaker.prototypes == VECTOR
