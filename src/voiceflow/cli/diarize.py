"""`voiceflow diarize`: who speaks when in a file, on a pipe or at the microphone."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console

from voiceflow.artifact import LatencyMode
from voiceflow.cli.budget_probe import HopCollector
from voiceflow.cli.options import MAXIMUM_INT32, Target, mode_option, server_option, text
from voiceflow.cli.outputs import STDOUT, Outputs
from voiceflow.cli.run import Views, run_file, run_live, stop_on_interrupt
from voiceflow.cli.views import FileView, LineView, LiveView, talk_table
from voiceflow.client import (
    AudioFormat,
    DiarizationClient,
    Encoding,
    EnrolledSpeaker,
    ModelChoice,
    StreamConfig,
    Timeline,
)
from voiceflow.client.audio import AudioSource, open_recording
from voiceflow.client.live_audio import open_microphone, open_pipe
from voiceflow.client.voices import read_voice
from voiceflow.errors import VoiceFlowError
from voiceflow.report import AudioKeeper


@dataclass(frozen=True, slots=True)
class Wish:
    """How the audio is to be diarized."""

    realtime: bool
    mode: LatencyMode
    minimum_speakers: int = 0
    maximum_speakers: int = 0
    model: ModelChoice | None = None
    session: str = ""
    resume: bool = True
    enrolled: tuple[EnrolledSpeaker, ...] = ()


@click.command()
@click.argument("audio", required=False)
@server_option
@click.option("--realtime", is_flag=True, help="Send a file as fast as it plays, and watch it.")
@click.option("--mic", is_flag=True, help="Listen to the microphone, until Ctrl-C.")
@click.option("--device", help="Which microphone: its number or a part of its name.")
@mode_option
@click.option("--rttm", metavar="PATH", help="Write the turns as RTTM; - is standard output.")
@click.option("--json", "json_", metavar="PATH", help="Write everything as JSON; - likewise.")
@click.option("--html", metavar="PATH", help="Write a page that plays the audio over a timeline.")
@click.option(
    "--minimum-speakers", type=click.IntRange(0, MAXIMUM_INT32), default=0, help="0: not known."
)
@click.option(
    "--maximum-speakers", type=click.IntRange(0, MAXIMUM_INT32), default=0, help="0: not known."
)
@click.option(
    "--enrol",
    "voices",
    metavar="PATH",
    multiple=True,
    help="Call this person by name: a file of `voiceflow enrol`. Once for each person.",
)
@click.option(
    "--channel",
    type=click.IntRange(0, MAXIMUM_INT32),
    help="Send this channel alone.",
)
@click.option(
    "--model", type=text, help="models/M/versions/V, models/M/channels/C or models/M@RANGE."
)
@click.option("--session", type=text, default="", help="A name for the conversation.")
@click.option(
    "--no-resume",
    is_flag=True,
    help="Fail when a live stream is cut, instead of going on with it on any server that is there.",
)
@click.option(
    "--encoding",
    type=click.Choice([encoding.value for encoding in Encoding]),
    help="Standard input is raw samples of this form; else it is WAV.",
)
@click.option(
    "--rate", type=click.IntRange(1, MAXIMUM_INT32), help="Samples a second of raw input."
)
@click.option(
    "--channels",
    type=click.IntRange(1, MAXIMUM_INT32),
    default=1,
    help="Channels of raw input.",
)
def diarize(
    audio: str | None,
    server: Target,
    realtime: bool,
    mic: bool,
    device: str | None,
    mode: str,
    rttm: str | None,
    json_: str | None,
    html: str | None,
    minimum_speakers: int,
    maximum_speakers: int,
    voices: tuple[str, ...],
    channel: int | None,
    model: str | None,
    session: str,
    no_resume: bool,
    encoding: str | None,
    rate: int | None,
    channels: int,
) -> None:
    """Tell who speaks when in AUDIO: a WAV, FLAC, MP3, Ogg or Opus file, or - for standard input.

    A file is sent as fast as the service takes it, and answered at its end; with --realtime, and
    for standard input and the microphone, turns come while the audio goes on. Without a terminal
    each final turn is a line: start, end, speaker, confidence.

    Ctrl-C ends the audio; what came until then is finished and written. A second one gives up.

    Exit codes: 0 done, 1 failed or cut off (what was final is written), 2 usage, 3 audio or request
    not usable, 4 no server or too busy, 5 not served, 7 not allowed for this caller, or the server
    is not the one that it should be, 130 interrupted without results.
    """
    outputs = Outputs(rttm, json_, html)
    outputs.check()
    if mic == (audio is not None):
        raise click.UsageError("give either AUDIO or --mic")
    if (encoding is None) != (rate is None):
        raise click.UsageError("raw input needs both --encoding and --rate")
    if encoding is not None and audio != STDOUT:
        raise click.UsageError("--encoding is for standard input; a file says itself what it is")
    server.check()
    wish = Wish(
        realtime,
        LatencyMode(mode),
        minimum_speakers,
        maximum_speakers,
        ModelChoice.parse(model) if model else None,
        session,
        not no_resume,
        tuple(read_voice(Path(voice)).speaker for voice in voices),
    )
    if mic:
        source = open_microphone(device=device)
    elif audio == STDOUT:
        raw = AudioFormat(Encoding(encoding), rate, channels) if encoding and rate else None
        source = open_pipe(io.FileIO(sys.stdin.fileno(), closefd=False), raw, channel)
    else:
        source = open_recording(Path(str(audio)), channel)
    asyncio.run(_run(server, source, wish, outputs))


async def diarize_source(
    client: DiarizationClient,
    source: AudioSource,
    wish: Wish,
    outputs: Outputs,
    *,
    stop: asyncio.Event,
    hops: HopCollector | None = None,
) -> None:
    """Diarizes one source, shows it and writes the results.

    Args:
        client: Connected.
        source: Where the audio comes from.
        wish: How to diarize it.
        outputs: What to write.
        stop: Ends the audio when set.
        hops: Collects where their time goes, of a live stream; None: nobody asks.

    Raises:
        VoiceFlowError: After what was final until then has been written, if there was anything.
    """
    console = Console(stderr=True)
    from_file = source.repeatable and not wish.realtime
    config = StreamConfig(
        source.audio_format,
        wish.mode,
        wish.model,
        wish.minimum_speakers,
        wish.maximum_speakers,
        wish.enrolled,
        send_provisional_turns=console.is_terminal and not from_file,
        send_timings=hops is not None,
        session=wish.session,
    )
    keeping = AudioKeeper(source.audio_format) if outputs.html is not None else nullcontext()
    timeline = Timeline()
    failure: VoiceFlowError | None = None
    with keeping as keeper:
        with _views(console, source, wish, outputs) as shown:
            views = shown if hops is None else Views([shown, hops])
            if from_file:
                timeline = await run_file(client, source, config, views, stop=stop, keeper=keeper)
            else:
                try:
                    await run_live(
                        *(client, source, config, views, timeline),
                        pace=source.repeatable,
                        resume=wish.resume,
                        stop=stop,
                        keeper=keeper,
                    )
                except VoiceFlowError as error:
                    if timeline.begin is None:
                        raise
                    failure = error  # what is final stays final, and is written
        written = outputs.write(timeline, source.name, keeper.finish() if keeper else None)
    if console.is_terminal:
        console.print(talk_table(timeline))
    for path in written:
        click.echo(f"wrote {path}", err=True)
    if failure is not None:
        raise failure


async def _run(server: Target, source: AudioSource, wish: Wish, outputs: Outputs) -> None:
    with stop_on_interrupt() as stop:
        async with DiarizationClient(server.address, identity=server.identity) as client:
            await diarize_source(client, source, wish, outputs, stop=stop)


@contextmanager
def _views(console: Console, source: AudioSource, wish: Wish, outputs: Outputs) -> Iterator[Views]:
    """The views that fit where standard output and standard error go."""
    from_file = source.repeatable and not wish.realtime
    picture: FileView | LiveView | None = None
    if console.is_terminal and from_file:
        picture = FileView(console, source.name, source.duration_seconds)
    elif console.is_terminal:
        picture = LiveView(console, source.name, source.duration_seconds)
    # Lines beside a live picture on one terminal would tear it.
    torn = isinstance(picture, LiveView) and sys.stdout.isatty()
    lines = [] if torn or (picture and outputs.take_stdout) else [_lines(outputs)]
    if picture is None:
        yield Views(lines)
    else:
        with picture:
            yield Views([picture, *lines])


def _lines(outputs: Outputs) -> LineView:
    return LineView(to_stderr=outputs.take_stdout)
