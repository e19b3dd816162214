"""Directions of vectors."""

from __future__ import annotations

import numpy as np

from voiceflow.pipeline.model import FloatArray

_SMALLEST_LENGTH = np.float32(1e-9)


def unit(vector: FloatArray) -> FloatArray:
    """The vector, (dim,), at length one; zero stays zero."""
    scaled: FloatArray = vector / np.maximum(np.sqrt(vector.dot(vector)), _SMALLEST_LENGTH)
    return scaled


def cosine(one: FloatArray, other: FloatArray) -> float:
    """Cosine of the angle between two vectors, (dim,) each; 0 if one is zero."""
    return float(unit(one) @ unit(other))
