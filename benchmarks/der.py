"""Diarization error rate of a model through the pipeline alone: quick, for who trains a model.

    python -m benchmarks.der [--data FOLDER]... [--model FOLDER] [--shuffle] [--json PATH]
        [--measured PATH]

A folder holds `<name>.flac` or `<name>.opus` beside `<name>.rttm`. Collar 0, overlap scored, no
oracle speech detection, the whole file is evaluated, rates are pooled over reference speech.
Speakers are mapped to the reference by pyannote.metrics. `--shuffle` permutes the embeddings of
each file over its frames: what that costs is what speaker identity earns. `--measured` writes the
pooled figures as a manifest has them, for `python -m training.package --measured`. Through the
service, with all other measures and beside others: `python -m benchmarks.accuracy`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from benchmarks.paths import DEFAULT_MODEL, SPEECH
from benchmarks.provenance import provenance
from voiceflow.artifact import LatencyMode, Measurement
from voiceflow.evaluation import (
    PROTOCOL,
    Score,
    Scorer,
    conversations,
    final_regions,
    read_audio,
    read_rttm,
    scorer_version,
)
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow.pipeline.model import BoundModel, FloatArray, Frames
from voiceflow.pipeline.offline import diarize, model_frames


def shuffled(seed: int) -> Callable[[FloatArray, BoundModel], Callable[[Frames], Frames]]:
    """Gives every frame the embedding of another frame of the same recording."""

    def change(audio: FloatArray, model: BoundModel) -> Callable[[Frames], Frames]:
        pool = np.concatenate([frames.embedding for frames in model_frames(model, audio)])
        order = np.random.default_rng(seed).permutation(len(pool))
        at = 0

        def replace(frames: Frames) -> Frames:
            nonlocal at
            count = len(frames.embedding)
            at += count
            return Frames(frames.speech, frames.activity, pool[order[at - count : at]])

        return replace

    return change


def evaluate(
    model: BoundModel,
    folder: Path,
    *,
    mode: LatencyMode = LatencyMode.DENSITY,
    change: Callable[[FloatArray, BoundModel], Callable[[Frames], Frames]] | None = None,
) -> list[Score]:
    """Scores every conversation of a folder; the last score pools them all."""
    scorer = Scorer()
    scores = []
    for audio_path, rttm in conversations(folder):
        audio = read_audio(audio_path)
        identity = change(audio, model) if change else lambda frames: frames
        results = diarize(model, audio, mode=mode, change_frames=identity)
        reference = read_rttm(rttm.read_text("utf-8"), rttm.name)
        score = scorer.add(audio_path.stem, reference, final_regions(results), len(audio))
        scores.append(score.rounded())
    return [*scores, scorer.pooled().rounded()]


def measurement(data_set: str, pooled: Score) -> Measurement:
    """A pooled score as a manifest has it."""
    return Measurement(
        data_set=data_set,
        protocol=PROTOCOL,
        scorer=scorer_version(),
        der_percent=pooled.der_percent,
        missed_percent=pooled.missed_percent,
        false_alarm_percent=pooled.false_alarm_percent,
        confusion_percent=pooled.confusion_percent,
    )


def main() -> None:
    """Prints a table for each folder."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, action="append", help="folder of conversations")
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL, help="model package")
    parser.add_argument("--mode", type=LatencyMode, default=LatencyMode.DENSITY)
    parser.add_argument("--shuffle", action="store_true", help="permute the embeddings")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    parser.add_argument("--measured", type=Path, help="write them as a manifest has them")
    arguments = parser.parse_args()
    package = load_package(arguments.model)
    model = bind(package)
    origin = provenance(package, runs=1)
    report: dict[str, object] = {"provenance": asdict(origin), "protocol": PROTOCOL}
    measured = []
    report |= {"scorer": scorer_version(), "mode": arguments.mode, "shuffled": arguments.shuffle}
    print(f"{origin}\n{PROTOCOL}; {scorer_version()}; hop {arguments.mode}")
    for folder in arguments.data or [SPEECH / "simulated", SPEECH / "real"]:
        change = shuffled(seed=1) if arguments.shuffle else None
        scores = evaluate(model, folder, mode=arguments.mode, change=change)
        report[folder.name] = [asdict(score) for score in scores]
        measured.append(measurement(folder.name, scores[-1]))
        print(
            f"\n{folder.name:12} {'DER %':>7} {'missed':>7} {'false':>7} {'confused':>8} speakers"
        )
        for score in scores:
            print(
                f"{score.name:12} {score.der_percent:7.2f} {score.missed_percent:7.2f} "
                f"{score.false_alarm_percent:7.2f} {score.confusion_percent:8.2f} {score.speakers}"
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    if arguments.measured:
        values = [measurement.model_dump() for measurement in measured]
        arguments.measured.write_text(json.dumps(values, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
