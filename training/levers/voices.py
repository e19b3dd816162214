"""What each means of learning voices earns: `python -m training.levers.voices [--steps 1200]`.

Short trainings on crops alone, from nothing, which differ from the first of them in one thing, and
after each the equal error rate of two-second verification of held-out speakers: as they were
recorded, and in simulated rooms with noise 10 dB below the speech. A whole training earns more, and
its gains need not be in proportion. Writes `measured/levers/voices.json`, unless only some were
asked for.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from training import augment, export, paths
from training.batches import Recipe
from training.card import LEVERS
from training.corpus import Audio, read_noises, tuning_corpus
from training.lesson import Weights
from training.plan import Plan
from training.shape import Shape
from training.train import run
from training.verification import Embed, Vectors, equal_error_rates, graph_embed

_TUNING_FOLDS: Final = (4,)
_NOISE_DECIBELS: Final = 10.0


@dataclass(frozen=True)
class Lever:
    """A training with one thing left out.

    Attributes:
        told: What is left out, in words.
        recipe: Of its batches, where it differs.
        weights: Of what is learnt, where they differ.
    """

    told: str
    recipe: dict[str, Any] = field(default_factory=dict)
    weights: Weights = field(default_factory=Weights)


TRAININGS: Final = {
    "all": Lever("nothing left out"),
    "teachers": Lever(
        "without teachers: only whether two crops are of one voice", weights=Weights(answers=0.0)
    ),
    "copies": Lever("without copies: every voice as it was recorded", {"plain": 1.0}),
    "recognition": Lever(
        "without one threshold for all: only what the teachers answer",
        weights=Weights(recognition=0.0),
    ),
    "places": Lever(
        "without rooms, noise, knocks and telephone lines",
        {"roomy": 0.0, "noisy": 0.0, "knocking": 0.0, "telephone": 0.0},
    ),
}


def elsewhere(embed: Embed) -> Embed:
    """The vectors of the same audio in a simulated room, with noise."""
    clips = read_noises(paths.SPEECH, _TUNING_FOLDS)

    def heard(audio: Audio) -> Vectors:
        rng = np.random.default_rng(len(audio))
        rooms = augment.make_rooms(rng, len(audio))
        reverberant = augment.reverberate(audio, rooms[:, 0])
        noise = np.stack([augment.background(rng, audio.shape[1], clips) for _ in audio])
        level = np.sqrt(np.mean(np.square(reverberant), axis=1, keepdims=True))
        return embed(reverberant + noise * level * np.float32(10 ** (-_NOISE_DECIBELS / 20)))

    return heard


def measure(checkpoint: Path, graph: Path) -> dict[str, float]:
    """Pooled equal error rates of a checkpoint's network in percent; its graph is written."""
    export.write(checkpoint, graph)
    embed = graph_embed(graph)
    corpus = tuning_corpus(paths.SPEECH, paths.CACHE)
    return {
        "as_recorded": round(equal_error_rates(corpus, embed)["pooled"], 1),
        "elsewhere": round(equal_error_rates(corpus, elsewhere(embed))["pooled"], 1),
    }


def main() -> None:
    """Trains, measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--only", choices=TRAININGS, action="append")
    arguments = parser.parse_args()
    plan = Plan(steps=arguments.steps, crop_stage_steps=arguments.steps)
    rates = {}
    for name in arguments.only or TRAININGS:
        lever, folder = TRAININGS[name], paths.VAR / "training" / "levers" / name
        recipe = replace(Recipe(plan.crop_stage_steps), **lever.recipe)
        run(plan, Shape(), folder, recipe=recipe, weights=lever.weights)
        rates[lever.told] = measure(folder / "last.pt", folder / "model.onnx")
        print(f"{lever.told}: {rates[lever.told]}", flush=True)
    if arguments.only:
        return
    told = {
        "steps": plan.steps,
        "source_commit": paths.head_commit(),
        "equal_error_percent": rates,
    }
    (LEVERS / "voices.json").write_text(json.dumps(told, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
