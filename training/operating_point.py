"""Finds a model's operating point on the tuning conversations, one threshold after another.

    python -m training.operating_point [--product fast-cnn] [--write]

The model is run once over `var/tuning` (made by `training.tuning_set`); the pipeline then runs over
its frames for each candidate. A threshold moves where it lowers the pooled error rate by more than
chance may; all are visited until none moves, at most three times.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from training.paths import TUNING
from training.products import add_argument, chosen
from training.tuning_set import TALKS
from voiceflow.artifact import Manifest, OperatingPoint
from voiceflow.evaluation import (
    Scorer,
    Spoken,
    conversations,
    final_regions,
    read_audio,
    read_rttm,
)
from voiceflow.onnx import bind
from voiceflow.package import MANIFEST_FILE, load_package
from voiceflow.pipeline.diarizer import StreamDiarizer
from voiceflow.pipeline.model import Frames
from voiceflow.pipeline.offline import model_frames

CANDIDATES: Final[Mapping[str, tuple[float, ...]]] = {
    "activity_threshold": (0.4, 0.5, 0.6, 0.7),
    "overlap_threshold": (0.2, 0.3, 0.4, 0.5, 0.6, 0.8),
    "new_speaker_threshold": (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6),
    "same_speaker_threshold": (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9),
    "smoothing_seconds": (0.04, 0.08, 0.12, 0.16, 0.24, 0.32, 0.48),
    "voice_lag_seconds": (0.0, 0.08, 0.16, 0.24),
    "minimum_turn_seconds": (0.12, 0.2, 0.32),
    "minimum_pause_seconds": (0.2, 0.3, 0.4, 0.52),
}

LEAST_GAIN_PERCENT: Final = 0.1
"""Of the pooled error rate. What changes it by less does so by a turn or two."""


@dataclass(frozen=True)
class Conversation:
    """What the model said of one conversation, and what is true."""

    frames: list[Frames]
    samples: int
    reference: list[Spoken]


def read(model_folder: Path, data: Path) -> tuple[Manifest, list[Conversation]]:
    """Runs the model over every conversation of a folder."""
    package = load_package(model_folder)
    model = bind(package)
    found = []
    for path, rttm in conversations(data):
        audio = read_audio(path)
        reference = read_rttm(rttm.read_text("utf-8"), rttm.name)
        found.append(Conversation(list(model_frames(model, audio)), len(audio), reference))
    return package.manifest, found


def error_rates(manifest: Manifest, heard: Sequence[Conversation]) -> dict[str, float]:
    """Pooled error rates in percent at the manifest's operating point."""
    scorer = Scorer()
    for conversation in heard:
        diarizer = StreamDiarizer(manifest)
        diarizer.end_at(conversation.samples)
        results = [diarizer.push(frames) for frames in conversation.frames]
        regions = final_regions([*results, diarizer.finish()])
        scorer.add("", conversation.reference, regions, conversation.samples)
    pooled = scorer.pooled()
    return {
        "missed detection": pooled.missed_percent,
        "false alarm": pooled.false_alarm_percent,
        "confusion": pooled.confusion_percent,
        "der": pooled.der_percent,
    }


def rates_by_kind(manifest: Manifest, heard: Sequence[Conversation]) -> dict[str, dict[str, float]]:
    """Error rates of the tuning set's talks and of its meetings, to a tenth of a percent."""
    kinds = {"talks": heard[:TALKS], "meetings": heard[TALKS:]}
    return {
        kind: {name: round(rate, 1) for name, rate in error_rates(manifest, part).items()}
        for kind, part in kinds.items()
    }


def search(manifest: Manifest, heard: list[Conversation]) -> OperatingPoint:
    """Coordinate descent over `CANDIDATES`."""
    best = manifest.operating_point
    lowest = error_rates(manifest, heard)["der"]
    for _ in range(3):
        before = lowest
        for name, values in CANDIDATES.items():
            for value in values:
                point = best.model_copy(update={name: value})
                rates = error_rates(manifest.model_copy(update={"operating_point": point}), heard)
                if rates["der"] < lowest - LEAST_GAIN_PERCENT:
                    lowest, best = rates["der"], point
                    print(f"{name} {value}: {_told(rates)}", flush=True)
        if lowest == before:
            break
    return best


def main() -> None:
    """Prints what is found; with `--write`, puts it into the manifest."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_argument(parser)
    parser.add_argument("--data", type=Path, default=TUNING)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    package = chosen(arguments).package
    manifest, heard = read(package, arguments.data)
    print(f"at the start: {_told(error_rates(manifest, heard))}")
    point = search(manifest, heard)
    print(point.model_dump_json(indent=2))
    if arguments.write:
        found = manifest.model_copy(update={"operating_point": point})
        (package / MANIFEST_FILE).write_text(found.to_json(), "utf-8")


def _told(rates: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f} %" for name, value in rates.items())


if __name__ == "__main__":
    main()
