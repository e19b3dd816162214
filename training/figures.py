"""Measures a graph for its card: `python -m training.figures [--product fast-cnn]`.

Writes `measured/PRODUCT.json` beside this module. Equal error rates are of `verification.py`; the
speech error is the share of 40 ms frames of `../shared/speech/simulated` where the speech output,
without look-ahead, at the manifest's threshold, differs from the labels.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

from training import paths
from training.corpus import SAMPLE_RATE_HERTZ, evaluation_corpus, read_audio, tuning_corpus
from training.products import Product, add_argument, chosen
from training.shape import FRAME_SAMPLES
from training.verification import equal_error_rates, graph_embed
from voiceflow.artifact import LatencyMode
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow.pipeline.model import BoundModel, empty_state
from voiceflow.pipeline.offline import model_frames

_BATCH = 16


def write(product: Product) -> None:
    """Measures, prints and writes."""
    model = bind(load_package(product.package))
    graph = product.package / "model.onnx"
    embed = graph_embed(graph)
    figures = {
        "run": json.loads((product.run / "run.json").read_text(encoding="utf-8")),
        "model_bytes": graph.stat().st_size,
        "equal_error_percent": {
            "tuning": _rounded(equal_error_rates(tuning_corpus(paths.SPEECH, paths.CACHE), embed)),
            "eval": _rounded(
                equal_error_rates(evaluation_corpus(paths.SPEECH, paths.CACHE), embed)
            ),
        },
        "speech_error_percent": _rounded(speech_error(model)),
        "milliseconds_per_audio_second": round(speed(model), 2),
    }
    text = json.dumps(figures, indent=2)
    product.figures.parent.mkdir(exist_ok=True)
    product.figures.write_text(text + "\n", encoding="utf-8")
    print(text)


def speech_error(model: BoundModel) -> dict[str, float]:
    """Percent of all frames that are missed, falsely heard, and either."""
    threshold = model.manifest.operating_point.speech_threshold
    missed = false = frames = 0
    for path in sorted((paths.SPEECH / "simulated").glob("*.opus")):
        audio = read_audio(path)
        count = len(audio) // FRAME_SAMPLES
        told = [one.speech for one in model_frames(model, audio)]
        heard = np.concatenate(told)[:count] > threshold
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


def speed(model: BoundModel) -> float:
    """Milliseconds of one thread per second of audio: 16 streams, density hops, median."""
    hop = model.manifest.hop_samples[LatencyMode.DENSITY]
    rng = np.random.default_rng(0)
    audio = rng.standard_normal((_BATCH, hop)).astype(np.float32) * 0.1
    state = empty_state(model, _BATCH)
    spent = []
    for _ in range(100):
        start = time.perf_counter()
        model.run(audio, state)
        spent.append(time.perf_counter() - start)
    return float(np.median(spent)) * 1e3 * SAMPLE_RATE_HERTZ / (_BATCH * hop)


def main() -> None:
    """Measures a product."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_argument(parser)
    write(chosen(parser.parse_args()))


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 1) for name, value in values.items()}


if __name__ == "__main__":
    main()
