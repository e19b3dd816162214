"""Which speaker it is: diart's online clustering, one local speaker a window."""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from pyannote.core import SlidingWindow, SlidingWindowFeature

from benchmarks.peers.diart.settings import MAX_SPEAKERS, Settings
from benchmarks.peers.diart.speech import FloatArray
from benchmarks.peers.diart.telling import NOBODY, Labels, step_samples
from benchmarks.peers.diart.voices import window_frames


def cluster(
    probabilities: FloatArray, vectors: FloatArray, samples: int, settings: Settings
) -> Labels:
    """The speaker of each step by `OnlineSpeakerClustering`, one local speaker a window.

    Args:
        probabilities: (frames,) of speech.
        vectors: (steps, 256), NaN where a window holds no speech.
        samples: Of the recording.
        settings: tau_active, rho_update, delta_new.

    Returns:
        (steps,), `NOBODY` where a window holds no speech.
    """
    clustering = _diart().OnlineSpeakerClustering(
        tau_active=settings.threshold,
        rho_update=settings.rho_update,
        delta_new=settings.delta_new,
        max_speakers=MAX_SPEAKERS,
    )
    labels = np.full(len(vectors), NOBODY, np.int64)
    for step, heard in enumerate(step_samples(samples)):
        if np.isnan(vectors[step, 0]):
            continue
        activity = probabilities[window_frames(heard, settings)][:, None]  # (frames, 1 speaker)
        found = clustering.identify(
            SlidingWindowFeature(activity, SlidingWindow()),
            torch.from_numpy(vectors[step : step + 1]),
        )
        assigned = found.valid_assignments()[1]
        if assigned:
            labels[step] = assigned[0]
    return labels


@cache
def _diart() -> Any:
    """`diart.blocks.clustering`, without the rest of diart.

    Importing the package imports its audio sources, its models, its plots and all that they need.
    Empty packages in their place let the two modules in question find each other.
    """
    found = find_spec("diart")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("diart is not installed here; make its environment with `make peers`")
    root = Path(found.submodule_search_locations[0])
    for name, path in (("diart", root), ("diart.blocks", root / "blocks")):
        package = ModuleType(name)
        package.__path__ = [str(path)]
        sys.modules[name] = package
    return import_module("diart.blocks.clustering")
