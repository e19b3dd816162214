"""What each means of learning conversations earns: `python -m training.levers.conversations`.

Short trainings that go on with the weights of the default model and differ from the first of them
in one thing, each followed by the error rates on the tuning conversations at the model's
thresholds. What is left out here was there in the long training before, so what is seen is what a
few hundred steps forget. Writes `measured/levers/conversations.json`, unless only some were
asked for.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from training import export
from training.batches import Recipe
from training.card import LEVERS
from training.operating_point import rates_by_kind, read
from training.paths import TUNING, VAR, head_commit
from training.products import DIARIZER
from training.train import run
from voiceflow.artifact import digest_of
from voiceflow.package import MANIFEST_FILE, MODEL_FILE, load_package


@dataclass(frozen=True)
class Lever:
    """A training with one thing left out.

    Attributes:
        told: What is left out, in words.
        recipe: Of its batches, where it differs.
    """

    told: str
    recipe: dict[str, Any] = field(default_factory=dict)


TRAININGS: Final = {
    "all": Lever("nothing left out"),
    "untouched": Lever("nothing as it was recorded", {"untouched": 0.0}),
    "distant": Lever("nobody too far away to count", {"distant": 0.0}),
    "overlapping": Lever("nobody speaks at once", {"overlapping": 0.0}),
    "eager": Lever("others begin no sooner than in AMI and MSDWILD", {"eager": 0.0}),
    "restful": Lever("no long rests, and no noise alone", {"restful": 0.0}),
    "finished": Lever("every turn cut anywhere", {"finished": 0.0}),
    "places": Lever(
        "no noise, knocks and telephone lines", {"noisy": 0.0, "knocking": 0.0, "telephone": 0.0}
    ),
}


def package_of(checkpoint: Path, package: Path, folder: Path) -> Path:
    """A copy of a package, but with the graph of a checkpoint's network."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(package, folder)
    graph = folder / MODEL_FILE
    export.write(checkpoint, graph)
    manifest, content = load_package(package).manifest, graph.read_bytes()
    changed = manifest.model_copy(
        update={
            "files": manifest.files | {MODEL_FILE: digest_of(content)},
            "sizes": manifest.sizes | {MODEL_FILE: len(content)},
        }
    )
    (folder / MANIFEST_FILE).write_text(changed.to_json(), "utf-8")
    return folder


def main() -> None:
    """Trains, measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--only", choices=TRAININGS, action="append")
    arguments = parser.parse_args()
    plan = replace(DIARIZER.plan, steps=arguments.steps)
    measured = {}
    for name in arguments.only or TRAININGS:
        lever, folder = TRAININGS[name], VAR / "training" / "levers" / f"conversations-{name}"
        recipe = replace(Recipe(plan.crop_stage_steps), **lever.recipe)
        run(plan, DIARIZER.shape, folder, begin=DIARIZER.run / "last.pt", recipe=recipe)
        package = package_of(folder / "last.pt", DIARIZER.package, folder / "package")
        measured[lever.told] = rates_by_kind(*read(package, TUNING))
        print(f"{lever.told}: {measured[lever.told]}", flush=True)
    if arguments.only:
        return
    told = {
        "steps": plan.steps,
        "model": f"{DIARIZER.name} {DIARIZER.version}",
        "source_commit": head_commit(),
        "error_rates_percent": measured,
    }
    (LEVERS / "conversations.json").write_text(json.dumps(told, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
