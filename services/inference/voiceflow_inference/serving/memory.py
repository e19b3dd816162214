"""Keeps a process that loads one model after the other from growing.

ONNX Runtime gives back all that a model took. The C library does not: it keeps what is freed for
later, in an arena for each thread, in pieces that the next model may or may not fit.
"""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress
from typing import Final


def hold_little() -> None:
    """Bounds the arenas and what the C library keeps at the end of each, has it map what is large.

    Otherwise both limits grow with what is freed, to 64 MiB an arena once a model was, and every
    thread, of which each model brings its own, may come to have an arena.
    """
    with suppress(AttributeError):  # only glibc keeps so much, and only it has this
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        libc.mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
        libc.mallopt(_M_ARENA_MAX, _ARENAS)


def give_back() -> None:
    """Hands to the system what a model that is gone has left in between."""
    gc.collect()
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


# As in malloc.h of glibc.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8

# More than a batch takes and frees: what is kept is not asked for anew with each.
_KEPT_BYTES: Final = 8 * 1024**2
_MAPPED_BYTES: Final = 4 * 1024**2
# One thread runs the model and one the streams; what others allocate is seldom and small.
_ARENAS: Final = 2
