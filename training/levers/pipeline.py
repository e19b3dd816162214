"""What each means of telling speakers apart earns: `python -m training.levers.pipeline`.

The pipeline runs over what the model said of the tuning conversations, each time with one thing
left out, at the thresholds of the manifest. Writes `measured/levers/pipeline.json`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final
from unittest.mock import patch

from training.card import LEVERS
from training.operating_point import Conversation, rates_by_kind, read
from training.paths import TUNING, head_commit
from training.products import DIARIZER
from voiceflow.artifact import Manifest
from voiceflow.pipeline import acquaintance, births, gallery, identity

_NEVER: Final = 1e9
_UNLIKE_ALL: Final = -2.0


@dataclass(frozen=True)
class Lever:
    """The pipeline with one thing left out.

    Attributes:
        told: What is left out, in words.
        constants: By module and name, what stands for it then.
        thresholds: Of the operating point, likewise.
    """

    told: str
    constants: Mapping[tuple[Any, str], float] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)


PARTS: Final = (
    Lever("nothing left out"),
    Lever("never a look at all speech", {(identity, "RECLUSTER_SECONDS"): _NEVER}),
    Lever("looks that find nobody new", {(acquaintance, "SPLIT_SECONDS"): _NEVER}),
    Lever("one prototype a speaker", {(gallery, "SECOND_PROTOTYPE_COSINE"): _UNLIKE_ALL}),
    Lever("pieces too short to name do not add up", {(births, "MAXIMUM_CANDIDATES"): 0}),
    Lever("who is too short to be new stays unknown", {(identity, "LEAST_LIKENESS"): 1.0}),
    Lever("no second voice", thresholds={"overlap_threshold": 1.0}),
    Lever("a change of speaker costs nothing", thresholds={"smoothing_seconds": 0.0}),
)


def rates(
    lever: Lever, manifest: Manifest, heard: list[Conversation]
) -> dict[str, dict[str, float]]:
    """Pooled error rates in percent, of talks and of meetings."""
    point = manifest.operating_point.model_copy(update=lever.thresholds)
    changed = manifest.model_copy(update={"operating_point": point})
    with ExitStack() as stack:
        for (module, name), value in lever.constants.items():
            stack.enter_context(patch.object(module, name, value))
        return rates_by_kind(changed, heard)


def main() -> None:
    """Measures, prints and writes."""
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    manifest, heard = read(DIARIZER.package, TUNING)
    measured = {}
    for lever in PARTS:
        measured[lever.told] = rates(lever, manifest, heard)
        print(f"{lever.told}: {measured[lever.told]}", flush=True)
    told = {
        "model": f"{manifest.model} {manifest.version}",
        "source_commit": head_commit(),
        "error_rates_percent": measured,
    }
    (LEVERS / "pipeline.json").write_text(json.dumps(told, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
