"""A model in half precision and in 8 bits beside the original: speed, size, accuracy, in one run.

    python -m benchmarks.variants [--model PACKAGE] [--calibration FOLDER] [--data FOLDER]...
        [--out FOLDER] [--json PATH]

Makes both variants as packages that can be published (`--out`, each under its name and version),
with what was found out in their manifests and cards. Activations of the one in 8 bits are scaled by
the conversations in `--calibration`: those of held-out training speakers, which
`python -m training.tuning_set` writes, and never those that are scored.

Processor time is that of hops in density mode, ONNX Runtime with one thread; the models are called
by turns, and each call is compared with the original's of the same turn. Error rates are those of
the pipeline alone (`benchmarks.der`). Outputs are compared over the first half minute of every
recording that is scored. How a stream moves between two models is what servers see when they try,
in a synthetic conversation and in one of the calibration.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from operator import truediv
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
import onnx

from benchmarks.der import evaluate, measurement
from benchmarks.machine import Processors
from benchmarks.paths import DEFAULT_MODEL, ROOT, SPEECH
from benchmarks.provenance import provenance, write_report
from benchmarks.variants_measured import (
    CALLS,
    ROWS,
    Measured,
    broken_rules,
    call_seconds,
    distance,
    half_operators,
    least,
    moves,
)
from benchmarks.variants_report import page, side_by_side, worse
from training.variants import Claim, Told, Variant, convert, make
from voiceflow.artifact import LatencyMode, Manifest
from voiceflow.errors import InvalidInput, VoiceFlowError
from voiceflow.evaluation import (
    PROTOCOL,
    EvaluationSet,
    conversations,
    read_audio,
    scorer_version,
)
from voiceflow.onnx import bind
from voiceflow.package import MODEL_FILE, ModelPackage, load_package
from voiceflow.pipeline.model import FloatArray
from voiceflow_inference.serving.moves import synthetic_conversation
from voiceflow_inference.serving.placing import How

_CALIBRATION_SECONDS: Final = 8.0
"""From the middle of each conversation."""

_COMPARED_SECONDS: Final = 30.0
_MOVING_SECONDS: Final = 12.0

_CLAIMS: Final = {
    How.CARRIED: Claim.STATE,
    How.REPLAYED: Claim.VECTORS,
    How.TOLD: Claim.NOTHING,
}


def calibration(talk: EvaluationSet, manifest: Manifest) -> list[FloatArray]:
    """Some seconds from the middle of each conversation, in whole frames."""
    found = []
    for recording in talk.recordings:
        audio = recording.samples()
        found.append(_whole(audio[len(audio) // 2 :], _CALIBRATION_SECONDS, manifest))
    return found


def claim_of(ways: Sequence[How]) -> Claim:
    """What a variant may claim where servers move streams so, there and back."""
    return _CLAIMS[least(ways)]


def compare(
    base: Path, folder: Path, data: Sequence[Path], heard: Sequence[FloatArray], origin: str
) -> list[Measured]:
    """Makes the variants of a package and measures all of them.

    Args:
        base: Package of the original.
        folder: Where to put the variants.
        data: Folders of conversations that are scored.
        heard: What the one in 8 bits is scaled by.
        origin: Where the figures come from, for the cards.

    Returns:
        The original first.
    """
    original = load_package(base)
    name, version = original.manifest.model, str(original.manifest.version)
    graph = onnx.load(base / MODEL_FILE)
    graphs = {variant: convert(variant, graph, heard) for variant in Variant}
    packages: dict[Variant | None, ModelPackage] = {None: original}
    with tempfile.TemporaryDirectory() as tried:
        for variant, converted in graphs.items():
            # It claims all that can be claimed, and keeps what servers see to be true.
            trial = make(variant, base, converted, Path(tried) / variant, Told(Claim.STATE))
            packages[variant] = load_package(trial)
    found = _measure(packages, data, heard)
    made = [found[None]]
    for variant, converted in graphs.items():
        one = found[variant]
        told = Told(
            claim_of(one.moves or (How.TOLD,)),
            tuple(measurement(data_set, score) for data_set, score in one.sets.items()),
            f"{origin}; {PROTOCOL}\n\n{side_by_side([found[None], one])}",
        )
        package = folder / f"{name}-{variant}" / version
        make(variant, base, converted, package, told)
        made.append(replace(one, broken_rules=broken_rules(package)))
    return made


def _measure(
    packages: Mapping[Variant | None, ModelPackage],
    data: Sequence[Path],
    heard: Sequence[FloatArray],
) -> dict[Variant | None, Measured]:
    """All of them by turns, and each beside the original, which is the variant None."""
    models = {variant: bind(package) for variant, package in packages.items()}
    original, manifest = models[None], packages[None].manifest
    speech = np.concatenate(heard)
    taken = {
        rows: dict(zip(models, call_seconds([*models.values()], speech, rows), strict=True))
        for rows in ROWS
    }
    hop_seconds = manifest.hop_samples[LatencyMode.DENSITY] / manifest.sample_rate_hertz
    compared = [
        _whole(read_audio(path), _COMPARED_SECONDS, manifest)
        for folder in data
        for path, _ in conversations(folder)
    ]
    talk = [synthetic_conversation(), _whole(speech, _MOVING_SECONDS, manifest)]
    found = {}
    for variant, model in models.items():
        found[variant] = Measured(
            model.manifest.resource_name,
            variant,
            len(packages[variant].model_bytes),
            {
                str(rows): round(1000 * median(seconds[variant]) / (rows * hop_seconds), 3)
                for rows, seconds in taken.items()
            },
            {
                str(rows): round(median(map(truediv, seconds[variant], seconds[None])), 3)
                for rows, seconds in taken.items()
            },
            {folder.name: evaluate(model, folder)[-1] for folder in data},
            distance(original, model, compared) if variant else None,
            moves(original, model, talk) if variant else None,
            half_operators(packages[variant].model_bytes),
        )
        print(f"{model.manifest.resource_name}: measured", flush=True)
    return found


def _whole(audio: FloatArray, seconds: float, manifest: Manifest) -> FloatArray:
    """The first seconds, in whole frames."""
    frame = manifest.frame_samples
    most = min(len(audio), round(seconds * manifest.sample_rate_hertz))
    return audio[: most // frame * frame]


def _as_data(models: Sequence[Measured]) -> list[dict[str, Any]]:
    return [asdict(one) | {"der_worse_points": worse(models[0], one)} for one in models]


def main() -> None:
    """Makes the variants; prints and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL, help="package to start from")
    parser.add_argument("--calibration", type=Path, default=ROOT / "var" / "tuning")
    parser.add_argument("--data", type=Path, action="append", help="folder of conversations")
    parser.add_argument("--out", type=Path, default=ROOT / "var" / "variants", help="packages")
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks/results/variants.json")
    arguments = parser.parse_args()
    data = arguments.data or [SPEECH / "simulated", SPEECH / "real"]
    if arguments.calibration.resolve() in {folder.resolve() for folder in data}:
        parser.error(f"{arguments.calibration} is scored: what is scored scales nothing")
    before = Processors.now([os.getpid()])
    try:
        package = load_package(arguments.model)
    except VoiceFlowError as error:
        parser.error(error.message)
    try:
        scaled_by = EvaluationSet.open(arguments.calibration)
    except InvalidInput as error:
        parser.error(f"{error.message}; `python -m training.tuning_set` writes var/tuning")
    heard = calibration(scaled_by, package.manifest)
    origin = provenance(package, runs=1)
    models = compare(arguments.model, arguments.out, data, heard, f"{origin}")
    others = Processors.now([os.getpid()]).others_percent(before)
    report = {
        "provenance": asdict(origin),
        "protocol": PROTOCOL,
        "scorer": scorer_version(),
        "mode": LatencyMode.DENSITY,
        "calibration": {
            "set": scaled_by.name,
            "digest": scaled_by.digest,
            "conversations": len(heard),
            "seconds_of_each": _CALIBRATION_SECONDS,
        },
        "other_processes_percent": others,
        "models": _as_data(models),
    }
    how = (
        f"{PROTOCOL}; {scorer_version()}. Processor time by turns, {CALLS} calls of each; other"
        f" processes took {others} % of the machine. Outputs are compared over the first"
        f" {_COMPARED_SECONDS:g} s of every recording."
    )
    text = page(models, [f"{origin}", how])
    print(text)
    write_report(arguments.json, report, text)


if __name__ == "__main__":
    main()
