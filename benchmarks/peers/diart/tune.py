"""Tunes the peer on our tuning split: `python -m benchmarks.peers.diart.tune`, in its environment.

`var/tuning` holds the conversations that our own thresholds are tuned on (`python -m
training.tuning_set` writes them). Speech detection is tuned first, by detection error; then what
tells speakers apart, by pooled diarization error, collar 0, overlap scored. Each stage tries every
combination of what it names and keeps the best. All that was tried goes to `tuned.json`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.detection import DetectionErrorRate
from pyannote.metrics.diarization import DiarizationErrorRate

from benchmarks.peers.diart.clustering import cluster
from benchmarks.peers.diart.settings import SAMPLE_RATE_HERTZ, TUNED, Settings
from benchmarks.peers.diart.speech import (
    FloatArray,
    levelled,
    read_audio,
    recordings,
    speech_probabilities,
    stretches,
)
from benchmarks.peers.diart.telling import Labels, Stretch, final_turns, tellings
from benchmarks.peers.diart.voices import embed_windows

Made = TypeVar("Made")

PROJECT: Final = Path(__file__).resolve().parents[3]
START: Final = Settings(
    level_dbfs=-20.0,
    threshold=0.5,
    silence_seconds=0.3,
    pad_seconds=0.03,
    window_seconds=2.0,
    window_dbfs=-30.0,
    rho_update=0.3,
    delta_new=0.28,
    latency_seconds=2.0,
)
"""Silero's and Resemblyzer's own values where they have one, and diart's rho_update."""

_COARSE: Final = (0.16, 0.2, 0.24, 0.28, 0.32, 0.36, 0.4)
_THRESHOLDS: Final = (0.3, 0.4, 0.5, 0.6, 0.7)
STAGES: Final[tuple[tuple[str, dict[str, tuple[float | None, ...]]], ...]] = (
    (
        "detection",
        {"level_dbfs": (None, -30.0, -25.0, -20.0, -15.0, -10.0, -5.0), "threshold": _THRESHOLDS},
    ),
    (
        "detection",
        {
            "threshold": _THRESHOLDS,
            "silence_seconds": (0.1, 0.2, 0.3, 0.4, 0.5),
            "pad_seconds": (0.0, 0.03, 0.06, 0.1),
        },
    ),
    (
        "diarization",
        {"window_dbfs": (None, -40.0, -35.0, -30.0, -25.0, -20.0), "delta_new": _COARSE},
    ),
    ("diarization", {"window_seconds": (1.6, 2.0, 2.5, 3.0, 4.0, 5.0), "delta_new": _COARSE}),
    (
        "diarization",
        {
            "rho_update": (0.1, 0.3, 0.5, 0.7, 0.85),
            "delta_new": tuple(round(0.16 + 0.02 * n, 2) for n in range(13)),
        },
    ),
    ("diarization", {"latency_seconds": (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0)}),
)


@dataclass(frozen=True)
class Figures:
    """Pooled, in percent of reference speech; `speakers` is found by true ones."""

    error_percent: float
    missed_percent: float
    false_alarm_percent: float
    confusion_percent: float = 0.0
    speakers: float = 0.0


@dataclass
class Conversation:
    """A labelled recording, and what was computed of it so far."""

    path: Path
    _kept: dict[object, Any] = field(default_factory=dict)

    @cached_property
    def audio(self) -> FloatArray:
        """At 16 kHz, (samples,)."""
        return read_audio(self.path)

    @cached_property
    def digest(self) -> str:
        """Of the recording, so that nothing is kept of another one that had its name."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()[:16]

    @cached_property
    def reference(self) -> Annotation:
        """Who speaks when."""
        lines = self.path.with_suffix(".rttm").read_text("utf-8").splitlines()
        return annotation(
            (words[7], float(words[3]), float(words[3]) + float(words[4]))
            for words in map(str.split, lines)
        )

    @property
    def whole(self) -> Timeline:
        """All of the recording is scored."""
        return Timeline([Segment(0.0, len(self.audio) / SAMPLE_RATE_HERTZ)])

    def probabilities(self, settings: Settings) -> FloatArray:
        """Of speech, (frames,)."""
        key = ("probabilities", settings.level_dbfs)
        return self._keep(
            key, lambda: speech_probabilities(levelled(self.audio, settings.level_dbfs))
        )

    def spoken(self, settings: Settings) -> list[Stretch]:
        """Where speech is."""
        s = settings
        return self._keep(
            ("spoken", s.level_dbfs, s.threshold, s.silence_seconds, s.pad_seconds),
            lambda: stretches(self.probabilities(s), len(self.audio), s),
        )

    def labels(self, settings: Settings, cache: Path) -> Labels:
        """The speaker of each step; embeddings are kept in the cache."""
        s = settings
        place = (
            cache / f"{s.level_dbfs} {s.threshold} {s.window_seconds} {s.window_dbfs}"
            f"/{self.path.stem} {self.digest}.npy"
        )
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            audio = levelled(self.audio, s.level_dbfs)
            np.save(place, embed_windows(audio, self.probabilities(s), s))
        key = (place.parent.name, s.rho_update, s.delta_new)
        return self._keep(
            key, lambda: cluster(self.probabilities(s), np.load(place), len(self.audio), s)
        )

    def _keep(self, key: object, make: Callable[[], Made]) -> Made:
        if key not in self._kept:
            self._kept[key] = make()
        kept: Made = self._kept[key]
        return kept


def annotation(turns: Iterator[tuple[str, float, float]]) -> Annotation:
    """As pyannote.metrics takes them: speaker, start, end in seconds."""
    made = Annotation()
    for number, (speaker, start, end) in enumerate(turns):
        made[Segment(start, end), number] = speaker
    return made


def detection(split: list[Conversation], settings: Settings) -> Figures:
    """How well speech is found, whoever speaks."""
    metric, seconds = DetectionErrorRate(), Counter[str]()
    rate = SAMPLE_RATE_HERTZ
    for one in split:
        found = (("", s.start_samples / rate, s.end_samples / rate) for s in one.spoken(settings))
        seconds.update(metric.compute_components(one.reference, annotation(found), uem=one.whole))
    return _figures(seconds, seconds["miss"])


def diarization(split: list[Conversation], settings: Settings, cache: Path) -> Figures:
    """How well it is found who spoke."""
    metric, seconds = DiarizationErrorRate(), Counter[str]()
    found = true = 0
    for one in split:
        labels = one.labels(settings, cache)
        told = tellings(labels, one.spoken(settings), len(one.audio), settings)
        turns = final_turns(told)
        guess = annotation((t.speaker, t.start_seconds, t.end_seconds) for t in turns)
        seconds.update(metric.compute_components(one.reference, guess, uem=one.whole))
        found, true = found + len(guess.labels()), true + len(one.reference.labels())
    return _figures(seconds, seconds["missed detection"], found / true)


def main() -> None:
    """Runs the stages one after another and writes what came of them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=PROJECT / "var" / "tuning")
    parser.add_argument("--cache", type=Path, default=PROJECT / "var" / "peers" / "diart")
    parser.add_argument("--json", type=Path, default=TUNED)
    arguments = parser.parse_args()
    split = [Conversation(path) for path in recordings(arguments.data)]
    settings, figures = START, None
    stages = []
    for measure, grid in STAGES:
        tried = []
        for values in product(*grid.values()):
            chosen = Settings(**(asdict(settings) | dict(zip(grid, values, strict=True))))
            if measure == "detection":
                figures = detection(split, chosen)
            else:
                figures = diarization(split, chosen, arguments.cache)
            tried.append((figures, chosen))
            print(measure, *values, figures, file=sys.stderr, flush=True)
        figures, settings = min(tried, key=lambda pair: pair[0].error_percent)
        names = list(grid)
        stages.append(
            {
                "by": f"{measure} error",
                "tried": names,
                "chosen": [asdict(settings)[name] for name in names],
                "error_percent": {
                    ", ".join(str(asdict(one)[name]) for name in names): result.error_percent
                    for result, one in tried
                },
            }
        )
        print(measure, {name: asdict(settings)[name] for name in names}, figures)
    report = {
        "settings": asdict(settings),
        "figures": asdict(figures) if figures else None,
        "conversations": len(split),
        "scorer": f"pyannote.metrics {version('pyannote.metrics')}",
        "started_from": asdict(START),
        "stages": stages,
    }
    arguments.json.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


def _figures(seconds: Mapping[str, float], missed: float, speakers: float = 0.0) -> Figures:
    parts = (missed, seconds["false alarm"], seconds.get("confusion", 0.0))
    error, *rates = (round(100 * part / seconds["total"], 2) for part in (sum(parts), *parts))
    return Figures(error, rates[0], rates[1], rates[2], round(speakers, 2))


if __name__ == "__main__":
    main()
