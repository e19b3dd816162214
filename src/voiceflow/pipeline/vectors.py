"""Directions of vectors."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from voiceflow.pipeline.model import FloatArray

Scalar = TypeVar("Scalar", bound=np.generic)

_SMALLEST_LENGTH = np.float32(1e-9)


def with_room(array: NDArray[Scalar], rows: int) -> NDArray[Scalar]:
    """The array, with rows of zeros behind its own: so many in all, and not fewer than it has."""
    more = max(0, rows - len(array))
    return np.concatenate([array, np.zeros((more, *array.shape[1:]), array.dtype)])


def unit(vector: FloatArray) -> FloatArray:
    """The vector, (dim,), at length one; zero stays zero."""
    scaled: FloatArray = vector / np.maximum(np.sqrt(vector.dot(vector)), _SMALLEST_LENGTH)
    return scaled


def cosine(one: FloatArray, other: FloatArray) -> float:
    """Cosine of the angle between two vectors, (dim,) each; 0 if one is zero."""
    return float(unit(one) @ unit(other))
