"""Measures the exported graph and notes it for the card: `python -m training.figures`.

Writes `figures.json` beside this module. Equal error rates are of `verification.py`; the speech
error is the share of 40 ms frames of `../shared/speech/simulated` where the speech output, without
look-ahead, at the manifest's threshold, differs from the labels.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np

from training import paths
from training.corpus import evaluation_corpus, read_audio, tuning_corpus
from training.shape import FRAME_SAMPLES, zero_states
from training.verification import equal_error_rates, graph_embed
from voiceflow.artifact import Manifest
from voiceflow.onnx.runtime import open_session

FIGURES = Path(__file__).with_suffix(".json")
_BATCH, _HOP_FRAMES = 16, 12


def main() -> None:
    """Measures, prints and writes."""
    model = paths.PACKAGE / "model.onnx"
    manifest = Manifest.from_json((paths.PACKAGE / "manifest.json").read_bytes())
    embed = graph_embed(model)
    figures = {
        "run": json.loads((paths.RUN / "run.json").read_text(encoding="utf-8")),
        "model_bytes": model.stat().st_size,
        "equal_error_percent": {
            "tuning": _rounded(equal_error_rates(tuning_corpus(paths.SPEECH, paths.CACHE), embed)),
            "eval": _rounded(
                equal_error_rates(evaluation_corpus(paths.SPEECH, paths.CACHE), embed)
            ),
        },
        "speech_error_percent": _rounded(
            speech_error(model, manifest.operating_point.speech_threshold)
        ),
        "milliseconds_per_audio_second": round(speed(model), 2),
    }
    text = json.dumps(figures, indent=2)
    FIGURES.write_text(text + "\n", encoding="utf-8")
    print(text)


def speech_error(model: Path, threshold: float) -> dict[str, float]:
    """Percent of all frames that are missed, falsely heard, and either."""
    session = open_session(model.read_bytes(), threads=1)
    missed = false = frames = 0
    for path in sorted((paths.SPEECH / "simulated").glob("*.opus")):
        audio = read_audio(path)
        count = len(audio) // FRAME_SAMPLES
        feeds = {"audio": audio[None, : count * FRAME_SAMPLES]} | zero_states(1)
        heard = session.run(["speech"], feeds)[0][0] > threshold
        spoken = np.zeros(count, np.bool_)
        for line in path.with_suffix(".rttm").read_text(encoding="utf-8").splitlines():
            start, length = (float(field) for field in line.split()[3:5])
            spoken[round(start * 25) : round((start + length) * 25)] = True
        missed += int(np.sum(spoken & ~heard))
        false += int(np.sum(heard & ~spoken))
        frames += count
    return {
        "missed": 100 * missed / frames,
        "false_alarm": 100 * false / frames,
        "total": 100 * (missed + false) / frames,
    }


def speed(model: Path) -> float:
    """Milliseconds of one thread per second of audio: 16 streams, hops of 12 frames, median."""
    session = open_session(model.read_bytes(), threads=1)
    rng = np.random.default_rng(0)
    audio = rng.standard_normal((_BATCH, _HOP_FRAMES * FRAME_SAMPLES)).astype(np.float32) * 0.1
    feeds = {"audio": audio} | zero_states(_BATCH)
    spent = []
    for _ in range(100):
        start = time.perf_counter()
        session.run(None, feeds)
        spent.append(time.perf_counter() - start)
    return float(np.median(spent)) * 1e3 / (_BATCH * _HOP_FRAMES * 0.04)


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 1) for name, value in values.items()}


if __name__ == "__main__":
    main()
