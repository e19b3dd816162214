"""Arrays on pages of their own, for what is large and lives as long as a stream or a model.

The C library would put them between what is small, take used pages, write zeros, and keep them
for later. These take memory where something was written, and all of it goes back with the last
reference.
"""

from __future__ import annotations

import math
import mmap
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


def zeros(shape: tuple[int, ...], dtype: type[Scalar]) -> NDArray[Scalar]:
    """Zeros that take no memory until they are written over."""
    count = math.prod(shape)
    size_bytes = max(1, count * np.dtype(dtype).itemsize)
    pages = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return np.frombuffer(pages, dtype, count).reshape(shape)
