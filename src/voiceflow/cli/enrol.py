"""`voiceflow enrol`: a name for a voice, from a few seconds of speech."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import click

from voiceflow.cli.options import MAXIMUM_INT32, Target, server_option, text
from voiceflow.cli.outputs import STDOUT
from voiceflow.cli.printing import tell
from voiceflow.client import DiarizationClient, ModelChoice
from voiceflow.client.audio import AudioSource, open_recording
from voiceflow.client.enrolling import enrol
from voiceflow.client.voices import Voice, voice_json, write_voice


@click.command("enrol")
@click.argument("recordings", metavar="RECORDING...", nargs=-1, required=True)
@server_option
@click.option("--name", type=text, required=True, help="What turns are to call the person.")
@click.option(
    "--out",
    metavar="PATH",
    help="Write the voice there, for you alone; - is standard output. Without it nothing is kept.",
)
@click.option("--channel", type=click.IntRange(0, MAXIMUM_INT32), help="Send this channel alone.")
@click.option(
    "--model", type=text, help="models/M/versions/V, models/M/channels/C or models/M@RANGE."
)
def enrol_command(
    recordings: tuple[str, ...],
    server: Target,
    name: str,
    out: str | None,
    channel: int | None,
    model: str | None,
) -> None:
    """Learn one person's voice from RECORDING: a file with some seconds of that person alone.

    Several recordings make one voice; each must be recognised by those before it. `voiceflow
    diarize --enrol` then calls the person by name from the first turn on.

    What is written is a voiceprint: personal data, by which the voice can be recognised elsewhere.
    Ask the person, keep it as you keep keys, and delete it when it has served. The service keeps
    nothing.

    Exit codes: 0 done, 3 not one person's voice, or not enough of it, 4 no server or too busy, 7
    not allowed for this caller, or the server is not the one that it should be, 130 interrupted.
    """
    if out not in {None, STDOUT} and not Path(str(out)).resolve().parent.is_dir():
        raise click.UsageError(f"{out}: there is no such folder")
    server.check()
    choice = ModelChoice.parse(model) if model else None
    sources = [open_recording(Path(recording), channel) for recording in recordings]
    voice = asyncio.run(_heard(server, sources, name, choice))
    if out is None:
        tell("nothing is written: --out says where to", err=True)
    elif out == STDOUT:
        click.echo(voice_json(voice), nl=False)
    else:
        write_voice(Path(out), voice)
        tell(f"wrote {out}: a voiceprint, which is personal data", err=True)


async def _heard(
    server: Target, sources: Sequence[AudioSource], name: str, model: ModelChoice | None
) -> Voice:
    voice: Voice | None = None
    async with DiarizationClient(server.address, identity=server.identity) as client:
        for source in sources:
            voice = await enrol(client, source, name, known=voice, model=model)
            tell(f"{source.name}: one voice", err=True)
    assert voice is not None  # noqa: S101 - there is a recording at least
    return voice
