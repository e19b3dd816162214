"""How far two answers are apart that should be one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from voiceflow.pipeline.model import FloatArray
from voiceflow.validation.measured import Deviation, finite


def differs(one: FloatArray, other: FloatArray) -> bool:
    """Whether two arrays are not the same to the bit."""
    return one.shape != other.shape or one.tobytes() != other.tobytes()


def furthest(
    what: str, one: Mapping[str, FloatArray], other: Mapping[str, FloatArray]
) -> Deviation | None:
    """The tensor in which two answers differ most; None if they are the same to the bit."""
    found = [
        Deviation(what=what, tensor=name, furthest=_distance(name, array, other[name]))
        for name, array in one.items()
        if differs(array, other[name])
    ]
    return max(found, key=_rank, default=None)


def _distance(name: str, one: FloatArray, other: FloatArray) -> float | None:
    if one.shape != other.shape:
        return None
    distance = float(np.abs(one.astype(np.float64) - other).max(initial=0.0))
    if name.startswith("next."):
        # Memory has no range of its own: it is measured by the largest number in it.
        distance /= max(1.0, float(np.abs(other).max(initial=0.0)))
    return finite(distance)


def _rank(deviation: Deviation) -> float:
    return np.inf if deviation.furthest is None else deviation.furthest
