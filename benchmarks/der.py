"""Diarization error rate of a model through the pipeline, pooled over a folder of conversations.

    python -m benchmarks.der [--data FOLDER]... [--model FOLDER] [--shuffle] [--json PATH]
        [--measured PATH]

A folder holds `<name>.flac` or `<name>.opus` beside `<name>.rttm`. Collar 0, overlap scored, no
oracle speech detection, the whole file is evaluated, rates are pooled over reference speech.
Speakers are mapped to the reference by pyannote.metrics. `--shuffle` permutes the embeddings of
each file over its frames: what that costs is what speaker identity earns. `--measured` writes the
pooled figures as a manifest has them, for `python -m training.package --measured`.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import soundfile
import soxr
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate

from benchmarks.provenance import ROOT, provenance
from voiceflow.artifact import SAMPLE_RATE_HERTZ, LatencyMode, Measurement
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow.pipeline.model import BoundModel, FloatArray, Frames
from voiceflow.pipeline.offline import diarize, model_frames
from voiceflow.pipeline.turns import HopResult

SPEECH = ROOT.parent / "shared" / "speech"
DEFAULT_MODEL = ROOT / "models" / "diarizer" / "1.0.0"
PROTOCOL = "collar_total_seconds 0, overlap scored, no oracle speech detection, pooled"


@dataclass(frozen=True, slots=True)
class Score:
    """Error rates in percent of reference speech."""

    name: str
    reference_seconds: float
    der_percent: float
    missed_percent: float
    false_alarm_percent: float
    confusion_percent: float
    speakers: str


def scorer() -> str:
    """Name and version of what scores."""
    return f"pyannote.metrics {version('pyannote.metrics')}"


def read_audio(path: Path) -> FloatArray:
    """The first channel of a recording at 16 kHz, (samples,)."""
    audio, rate_hertz = soundfile.read(path, dtype="float32", always_2d=True)
    mono: FloatArray = np.ascontiguousarray(audio[:, 0])
    if rate_hertz != SAMPLE_RATE_HERTZ:
        mono = soxr.resample(mono, rate_hertz, SAMPLE_RATE_HERTZ).astype(np.float32)
    return mono


def read_rttm(path: Path) -> Annotation:
    """The reference speakers of one recording."""
    annotation = Annotation()
    for number, line in enumerate(path.read_text("utf-8").splitlines()):
        fields = line.split()
        if fields and fields[0] == "SPEAKER":
            start, duration = float(fields[3]), float(fields[4])
            annotation[Segment(start, start + duration), number] = fields[7]
    return annotation


def hypothesis(results: Iterable[HopResult]) -> Annotation:
    """The final regions as an annotation; merged speakers keep the label they were sent with."""
    annotation = Annotation()
    for result in results:
        for region in result.final_regions:
            span = Segment(
                region.start_samples / SAMPLE_RATE_HERTZ, region.end_samples / SAMPLE_RATE_HERTZ
            )
            for track, speaker in enumerate(region.speakers):
                annotation[span, track] = speaker
    return annotation


def conversations(folder: Path) -> list[tuple[Path, Path]]:
    """Pairs of a recording and its reference, sorted by name."""
    pairs = []
    for rttm in sorted(folder.glob("*.rttm")):
        audio = [rttm.with_suffix(suffix) for suffix in (".flac", ".opus", ".wav")]
        pairs += [(path, rttm) for path in audio if path.exists()]
    return pairs


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
    metric = DiarizationErrorRate(collar=0.0, skip_overlap=False)
    scores = []
    pooled: Counter[str] = Counter()
    for audio_path, rttm in conversations(folder):
        audio = read_audio(audio_path)
        identity = change(audio, model) if change else lambda frames: frames
        results = diarize(model, audio, mode=mode, change_frames=identity)
        reference, found = read_rttm(rttm), hypothesis(results)
        uem = Timeline([Segment(0.0, len(audio) / SAMPLE_RATE_HERTZ)])
        seconds = metric.compute_components(reference, found, uem=uem)
        pooled.update(seconds)
        speakers = f"{len(found.labels())}/{len(reference.labels())}"
        scores.append(_score(audio_path.stem, seconds, speakers))
    return [*scores, _score("pooled", pooled, "")]


def _score(name: str, seconds: Mapping[str, float], speakers: str) -> Score:
    total = seconds["total"]
    missed, false_alarm, confusion = (
        100.0 * seconds[part] / total for part in ("missed detection", "false alarm", "confusion")
    )
    return Score(
        name,
        round(total, 2),
        round(missed + false_alarm + confusion, 2),
        round(missed, 2),
        round(false_alarm, 2),
        round(confusion, 2),
        speakers,
    )


def _measurement(data_set: str, pooled: Score) -> Measurement:
    return Measurement(
        data_set=data_set,
        protocol=PROTOCOL,
        scorer=scorer(),
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
    report |= {"scorer": scorer(), "mode": arguments.mode, "shuffled": arguments.shuffle}
    print(f"{origin}\n{PROTOCOL}; {scorer()}; hop {arguments.mode}")
    for folder in arguments.data or [SPEECH / "simulated", SPEECH / "real"]:
        change = shuffled(seed=1) if arguments.shuffle else None
        scores = evaluate(model, folder, mode=arguments.mode, change=change)
        report[folder.name] = [asdict(score) for score in scores]
        measured.append(_measurement(folder.name, scores[-1]))
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
