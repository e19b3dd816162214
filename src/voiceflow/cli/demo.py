"""`voiceflow demo`: a model through the registry, a conversation at real pace, and its report."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from voiceflow.artifact import LatencyMode
from voiceflow.budget import budgets, differences
from voiceflow.catalog.names import ChannelName
from voiceflow.cli.budget import periods, served_in
from voiceflow.cli.budget_probe import HopCollector
from voiceflow.cli.budget_tables import show
from voiceflow.cli.diarize import Wish, diarize_source
from voiceflow.cli.models.promoting import promote_version, publish_package
from voiceflow.cli.options import mode_option
from voiceflow.cli.outputs import Outputs
from voiceflow.cli.printing import err
from voiceflow.cli.run import stop_on_interrupt
from voiceflow.cli.service_process import newest_model, running_service
from voiceflow.client import DiarizationClient
from voiceflow.client.audio import AudioSource, open_recording
from voiceflow.client.registry import RegistryClient, open_package

_MODELS = Path("models/diarizer")
_REAL_MEETING = Path("../shared/speech/real/trn00.flac")
"""A lively excerpt of the recorded meetings, where they are: three speakers, some at once."""
_CHANNEL = "stable"


@click.command()
@click.option(
    "--audio",
    type=click.Path(path_type=Path),
    help="Your own recording; else a synthetic conversation made on the spot.",
)
@click.option("--model-dir", type=click.Path(path_type=Path), help=f"Else the newest in {_MODELS}.")
@mode_option
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("var/demo"),
    show_default=True,
    help="Folder for the registry's store and the reports.",
)
def demo(audio: Path | None, model_dir: Path | None, mode: str, output: Path) -> None:
    """Diarize a conversation at real pace with a model that went the whole way.

    Starts a registry on loopback, publishes the model, runs it through the gates and promotes it;
    starts a service that fetches what is promoted; streams a conversation, writes its report, and
    prints where the time of its hops went.
    """
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
    package = await asyncio.to_thread(open_package, model)
    channel = ChannelName(package.manifest.model, _CHANNEL)
    with stop_on_interrupt() as stop:
        async with running_service(
            "voiceflow_registry", output / "registry.log", "--store", output / "registry"
        ) as registry:
            click.echo(f"registry on {registry}", err=True)
            async with RegistryClient(registry) as client:
                published = await publish_package(client, model)
                _, promotion = await promote_version(client, published.version, channel)
                serves = f"{channel} serves {promotion.rollout.in_short}"
                click.echo(f"{serves} since promotion {promotion.sequence}", err=True)
            service = running_service(
                "voiceflow_inference",
                output / "service.log",
                *("--registry", registry, "--model", channel.model, "--channel", channel.channel),
                *("--cache-dir", output / "models"),
            )
            async with service as address, DiarizationClient(address) as diarization:
                await diarization.wait_until_serving()
                click.echo(f"serving what {channel} names on {address}", err=True)
                hops = HopCollector()
                for source in sources:
                    if stop.is_set():
                        break
                    stem = output / Path(source.name).stem
                    outputs = Outputs(f"{stem}.rttm", f"{stem}.json", f"{stem}.html")
                    seconds = source.duration_seconds
                    click.echo(f"{source.name}, {seconds:.0f} s at real pace", err=True)
                    wish = Wish(realtime=True, mode=mode)
                    await diarize_source(diarization, source, wish, outputs, stop=stop, hops=hops)
                if hops.hops:
                    measured = served_in(hops.hops, await periods(diarization))
                    show(err(), budgets(measured), differences(measured))
    click.echo("both have stopped; open a report (.html) in a browser", err=True)
