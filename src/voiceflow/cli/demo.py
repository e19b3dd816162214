"""`voiceflow demo`: a service, a conversation at real pace, and its report, in one command."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from voiceflow.artifact import LatencyMode
from voiceflow.cli.diarize import Wish, diarize_source
from voiceflow.cli.outputs import Outputs
from voiceflow.cli.run import stop_on_interrupt
from voiceflow.cli.service_process import newest_model, running_service
from voiceflow.client import DiarizationClient
from voiceflow.client.audio import AudioSource, open_recording

_MODELS = Path("models/diarizer")
_REAL_MEETING = Path("../shared/speech/real/trn00.flac")
"""A lively excerpt of the recorded meetings, where they are: three speakers, some at once."""


@click.command()
@click.option(
    "--audio",
    type=click.Path(path_type=Path),
    help="Your own recording; else a synthetic conversation made on the spot.",
)
@click.option("--model-dir", type=click.Path(path_type=Path), help=f"Else the newest in {_MODELS}.")
@click.option(
    "--mode",
    type=click.Choice([mode.value for mode in LatencyMode]),
    default=LatencyMode.DENSITY.value,
    show_default=True,
    help="Hops of 480 ms (density) or 80 ms (agent).",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("var/demo"),
    show_default=True,
    help="Folder for the reports.",
)
def demo(audio: Path | None, model_dir: Path | None, mode: str, output: Path) -> None:
    """Start a service on loopback, stream a conversation at real pace and write its report."""
    model = model_dir or newest_model(_MODELS)
    output.mkdir(parents=True, exist_ok=True)
    if audio is not None:
        recordings = [audio]
    else:
        from voiceflow.sample import write_sample  # noqa: PLC0415 - scipy is slow to import

        sample = output / "synthetic.wav"
        write_sample(sample)
        recordings = [sample, *([_REAL_MEETING] if _REAL_MEETING.exists() else [])]
    sources = [open_recording(path) for path in recordings]
    asyncio.run(_run(model, sources, LatencyMode(mode), output))


async def _run(model: Path, sources: list[AudioSource], mode: LatencyMode, output: Path) -> None:
    click.echo(f"starting the service with {model} …", err=True)
    with stop_on_interrupt() as stop:
        async with (
            running_service(model, output / "service.log") as address,
            DiarizationClient(address) as client,
        ):
            await client.wait_until_serving()
            click.echo(f"serving on {address}", err=True)
            for source in sources:
                if stop.is_set():
                    break
                stem = output / Path(source.name).stem
                outputs = Outputs(f"{stem}.rttm", f"{stem}.json", f"{stem}.html")
                click.echo(f"{source.name}, {source.duration_seconds:.0f} s at real pace", err=True)
                await diarize_source(
                    client, source, Wish(realtime=True, mode=mode), outputs, stop=stop
                )
    click.echo("the service has stopped; open a report (.html) in a browser", err=True)
