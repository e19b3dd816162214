"""`voiceflow models pack`: an ONNX file becomes a package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from voiceflow.cli.models.session import FILE, FOLDER
from voiceflow.cli.models.tables import table
from voiceflow.cli.options import Number
from voiceflow.cli.printing import as_data, err, json_option, out, print_json


@click.command()
@click.argument("model", type=FILE, metavar="MODEL.onnx")
@click.option("--draft", type=FILE, help="Fields of the manifest, in TOML, JSON or YAML.")
@click.option("--model", "model_id", metavar="NAME", help="Name of the model: diarizer.")
@click.option("--version", metavar="SEMVER", help="1.2.0, or 1.2.0-rc.1.")
@click.option("--licence", help="Of the weights: CC-BY-4.0.")
@click.option(
    "--look-ahead-frames", type=int, help="How many frames after its audio an answer comes."
)
@click.option(
    "--context-seconds", type=float, help="Audio that an answer rests on: the receptive field."
)
@click.option("--frame-samples", type=int, help="Audio of a frame; told by most graphs.")
@click.option("--window-samples", type=int, help="Audio of a window; told by most graphs.")
@click.option("--embedding-space", metavar="NAME", help="As the vectors' meaning. [MODEL-MAJOR]")
@click.option("--state-space", metavar="NAME", help="As the memory's meaning. [MODEL-MAJOR.MINOR]")
@click.option(
    "--operating-point", type=FILE, help="Thresholds, in TOML, JSON or YAML; else usual ones."
)
@click.option("--measured", type=FILE, help="Measured error rates: a list, in JSON or YAML.")
@click.option("--training-data", multiple=True, metavar="NAME", help="Set that it was trained on.")
@click.option("--teacher", help="Model that it was distilled from.")
@click.option("--source-commit", metavar="SHA", help="Commit of what made it, 40 digits.")
@click.option("--card", type=FILE, help="Model card in Markdown; else a skeleton to fill in.")
@click.option(
    "--tolerance",
    type=Number(0.0),
    default=1e-4,
    show_default=True,
    help="How far another machine's outputs may be from the golden ones.",
)
@click.option("--out", "folder", type=FOLDER, help="Folder of the package. [MODEL-VERSION]")
@json_option
def pack(
    model: Path,
    draft: Path | None,
    model_id: str | None,
    operating_point: Path | None,
    measured: Path | None,
    training_data: tuple[str, ...],
    card: Path | None,
    tolerance: float,
    folder: Path | None,
    as_json: bool,
    **stated: Any,
) -> None:
    """Make a package from MODEL.onnx: golden vectors, manifest, card, digests.

    What the graph tells (contract, tracks, embedding dimension, frame, window) is read from it by
    running it here; what contradicts it is refused. Needed besides are --model, --version,
    --licence, --look-ahead-frames and, for a stateful model, --context-seconds, as options or in a
    draft. A manifest of an earlier version is a draft; options go before it.

    Pack only what you have made: the graph is run without a sandbox.
    """
    from voiceflow import packing  # noqa: PLC0415 - loads ONNX Runtime

    fields = packing.read_draft(draft) if draft else {}
    if operating_point is not None:
        stated["operating_point"] = packing.read_values(operating_point)
    if measured is not None:
        stated["measured"] = packing.read_values(measured)
    if training_data:
        stated["training_data"] = training_data
    stated["model"] = model_id
    fields |= {name: value for name, value in stated.items() if value is not None}
    packed = packing.pack(model, fields, folder=folder, card=card, tolerance=tolerance)

    if as_json:
        print_json(
            {
                "folder": str(packed.folder),
                "manifest": as_data(packed.manifest),
                "assumed": [
                    {"field": one.field, "value": one.value, "why": one.why}
                    for one in packed.assumed
                ],
                "unfinished_card": packed.unfinished_card,
            }
        )
    else:
        out().print(f"{packed.manifest.resource_name} in {packed.folder}", highlight=False)
        if packed.assumed:
            assumed = table("Assumed", "Value", "Why")
            for one in packed.assumed:
                assumed.add_row(one.field, one.value, one.why)
            out().print(assumed)
    if packed.unfinished_card:
        err().print(
            f"{packed.folder / 'README.md'} has places marked {packing.UNFINISHED}: fill them in"
            " and pack again before publishing",
            highlight=False,
            soft_wrap=True,
        )
