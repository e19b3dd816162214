"""Makes an enrolled speaker of recordings of one person, by having the service hear them."""

from __future__ import annotations

from collections import Counter
from typing import Final

from voiceflow.client.audio import AudioSource
from voiceflow.client.config import EnrolledSpeaker, ModelChoice, StreamConfig
from voiceflow.client.diarization import DiarizationClient
from voiceflow.client.events import FileResult, SpeakerSummary, Summary, seconds
from voiceflow.client.voices import Voice
from voiceflow.errors import InvalidInput
from voiceflow.pipeline.naming import why_no_name
from voiceflow.pipeline.turns import UNKNOWN

LEAST_SPEECH_SECONDS: Final = 3.0
"""In a recording; less says too little of a voice."""

LEAST_SHARE: Final = 0.9
"""Of the speech in a recording that must be one person's."""

_PIECE_SECONDS: Final = 5.0


async def enrol(
    client: DiarizationClient,
    source: AudioSource,
    name: str,
    *,
    known: Voice | None = None,
    model: ModelChoice | None = None,
) -> Voice:
    """Has one recording heard, and takes the voice in it.

    Args:
        client: Connected.
        source: The recording: one person alone, for a few seconds.
        name: What to call the person.
        known: The voice from recordings before this one, which must be recognised in it; what it
            gives holds them all.
        model: Which model hears it; None: the server's primary version.

    Raises:
        InvalidInput: ENROLLED_NAME_INVALID; or the recording is not one person's alone
            (NOT_ONE_VOICE), has too little speech (SPEECH_TOO_SHORT), or is not the same person's
            as those before it (NOT_THE_SAME_VOICE).
        VoiceFlowError: What the service answers.
    """
    if what := why_no_name(name):
        raise InvalidInput(what, reason="ENROLLED_NAME_INVALID", field="name")
    # One person is what the caller says: what is like the voice at all counts as it, and all else
    # is unknown. Whether that is who was heard before is open: there is a place for somebody else.
    config = StreamConfig(
        source.audio_format,
        model=model,
        maximum_speakers=1 if known is None else 2,
        enrolled_speakers=() if known is None else (known.speaker,),
    )
    result = await client.diarize_file(lambda: source.pieces(_PIECE_SECONDS), config)
    speaker = one_voice(result, source.name)
    if known is not None and speaker.speaker != name:
        raise InvalidInput(
            f"{source.name}: is not recognised as the person of the recordings before it",
            reason="NOT_THE_SAME_VOICE",
            field="audio",
        )
    return Voice(EnrolledSpeaker(name, speaker.prototypes), result.summary.model_version)


def one_voice(result: FileResult, recording: str) -> SpeakerSummary:
    """The one person who speaks in a recording; `recording` names it in errors.

    Raises:
        InvalidInput: There is not one, or not enough of it.
    """
    talk = _talk_samples(result.summary)
    label, samples = max(talk.items(), key=lambda item: item[1], default=(UNKNOWN, 0))
    spoken = seconds(samples)
    if label == UNKNOWN or spoken < LEAST_SPEECH_SECONDS:
        raise InvalidInput(
            f"{recording}: {0.0 if label == UNKNOWN else spoken:.1f} s of speech of one person;"
            f" at least {LEAST_SPEECH_SECONDS:g} s are needed",
            reason="SPEECH_TOO_SHORT",
            field="audio",
        )
    if samples < LEAST_SHARE * talk.total():
        raise InvalidInput(
            f"{recording}: {spoken:.1f} of {seconds(talk.total()):.1f} s of speech are one"
            f" person's; at least {LEAST_SHARE:.0%} are needed",
            reason="NOT_ONE_VOICE",
            field="audio",
        )
    for one in result.summary.speakers:
        if one.speaker == label and one.prototypes:
            return one
    raise InvalidInput(  # who was first taken for another, and is told of by no turn of his own
        f"{recording}: was taken for two people's speech almost to its end",
        reason="NOT_ONE_VOICE",
        field="audio",
    )


def _talk_samples(summary: Summary) -> Counter[str]:
    """By speaker, with the labels that were found to be the same person as one."""
    aliases = {merge.from_speaker: merge.to_speaker for merge in summary.merges}
    talk: Counter[str] = Counter()
    for one in summary.speakers:
        label = one.speaker
        while label in aliases:
            label = aliases[label]
        talk[label] += one.talk_samples
    return talk
