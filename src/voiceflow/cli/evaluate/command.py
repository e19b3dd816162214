"""`voiceflow evaluate`: labelled conversations through the service, and how well it told them."""

from __future__ import annotations

import asyncio
import json
import tempfile
from contextlib import nullcontext
from itertools import count
from pathlib import Path

import click

from voiceflow.artifact import LatencyMode
from voiceflow.cli.evaluate.hearing import hear_set
from voiceflow.cli.options import Target, mode_option, server_option, text
from voiceflow.cli.outputs import STDOUT
from voiceflow.cli.printing import tell
from voiceflow.client import DiarizationClient, ModelChoice
from voiceflow.evaluation import EvaluationSet, Scorer


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FOLDER",
    help="Holds NAME.flac, .opus or .wav beside NAME.rttm.",
)
@server_option
@mode_option
@click.option(
    "--model", type=text, help="models/M/versions/V, models/M/channels/C or models/M@RANGE."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Keep what the service told: NAME.rttm and, as JSON lines, what it said when.",
)
@click.option("--json", "json_", metavar="PATH", help="Write the figures as JSON; - is stdout.")
def evaluate(
    data: Path, server: Target, mode: str, model: str | None, out: Path | None, json_: str | None
) -> None:
    """Tell how well the service tells speakers apart, on labelled conversations.

    Each recording is streamed as fast as the service takes it. Printed are diarization error rates
    with their parts, collar 0 and overlap scored; the same with NIST's collar and with merged
    labels read as one; what was known 0.5, 1, 2 and 5 s of audio after it was spoken; how
    labels changed; and when the end of speech was noticed. Computing time is in none of it.

    It takes a running service (python -m voiceflow_inference --model-dir models/diarizer/5.0.0) and
    pyannote.metrics (pip install 'voiceflow[registry]').

    Exit codes: 0 done, 1 failed or cut off, 2 usage, 3 data or request not usable, 4 no server or
    too busy, 5 not served, 6 the scorer is not installed, 7 not allowed for this caller.
    """
    if json_ not in {None, STDOUT} and not Path(str(json_)).resolve().parent.is_dir():
        raise click.UsageError(f"{json_}: there is no such folder")
    from voiceflow.cli.evaluate.report import measure  # noqa: PLC0415 - scipy is slow to import

    server.check()
    labelled = EvaluationSet.open(data)
    Scorer()  # or there is no use in hearing anything
    choice = ModelChoice.parse(model) if model else None
    with tempfile.TemporaryDirectory() if out is None else nullcontext(out) as folder:
        kept = Path(folder)
        version = asyncio.run(_hear_all(server, labelled, LatencyMode(mode), choice, kept))
        report = measure(kept, labelled)
    figures = {"model_version": version, "mode": mode} | report.as_data()
    text_ = f"{version}, {mode} mode\n\n{report.as_text()}"
    for line in text_.splitlines():
        tell(line, err=json_ == STDOUT)
    if json_ == STDOUT:
        click.echo(json.dumps(figures, indent=2))
    elif json_ is not None:
        Path(json_).write_text(json.dumps(figures, indent=2) + "\n", "utf-8")


async def _hear_all(
    server: Target,
    labelled: EvaluationSet,
    mode: LatencyMode,
    model: ModelChoice | None,
    folder: Path,
) -> str:
    numbers = count(1)

    def on_heard(name: str) -> None:
        tell(f"{name}: {next(numbers)} of {len(labelled.recordings)}", err=True)

    async with DiarizationClient(server.address, identity=server.identity) as client:
        return await hear_set(client, labelled, folder, mode=mode, model=model, on_heard=on_heard)
