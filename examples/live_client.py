"""A minimal backend: takes live audio from somewhere, tells others who speaks.

    python examples/live_client.py call.wav --server 127.0.0.1:50051
    python examples/live_client.py call.wav --server name:50051 --ca ca.pem --token-file token

A file that is sent as fast as it plays stands here for a phone line or a meeting bot; `Listener` is
where your own code goes. In agent mode the end of speech is noticed soonest.
"""

from __future__ import annotations

import argparse
import asyncio
from contextlib import aclosing
from pathlib import Path

from voiceflow.client import (
    ClientIdentity,
    DiarizationClient,
    GoAway,
    LatencyMode,
    SpeakerMerged,
    SpeechEvent,
    SpeechEventKind,
    StreamConfig,
    Summary,
    Timeline,
    Update,
    seconds,
)
from voiceflow.client.audio import open_recording
from voiceflow.client.pace import paced
from voiceflow.errors import VoiceFlowError


class Listener:
    """What a voice agent or a call recorder would do with what it hears."""

    def __init__(self) -> None:
        self.timeline = Timeline()

    def hear(self, event: object) -> None:
        """Takes one event of a stream."""
        match event:
            case SpeechEvent(kind=SpeechEventKind.SPEECH_ENDED):
                late = seconds(event.noticed_at_samples - event.at_samples)
                print(f"{seconds(event.at_samples):8.2f}  silence, noticed {late:.2f} s later")
            case SpeechEvent(kind=SpeechEventKind.SPEAKER_CHANGED):
                print(f"{seconds(event.at_samples):8.2f}  now {event.speaker}")
            case SpeakerMerged():
                print(f"          {event.from_speaker} is {event.to_speaker}")
            case GoAway():
                print(f"          the server asks to finish within {event.time_left_seconds:.0f} s")
            case Update():
                for turn in event.turns:
                    start, end = seconds(turn.start_samples), seconds(turn.end_samples)
                    print(f"{start:8.2f}  {turn.speaker} spoke until {end:.2f}")
            case Summary():
                talk = {one.speaker: seconds(one.talk_samples) for one in event.speakers}
                print("talk time in seconds:", talk)


async def listen(path: Path, server: str, identity: ClientIdentity | None = None) -> Timeline:
    """Streams one conversation and returns its timeline."""
    source = open_recording(path)
    audio = paced(source.pieces(0.08), source.audio_format)
    config = StreamConfig(source.audio_format, LatencyMode.AGENT)
    listener = Listener()
    async with (
        DiarizationClient(server, identity=identity) as client,
        aclosing(client.diarize(audio, config)) as events,
    ):
        async for event in events:
            listener.timeline.add(event)
            listener.hear(event)
    return listener.timeline


def main() -> None:
    """Reads the arguments, listens, prints the result."""
    parser = argparse.ArgumentParser(description="Tell live who speaks.")
    parser.add_argument("audio", type=Path)
    parser.add_argument("--server", default="127.0.0.1:50051")
    parser.add_argument("--ca", type=Path, help="who signs the server's certificate")
    parser.add_argument("--cert", type=Path, help="to be known by, with its --key")
    parser.add_argument("--key", type=Path)
    parser.add_argument("--token-file", type=Path, help="to be known by, instead")
    arguments = parser.parse_args()
    files = (arguments.ca, arguments.cert, arguments.key, arguments.token_file)
    try:
        identity = ClientIdentity(*files) if any(files) else None  # None: plain text
        timeline = asyncio.run(listen(arguments.audio, arguments.server, identity))
    except VoiceFlowError as error:
        raise SystemExit(f"{error.message} ({error.reason})") from None
    print(timeline.to_rttm(arguments.audio.stem), end="")


if __name__ == "__main__":
    main()
