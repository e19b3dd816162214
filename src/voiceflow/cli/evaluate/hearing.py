"""Recordings through the service as live streams, and everything that was told of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

from voiceflow.cli.evaluate.hypotheses import Heard, write_heard
from voiceflow.cli.evaluate.speech import SpeechFrames
from voiceflow.client import (
    Begin,
    DiarizationClient,
    LatencyMode,
    ModelChoice,
    Region,
    SpeechEvent,
    SpeechEventKind,
    StreamConfig,
    Timeline,
    Update,
    seconds,
)
from voiceflow.client.audio import open_recording
from voiceflow.errors import VoiceFlowError
from voiceflow.evaluation import EvaluationSet, Recording, Spoken, spoken_in
from voiceflow.evaluation.telling import Telling

_PIECE_SECONDS = 1.0


async def hear_set(
    client: DiarizationClient,
    labelled: EvaluationSet,
    folder: Path,
    *,
    on_heard: Callable[[str], None],
    mode: LatencyMode,
    model: ModelChoice | None = None,
) -> str:
    """Streams the recordings of a set one after another and writes what was told to a folder.

    Args:
        client: Connected.
        labelled: The set.
        folder: Is made if it is not there; files of these names are replaced.
        on_heard: Told the name of each recording when it is written.
        mode: Chooses the hop.
        model: None: the server's primary version.

    Returns:
        The version that served them; several if it changed meanwhile.

    Raises:
        VoiceFlowError: As `hear`.
    """
    versions: dict[str, None] = {}
    for recording in labelled.recordings:
        heard = await hear(client, recording, mode, model)
        write_heard(folder, recording.name, heard)
        versions[heard.model_version] = None
        on_heard(recording.name)
    return ", ".join(versions)


async def hear(
    client: DiarizationClient,
    recording: Recording,
    mode: LatencyMode,
    model: ModelChoice | None = None,
) -> Heard:
    """Streams a recording's first channel as fast as the service takes it.

    A stream that is cut is an error, not taken up again: the figures are of one service.

    Raises:
        VoiceFlowError: What the service says; STREAM_INCOMPLETE, if it was told to go.
        InvalidInput: The recording cannot be read.
    """
    source = open_recording(recording.audio, channel=0)
    config = StreamConfig(
        source.audio_format, mode, model, send_provisional_turns=True, send_activity=True
    )
    timeline = Timeline()
    regions: list[Region] = []
    tellings: list[Telling] = []
    speech: list[SpeechFrames] = []
    ends_seconds: list[float] = []
    frame_samples = 0
    stream = client.diarize(source.pieces(_PIECE_SECONDS), config, resume=False)
    async with aclosing(stream) as events:
        async for event in events:
            if isinstance(event, Begin):
                frame_samples = event.frame_samples
            elif isinstance(event, Update):
                tellings.append(telling_of(event, timeline.final_until_samples))
                speech += _speech_of(event, frame_samples)
                regions += event.final_regions
            elif isinstance(event, SpeechEvent) and event.kind is SpeechEventKind.SPEECH_ENDED:
                ends_seconds.append(seconds(event.noticed_at_samples))
            timeline.add(event)
    if timeline.summary is None or not timeline.summary.complete:
        raise VoiceFlowError(
            f"{recording.name}: the service ended the stream before the audio had ended",
            reason="STREAM_INCOMPLETE",
        )
    return Heard(
        timeline.summary.model_version,
        tuple(spoken_in(regions)),
        tuple(spoken_in(timeline.regions())),
        tuple(tellings),
        tuple(speech),
        tuple(ends_seconds),
    )


def telling_of(update: Update, told_until_samples: int) -> Telling:
    """What an update says of the audio that was not final before it.

    Args:
        update: Its provisional turns may begin in what is final; that part is final regions'.
        told_until_samples: End of the final regions of the updates before.
    """
    until = update.final_until_samples
    provisional = [
        Spoken(turn.speaker, seconds(max(until, turn.start_samples)), seconds(turn.end_samples))
        for turn in update.turns
        if turn.end_samples > until  # final ones end within what is final
    ]
    return Telling(
        seconds(update.covered_samples),
        seconds(told_until_samples),
        (*spoken_in(update.final_regions), *provisional),
    )


def _speech_of(update: Update, frame_samples: int) -> list[SpeechFrames]:
    activity = update.activity
    if activity is None or not activity.speech:
        return []
    covered, start = update.covered_samples, activity.speech_start_samples
    times = (seconds(covered), seconds(start), seconds(frame_samples))
    return [SpeechFrames(*times, activity.speech)]
